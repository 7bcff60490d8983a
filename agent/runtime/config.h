// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/time.h"
#include "discover/discovery.h"
#include "exporters/jsonl/jsonl_sink.h"
#include "exporters/otlp/otlp_sink.h"
#include "interpret/dialect_definition.h"

namespace inferscope::runtime {

/// Everything that can be set. docs/configuration.md documents each key with its default; the defaults are here.
struct Config {
  discover::DiscoveryOptions watch{};
  std::vector<interpret::DialectDefinition> dialects{};  ///< beside those built in, and asked before them

  struct Capture {
    std::uint32_t transfer_head_bytes = 16384;
    std::uint32_t transfer_tail_bytes = 4096;
    std::uint64_t message_budget_bytes = 1u << 20;
    std::uint32_t event_ring_bytes = 8u << 20;
    std::uint32_t control_ring_bytes = 1u << 20;
    std::uint32_t connections = 16384;
    Duration poll_interval = std::chrono::milliseconds(25);
  } capture{};

  struct Overhead {
    double budget = 0.01;  ///< what probes in a process may cost, of a processor
  } overhead{};

  struct Api {
    std::string socket = "/run/inferscope/api.sock";
    std::uint64_t history_bytes = 8u << 20;
  } api{};

  struct Log {
    std::string level = "info";   ///< debug, info, warn, error
    std::string format = "text";  ///< text, json
  } log{};

  /// Files and folders of policies; "shipped": those that come with the agent.
  std::vector<std::string> policies{"shipped"};

  /// What the host allows. Without it every policy observes.
  struct Act {
    bool armed = false;
    std::size_t effects_at_once = 2;  ///< a lease on a neighbour must not keep a stopped server waiting
    std::uint32_t host_rate_count = 6;
    Duration host_rate_window = std::chrono::minutes(10);
    std::vector<std::string> never_touch{};  ///< beside those compiled in
  } act{};

  struct State {
    std::string folder = "/var/lib/inferscope";  ///< of store, journal and audit; empty: findings are only told
    std::size_t rows_kept = 10'000;
  } state{};

  bool otlp_enabled = false;
  exporters::OtlpOptions otlp{};
  exporters::JsonlOptions jsonl{};  ///< an empty path: off
};

using Environment = std::function<std::optional<std::string>(const char* name)>;
std::optional<std::string> process_environment(const char* name);

/// Parses a YAML text. Errors name the file, line and column; unknown keys are errors. `name` is for messages.
Result<Config> parse_config(std::string_view yaml, const std::string& name);
/// Reads a file; an empty path gives the defaults. The standard OTEL_* variables apply where the file says nothing, and
/// OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none always.
Result<Config> load_config(const std::string& path, const Environment& environment = process_environment);

}  // namespace inferscope::runtime
