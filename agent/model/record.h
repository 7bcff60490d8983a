// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/action.h"
#include "model/finding.h"
#include "model/request_trace.h"
#include "model/trace_attributes.h"

namespace inferscope {

/// Something that the agent found, decided or did, flat: one log record of OpenTelemetry, one row of the store, one
/// line of JSON. The attributes hold no prompt or output text.
struct Record {
  enum class Severity : std::uint8_t { info, warn, error };

  std::string_view event{};  ///< "inferscope.finding", "inferscope.decision", "inferscope.effect"
  std::string id{};          ///< of the finding, decision or effect; a later record with the same id replaces it
  std::string finding{};     ///< id of the finding that it is about
  bool open = false;         ///< a finding that is not over, an effect that holds
  std::int64_t unix_ns = 0;
  Severity severity = Severity::info;
  std::string text{};  ///< one sentence for people
  Attributes attributes{};
  std::optional<TraceId> trace_id{};  ///< of one request concerned
  std::optional<SpanId> span_id{};
};

Record record_of(const FindingUpdate& update);
Record record_of(const Decision& decision, std::int64_t unix_minus_kernel_ns);
Record record_of(const Effect& effect, Time now);

/// "throttle to 0.2 processors for 30 s", "signal CONT", for people.
std::string describe(const Action& action);
/// "llama-server (pid 17)", "cgroup /x".
std::string describe(const ProcessTarget& target);

/// One JSON object on one line: event, id, finding, time_unix_nano, severity, text, then the attributes as flat keys.
std::string to_json(const Record& record);

}  // namespace inferscope
