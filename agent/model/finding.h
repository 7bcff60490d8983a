// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.h"
#include "model/connection.h"
#include "model/process_target.h"
#include "model/request_trace.h"

namespace inferscope {

/// What explains a finding, as far as cheap host facts tell.
struct Cause {
  enum class Kind : std::uint8_t {
    unknown,         ///< not looked at, or the facts are missing
    none,            ///< looked at, and none of those below
    stopped,         ///< a signal or a debugger stopped the process
    frozen,          ///< its cgroup is frozen
    throttled,       ///< its cgroup used up its processor quota
    cpu_contention,  ///< ready to run, but others held its processor
    exited,          ///< the process is gone
  };

  Kind kind = Kind::unknown;
  double share = 0;                        ///< of the time looked at that it explains, 0 to 1
  std::optional<ProcessTarget> culprit{};  ///< cpu_contention: who held the processor most
  std::string text{};                      ///< one sentence for people
};

/// A value that speaks for a finding, beside what is usual where that is known.
struct Evidence {
  std::string name{};  ///< "time_since_last_token", "time_per_output_token", "waiting_requests" …
  double value = 0;
  std::optional<double> usual{};
  std::string unit{};  ///< UCUM as OpenTelemetry has it: "s", "1", "{request}"
};

/// What a finding is about, as one number, watched until it ends. An action's success is judged by it.
struct Measure {
  double value = 0;
  double usual = 0;  ///< what it should be; 0: not known
  std::string unit{};
  Time time{};  ///< newest data in it; an action is judged by data that is younger than the action

  /// 1 is usual, above is worse.
  [[nodiscard]] double ratio() const { return usual > 0 ? value / usual : 0; }
};

/// Names a request before its trace is final.
struct RequestRef {
  ConnectionId connection = 0;
  std::uint64_t sequence = 0;
  TraceId trace_id{};
  SpanId span_id{};
};

/// Something is wrong with a server, from when to when, how sure that is, what speaks for it and what explains it.
struct Finding {
  enum class Kind : std::uint8_t {
    stall,   ///< an open request gets no tokens
    down,    ///< the server ended with requests in flight, or takes no connections
    slow,    ///< its times shifted against what is usual for this load
    errors,  ///< a burst of failed requests
  };
  static constexpr std::size_t requests_kept = 16;

  std::string id{};  ///< 16 hexadecimal digits; the same again in a replay
  Kind kind{};
  ProcessTarget server{};
  std::string model{};     ///< empty: not of one model
  std::uint16_t port = 0;  ///< where it serves; 0: not known

  Time begin{};     ///< of the trouble, as far as can be told afterwards
  Time detected{};  ///< when the finding was opened
  std::optional<Time> end{};
  bool lost_sight = false;  ///< it ended with its process or with our watching, not because the trouble was over
  std::int64_t unix_minus_kernel_ns = 0;

  double confidence = 0;  ///< 0 to 1
  std::string summary{};  ///< one sentence for people
  Measure measure{};
  std::vector<Evidence> evidence{};
  std::vector<RequestRef> requests{};  ///< concerned; at most requests_kept
  std::uint64_t requests_total = 0;
  Cause cause{};
  /// Events were lost in the time that the finding is drawn from. It is told, but nothing is decided on it.
  bool gap = false;
};

/// What became known of a finding. `finding` is valid during the call only.
struct FindingUpdate {
  enum class Kind : std::uint8_t {
    opened,
    updated,  ///< measure, cause, confidence or requests changed
    closed,   ///< it is over: `end` is set; always the last update, exactly once for each opened
  };

  Kind kind{};
  const Finding& finding;
  Time time{};
};

/// "stall", "down", "slow", "errors".
std::string_view name_of(Finding::Kind kind);
/// "unknown", "none", "stopped", "frozen", "throttled", "cpu_contention", "exited".
std::string_view name_of(Cause::Kind kind);
std::optional<Finding::Kind> finding_kind_of(std::string_view name);
std::optional<Cause::Kind> cause_kind_of(std::string_view name);

}  // namespace inferscope
