// stage: runtime
// SPDX-License-Identifier: Apache-2.0
// Any text as a configuration and as the OTEL_* variables: what is accepted is within its bounds, what is refused is
// told with its place, and never does it take more than it is given.
#include <string>

#include "interpret/interpreter.h"
#include "runtime/config.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;

namespace {

void check(const runtime::Config& config) {
  test::require(config.capture.transfer_head_bytes <= 16384 && config.capture.transfer_tail_bytes <= 4096);
  test::require(config.capture.event_ring_bytes >= 4096 && config.capture.control_ring_bytes >= 4096);
  test::require(config.capture.connections >= 16 && config.capture.connections <= 1u << 20);
  test::require(config.capture.poll_interval >= std::chrono::milliseconds(1));
  test::require(config.capture.poll_interval <= std::chrono::seconds(1));
  test::require(config.api.history_bytes >= 65536);
  test::require(config.otlp.delivery.timeout > Duration::zero() &&
                config.otlp.delivery.timeout <= std::chrono::minutes(10));
  test::require(config.otlp.queue_traces > 0 && config.otlp.batch_traces > 0);
  test::require(config.log.format == "text" || config.log.format == "json");
  for (const auto* rules : {&config.watch.watch, &config.watch.ignore})
    for (const discover::Rule& rule : *rules) test::require(!discover::describe(rule).empty());
  test::require(config.dialects.size() <= 64);
  for (const interpret::DialectDefinition& dialect : config.dialects) {
    test::require(!dialect.name.empty() && !dialect.provider.empty() && !interpret::is_builtin_dialect(dialect.name));
    test::require(!dialect.paths.empty() && dialect.paths.size() <= 32);
    for (const auto& [path, operation] : dialect.paths) test::require(path.starts_with('/') && !operation.empty());
  }
  const interpret::Interpreter taught({}, config.dialects);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = runtime::parse_config(text, "fuzz");
  if (config) {
    check(*config);
  } else {
    test::require(config.error().kind == Error::Kind::usage);
    test::require(config.error().cause.starts_with("fuzz:"));
  }
  const auto from_environment = runtime::load_config("", [&text](const char* name) -> std::optional<std::string> {
    const bool switches = std::string_view(name).ends_with("DISABLED") || std::string_view(name).ends_with("EXPORTER");
    return switches ? std::nullopt : std::optional(text);
  });
  if (from_environment) {
    check(*from_environment);
    test::require(from_environment->otlp_enabled == !text.empty());
  }
  return 0;
}
