// SPDX-License-Identifier: Apache-2.0
#include "cli/status_view.h"

#include <fmt/format.h>
#include <rapidjson/document.h>

namespace inferscope::cli {
namespace {

using rapidjson::Value;

std::uint64_t number(const Value& object, const char* key) {
  const auto found = object.FindMember(key);
  return found != object.MemberEnd() && found->value.IsUint64() ? found->value.GetUint64() : 0;
}

double real(const Value& object, const char* key) {
  const auto found = object.FindMember(key);
  return found != object.MemberEnd() && found->value.IsNumber() ? found->value.GetDouble() : 0.0;
}

std::string words(const Value& object, const char* key) {
  const auto found = object.FindMember(key);
  return found != object.MemberEnd() && found->value.IsString() ? found->value.GetString() : "";
}

const Value* member(const Value& object, const char* key) {
  const auto found = object.FindMember(key);
  return found != object.MemberEnd() && found->value.IsObject() ? &found->value : nullptr;
}

std::string counters_text(const Value& counters) {
  std::string text;
  for (const auto& counter : counters.GetObject())
    if (counter.value.IsUint64() && counter.value.GetUint64() != 0)
      text += fmt::format("  {:<32} {:>14}\n", counter.name.GetString(), counter.value.GetUint64());
  return text;
}

std::string probes_text(const Value& uses) {
  std::string text = fmt::format("{:<10} {:<6} {:<8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n", "Probes in", "GPUs",
                                 "threads", "allowed", "cost", "GPUs", "threads", "TLS", "sockets");
  const auto share = [](const Value& use, const char* key) { return fmt::format("{:.3f} %", 100 * real(use, key)); };
  for (const auto& use : uses.GetArray())
    if (use.IsObject())
      text += fmt::format("  {:<8} {:<6} {:<8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n", number(use, "pid"),
                          words(use, "gpus"), words(use, "threads"), share(use, "budget"), share(use, "cost"),
                          share(use, "cost_of_gpus"), share(use, "cost_of_threads"), share(use, "cost_of_tls"),
                          share(use, "cost_of_sockets"));
  return text + "  (of a processor, in the last quarter of a second)\n\n";
}

std::string stage_text(const char* name, const Value& stage) {
  std::string text = fmt::format("  {:<32} {:>14} {:>14} {:>10}", name, number(stage, "in"), number(stage, "out"),
                                 number(stage, "held"));
  if (const Value* dropped = member(stage, "dropped"))
    for (const auto& reason : dropped->GetObject())
      if (reason.value.IsUint64()) text += fmt::format("  {}: {}", reason.name.GetString(), reason.value.GetUint64());
  return text + "\n";
}

}  // namespace

std::string status_text(std::string_view json) {
  rapidjson::Document status;
  status.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (status.HasParseError() || !status.IsObject()) return "  its answer cannot be read\n";
  std::string text =
      fmt::format("  running for {:.0f} s, {} processes watched, {} traces; {}\n\n", real(status, "uptime_seconds"),
                  number(status, "watched_processes"), number(status, "traces"), words(status, "acting"));
  if (const Value* kernel = member(status, "kernel")) text += "Kernel side\n" + counters_text(*kernel) + "\n";
  if (const auto uses = status.FindMember("overhead");
      uses != status.MemberEnd() && uses->value.IsArray() && !uses->value.Empty())
    text += probes_text(uses->value);
  if (const Value* stages = member(status, "stages")) {
    text += fmt::format("{:<34} {:>14} {:>14} {:>10}  {}\n", "Stages", "in", "out", "held", "dropped");
    for (const auto& stage : stages->GetObject())
      if (stage.value.IsObject()) text += stage_text(stage.name.GetString(), stage.value);
  }
  return text;
}

}  // namespace inferscope::cli
