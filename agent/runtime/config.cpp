// SPDX-License-Identifier: Apache-2.0
#include "runtime/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "runtime/dialect_reader.h"
#include "yaml/reader.h"

namespace inferscope::runtime {
namespace {

using yaml::read_bool;
using yaml::read_bytes;
using yaml::read_choice;
using yaml::read_duration;
using yaml::read_mapping;
using yaml::read_number;
using yaml::read_text;
using yaml::read_texts;
using yaml::reject;

std::vector<discover::Rule> read_rules(const YAML::Node& node, const char* what) {
  if (!node.IsSequence()) reject(node, fmt::format("{} must be a list of rules", what));
  std::vector<discover::Rule> rules;
  for (const auto& item : node) {
    discover::Rule rule;
    read_mapping(
        item, fmt::format("a rule of {}", what),
        {{"executable", [&](const YAML::Node& n) { rule.executable = read_text(n, "executable"); }},
         {"command_line", [&](const YAML::Node& n) { rule.command_line = read_text(n, "command_line"); }},
         {"user", [&](const YAML::Node& n) { rule.user = read_text(n, "user"); }},
         {"port",
          [&](const YAML::Node& n) { rule.port = static_cast<std::uint16_t>(read_number(n, "port", 1, 65535)); }},
         {"cgroup", [&](const YAML::Node& n) { rule.cgroup = read_text(n, "cgroup"); }}});
    if (discover::describe(rule).empty()) reject(item, fmt::format("a rule of {} must name something to match", what));
    rules.push_back(std::move(rule));
  }
  return rules;
}

std::vector<std::string> read_list(const YAML::Node& node, const char* what) {
  if (!node.IsSequence()) reject(node, fmt::format("{} must be a list", what));
  std::vector<std::string> texts;
  for (const auto& item : node) texts.push_back(read_text(item, what));
  return texts;
}

void read_watch(const YAML::Node& node, discover::DiscoveryOptions& watch) {
  read_mapping(node, "watch",
               {{"automatic", [&](const YAML::Node& n) { watch.automatic = read_bool(n, "watch.automatic"); }},
                {"include", [&](const YAML::Node& n) { watch.watch = read_rules(n, "watch.include"); }},
                {"exclude", [&](const YAML::Node& n) { watch.ignore = read_rules(n, "watch.exclude"); }}});
}

void read_capture(const YAML::Node& node, Config::Capture& capture) {
  const auto small = [](const char* what, std::uint32_t& value, std::uint64_t low, std::uint64_t high) {
    return [what, &value, low, high](const YAML::Node& n) {
      value = static_cast<std::uint32_t>(read_bytes(n, what, low, high));
    };
  };
  read_mapping(node, "capture",
               {{"transfer_head_bytes", small("capture.transfer_head_bytes", capture.transfer_head_bytes, 0, 16384)},
                {"transfer_tail_bytes", small("capture.transfer_tail_bytes", capture.transfer_tail_bytes, 0, 4096)},
                {"message_budget_bytes",
                 [&](const YAML::Node& n) {
                   capture.message_budget_bytes = read_bytes(n, "capture.message_budget_bytes", 0, 1ull << 40);
                 }},
                {"event_ring_bytes", small("capture.event_ring_bytes", capture.event_ring_bytes, 4096, 1u << 30)},
                {"control_ring_bytes", small("capture.control_ring_bytes", capture.control_ring_bytes, 4096, 1u << 30)},
                {"connections",
                 [&](const YAML::Node& n) {
                   capture.connections =
                       static_cast<std::uint32_t>(read_number(n, "capture.connections", 16, 1u << 20));
                 }},
                {"poll_interval", [&](const YAML::Node& n) {
                   capture.poll_interval =
                       read_duration(n, "capture.poll_interval", std::chrono::milliseconds(1), std::chrono::seconds(1));
                 }}});
}

void read_otlp(const YAML::Node& node, exporters::OtlpOptions& otlp) {
  read_mapping(
      node, "export.otlp",
      {{"endpoint", [&](const YAML::Node& n) { otlp.endpoint = read_text(n, "export.otlp.endpoint"); }},
       {"logs_endpoint", [&](const YAML::Node& n) { otlp.logs_endpoint = read_text(n, "export.otlp.logs_endpoint"); }},
       {"metrics_endpoint",
        [&](const YAML::Node& n) { otlp.metrics_endpoint = read_text(n, "export.otlp.metrics_endpoint"); }},
       {"metrics_interval",
        [&](const YAML::Node& n) {
          otlp.metrics_interval =
              read_duration(n, "export.otlp.metrics_interval", std::chrono::milliseconds(100), std::chrono::hours(1));
        }},
       {"headers", [&](const YAML::Node& n) { read_texts(n, "export.otlp.headers", otlp.headers); }},
       {"timeout",
        [&](const YAML::Node& n) {
          otlp.delivery.timeout =
              read_duration(n, "export.otlp.timeout", std::chrono::milliseconds(1), std::chrono::minutes(10));
        }},
       {"compression",
        [&](const YAML::Node& n) {
          otlp.gzip = read_choice(n, "export.otlp.compression", {"none", "gzip"}) == "gzip";
        }},
       {"queue_traces",
        [&](const YAML::Node& n) { otlp.queue_traces = read_number(n, "export.otlp.queue_traces", 1, 1u << 20); }},
       {"batch_traces",
        [&](const YAML::Node& n) { otlp.batch_traces = read_number(n, "export.otlp.batch_traces", 1, 1u << 16); }},
       {"batch_delay", [&](const YAML::Node& n) {
          otlp.batch_delay =
              read_duration(n, "export.otlp.batch_delay", std::chrono::milliseconds(0), std::chrono::minutes(10));
        }}});
}

void read_jsonl(const YAML::Node& node, exporters::JsonlOptions& jsonl) {
  read_mapping(
      node, "export.jsonl",
      {{"path", [&](const YAML::Node& n) { jsonl.path = read_text(n, "export.jsonl.path"); }},
       {"rotate_bytes",
        [&](const YAML::Node& n) { jsonl.rotate_bytes = read_bytes(n, "export.jsonl.rotate_bytes", 0, 1ull << 50); }},
       {"token_times", [&](const YAML::Node& n) { jsonl.token_times = read_bool(n, "export.jsonl.token_times"); }}});
}

void read_act(const YAML::Node& node, Config::Act& act) {
  read_mapping(node, "act",
               {{"armed", [&](const YAML::Node& n) { act.armed = read_bool(n, "act.armed"); }},
                {"effects_at_once",
                 [&](const YAML::Node& n) { act.effects_at_once = read_number(n, "act.effects_at_once", 1, 1000); }},
                {"host_rate",
                 [&](const YAML::Node& n) {
                   read_mapping(n, "act.host_rate",
                                {{"count",
                                  [&](const YAML::Node& m) {
                                    act.host_rate_count =
                                        static_cast<std::uint32_t>(read_number(m, "act.host_rate.count", 1, 10'000));
                                  }},
                                 {"window", [&](const YAML::Node& m) {
                                    act.host_rate_window = read_duration(
                                        m, "act.host_rate.window", std::chrono::seconds(1), std::chrono::hours(24));
                                  }}});
                 }},
                {"never_touch", [&](const YAML::Node& n) { act.never_touch = read_list(n, "act.never_touch"); }}});
}

void read_state(const YAML::Node& node, Config::State& state) {
  read_mapping(node, "state",
               {{"folder", [&](const YAML::Node& n) { state.folder = read_text(n, "state.folder"); }},
                {"rows_kept",
                 [&](const YAML::Node& n) { state.rows_kept = read_number(n, "state.rows_kept", 100, 10'000'000); }}});
}

void read_root(const YAML::Node& root, Config& config) {
  read_mapping(
      root, "the configuration",
      {{"watch", [&](const YAML::Node& n) { read_watch(n, config.watch); }},
       {"dialects", [&](const YAML::Node& n) { config.dialects = read_dialects(n); }},
       {"policies", [&](const YAML::Node& n) { config.policies = read_list(n, "policies"); }},
       {"act", [&](const YAML::Node& n) { read_act(n, config.act); }},
       {"state", [&](const YAML::Node& n) { read_state(n, config.state); }},
       {"capture", [&](const YAML::Node& n) { read_capture(n, config.capture); }},
       {"overhead",
        [&](const YAML::Node& n) {
          read_mapping(n, "overhead", {{"budget", [&](const YAML::Node& m) {
                                          config.overhead.budget = yaml::read_fraction(m, "overhead.budget", 1e-6, 1);
                                        }}});
        }},
       {"api",
        [&](const YAML::Node& n) {
          read_mapping(n, "api",
                       {{"socket", [&](const YAML::Node& m) { config.api.socket = read_text(m, "api.socket"); }},
                        {"history_bytes", [&](const YAML::Node& m) {
                           config.api.history_bytes = read_bytes(m, "api.history_bytes", 65536, 1ull << 34);
                         }}});
        }},
       {"log",
        [&](const YAML::Node& n) {
          read_mapping(n, "log",
                       {{"level",
                         [&](const YAML::Node& m) {
                           config.log.level = read_choice(m, "log.level", {"debug", "info", "warn", "error"});
                         }},
                        {"format", [&](const YAML::Node& m) {
                           config.log.format = read_choice(m, "log.format", {"text", "json"});
                         }}});
        }},
       {"resource",
        [&](const YAML::Node& n) {
          read_mapping(
              n, "resource",
              {{"service_name",
                [&](const YAML::Node& m) { config.otlp.service_name = read_text(m, "resource.service_name"); }},
               {"attributes",
                [&](const YAML::Node& m) { read_texts(m, "resource.attributes", config.otlp.resource_attributes); }}});
        }},
       {"export", [&](const YAML::Node& n) {
          read_mapping(n, "export",
                       {{"otlp",
                         [&](const YAML::Node& m) {
                           config.otlp_enabled = true;
                           read_otlp(m, config.otlp);
                         }},
                        {"jsonl", [&](const YAML::Node& m) { read_jsonl(m, config.jsonl); }}});
        }}});
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// %41 is A, as the specification has it for these variables; what is no such escape stays.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() && std::from_chars(digits, digits + 2, code, 16).ptr == digits + 2) {
      out += static_cast<char>(code);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// key1=value1,key2=value2, as the OTEL_* variables have it.
std::map<std::string, std::string> parse_pairs(const std::string& text) {
  std::map<std::string, std::string> pairs;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view pair = std::string_view(text).substr(at, end - at);
    const auto equals = pair.find('=');
    if (const auto key = trim(pair.substr(0, equals)); equals != std::string_view::npos && !key.empty())
      pairs.emplace(percent_decoded(key), percent_decoded(trim(pair.substr(equals + 1))));
    at = end + 1;
  }
  return pairs;
}

/// The first of these variables that is set and not empty.
std::optional<std::string> first_of(const Environment& environment, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (auto value = environment(name); value && !value->empty()) return value;
  return std::nullopt;
}

/// Leaves `value` alone where none of them is set.
Status read_milliseconds(const Environment& environment, std::initializer_list<const char*> names,
                         std::chrono::milliseconds least, std::chrono::milliseconds most, Duration& value) {
  for (const char* name : names) {
    const auto text = first_of(environment, {name});
    if (!text) continue;
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc() || end != text->data() + text->size() || number < least.count() || number > most.count())
      return Error{fmt::format("{} is '{}'", name, *text),
                   fmt::format("give it a number of milliseconds, from {} to {}", least.count(), most.count()),
                   Error::Kind::usage};
    value = std::chrono::milliseconds(number);
    break;
  }
  return success();
}

bool switched_off(const Environment& environment) {
  std::string disabled = environment("OTEL_SDK_DISABLED").value_or("");
  std::transform(disabled.begin(), disabled.end(), disabled.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return disabled == "true" || environment("OTEL_TRACES_EXPORTER") == "none";
}

/// The OpenTelemetry specification's environment variables, in place of the defaults.
Status apply_environment(Config& config, const Environment& environment) {
  if (const auto own = first_of(environment, {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"})) config.otlp.logs_endpoint = *own;
  if (const auto own = first_of(environment, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"}))
    config.otlp.metrics_endpoint = *own;
  if (const auto own = first_of(environment, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"})) {
    config.otlp.endpoint = *own;
  } else if (auto base = first_of(environment, {"OTEL_EXPORTER_OTLP_ENDPOINT"})) {
    while (base->ends_with('/')) base->pop_back();
    config.otlp.endpoint = *base + "/v1/traces";
  }
  config.otlp_enabled = !config.otlp.endpoint.empty();
  for (const char* name : {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"})
    if (const auto headers = environment(name)) config.otlp.headers.merge(parse_pairs(*headers));
  if (const auto compression =
          first_of(environment, {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"}))
    config.otlp.gzip = *compression == "gzip";
  using std::chrono::milliseconds;
  for (const auto& status :
       {read_milliseconds(environment, {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"},
                          milliseconds(1), milliseconds(600'000), config.otlp.delivery.timeout),
        read_milliseconds(environment, {"OTEL_METRIC_EXPORT_INTERVAL"}, milliseconds(100), milliseconds(3'600'000),
                          config.otlp.metrics_interval)})
    if (!status) return status;
  if (const auto attributes = environment("OTEL_RESOURCE_ATTRIBUTES"))
    config.otlp.resource_attributes = parse_pairs(*attributes);
  if (const auto name = config.otlp.resource_attributes.find("service.name");
      name != config.otlp.resource_attributes.end())
    config.otlp.service_name = name->second;
  if (const auto name = first_of(environment, {"OTEL_SERVICE_NAME"})) config.otlp.service_name = *name;
  return success();
}

Result<Config> parse_over(Config config, std::string_view text, const std::string& name) {
  if (auto status = yaml::parse(text, name, "docs/configuration.md describes every key",
                                [&config](const YAML::Node& root) { read_root(root, config); });
      !status)
    return status.error();
  return config;
}

}  // namespace

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::optional<std::string>(value) : std::nullopt;
}

Result<Config> parse_config(std::string_view yaml, const std::string& name) {
  return parse_over({}, yaml, name);
}

Result<Config> load_config(const std::string& path, const Environment& environment) {
  std::string text;
  if (!path.empty()) {
    auto read = yaml::read_file(path, "configuration");
    if (!read) return read.error();
    text = std::move(read).value();
  }
  Config defaults;
  if (auto status = apply_environment(defaults, environment); !status) return status.error();
  auto config = parse_over(std::move(defaults), text, path);
  if (!config) return config;
  if (switched_off(environment)) config->otlp_enabled = false;
  if (config->otlp_enabled && config->otlp.endpoint.empty()) config->otlp.endpoint = "http://localhost:4318/v1/traces";
  // A collector takes all signals on one port; what is no such endpoint has to be told where the others go.
  for (const auto& [endpoint, signal, exporter] :
       {std::tuple(&config->otlp.logs_endpoint, "/v1/logs", "OTEL_LOGS_EXPORTER"),
        std::tuple(&config->otlp.metrics_endpoint, "/v1/metrics", "OTEL_METRICS_EXPORTER")}) {
    constexpr std::string_view traces = "/v1/traces";
    const std::string& base = config->otlp.endpoint;
    if (endpoint->empty() && base.ends_with(traces)) *endpoint = base.substr(0, base.size() - traces.size()) + signal;
    if (environment(exporter) == "none") endpoint->clear();
  }
  return config;
}

}  // namespace inferscope::runtime
