// SPDX-License-Identifier: Apache-2.0
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "runtime/status.h"

namespace inferscope::runtime {
namespace {

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

void text(Writer& json, const char* key, std::string_view value) {
  json.Key(key);
  json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}

void number(Writer& json, std::string_view key, std::uint64_t value) {
  json.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
  json.Uint64(value);
}

void real(Writer& json, const char* key, double value) {
  json.Key(key);
  json.Double(value);
}

void write_stage(Writer& json, const StageStats& stats) {
  json.StartObject();
  number(json, "in", stats.in);
  number(json, "out", stats.out);
  number(json, "held", stats.held);
  json.Key("dropped");
  json.StartObject();
  for (const auto& [reason, count] : stats.dropped) number(json, reason, count);
  json.EndObject();
  json.EndObject();
}

void write_counters(Writer& json, const source::LiveCounters& counters) {
  json.StartObject();
  source::for_each_counter(counters,
                           [&json](std::string_view name, std::uint64_t value) { number(json, name, value); });
  json.EndObject();
}

}  // namespace

std::string to_json(const StatusView& view) {
  rapidjson::StringBuffer buffer;
  Writer json(buffer);
  json.StartObject();
  json.Key("uptime_seconds");
  json.Double(to_seconds(view.uptime));
  number(json, "watched_processes", view.watched_processes);
  number(json, "traces", view.traces);
  text(json, "acting", view.acting);
  json.Key("probes");
  json.StartArray();
  for (const auto& capability : view.capabilities) {
    json.StartObject();
    text(json, "name", capability.name);
    json.Key("active");
    json.Bool(capability.active);
    text(json, "problem", capability.problem);
    json.EndObject();
  }
  json.EndArray();
  json.Key("kernel");
  write_counters(json, view.counters);
  json.Key("overhead");
  json.StartArray();
  for (const auto& use : view.probe_uses) {
    json.StartObject();
    number(json, "pid", static_cast<std::uint64_t>(use.pid));
    text(json, "gpus", name_of(use.level));
    text(json, "threads", use.threads ? "on" : "off");
    real(json, "cost", use.cost());
    real(json, "budget", use.allowed);
    real(json, "cost_of_gpus", use.of_gpus);
    real(json, "cost_of_threads", use.of_threads);
    real(json, "cost_of_tls", use.of_tls);
    real(json, "cost_of_sockets", use.of_sockets);
    json.EndObject();
  }
  json.EndArray();
  json.Key("stages");
  json.StartObject();
  for (const auto& [name, stats] : view.stages) {
    json.Key(name.c_str());
    write_stage(json, stats);
  }
  json.EndObject();
  json.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

}  // namespace inferscope::runtime
