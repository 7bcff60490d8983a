// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/time.h"
#include "model/connection.h"
#include "model/exchange.h"
#include "model/explanation.h"
#include "model/inference_call.h"
#include "model/time_math.h"

namespace inferscope {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

enum class Outcome : std::uint8_t { ok, error, client_cancelled, truncated, in_flight };

struct ProcessIdentity {
  Pid pid = 0;
  std::uint64_t start_time_ns = 0;  ///< since boot; 0 if not known
  std::string name{};
  std::string executable{};
  std::string command_line{};
};

/// What the processes behind the one that serves a request said of it (model/engine_update.h). Absent is "not seen".
struct EngineTimes {
  std::string engine{};        ///< "vllm" …
  std::string request_id{};    ///< the engine's; of several, the first one's
  std::uint64_t requests = 0;  ///< of the engine, that the request became: one for each choice or prompt
  // Of several, from the first to the last of them.
  std::optional<Time> queued{};  ///< by the engine; else when it was handed over
  std::optional<Time> scheduled{};
  std::optional<Time> first_token{};
  std::optional<Time> last_token{};
  std::vector<Time> preempted{};  ///< bounded; more are counted in preemptions
  std::uint64_t preemptions = 0;
  std::uint64_t steps = 0;      ///< that it took part in; of several, of the one that took part in most
  std::uint64_t batch_sum = 0;  ///< over the steps: requests in each
  std::uint64_t batch_max = 0;
  std::optional<double> kv_usage_max{};        ///< 0 to 1, over its steps
  std::optional<std::uint64_t> waiting_max{};  ///< requests that waited, over its steps
  std::optional<std::uint64_t> prompt_tokens{};
  std::optional<std::uint64_t> cached_tokens{};
  std::uint64_t output_tokens = 0;
  bool complete = true;  ///< no message that may have concerned it was missed
};

/// One request as one process served it (role server) or made it (role client), ready to be shown and exported.
struct RequestTrace {
  TraceId trace_id{};
  SpanId span_id{};                      ///< of the HTTP span
  std::optional<SpanId> call_span_id{};  ///< of the GenAI span below it; absent for plain HTTP
  std::optional<SpanId> parent_span_id{};
  std::string trace_state{};  ///< tracestate header, passed on

  Role role = Role::unknown;
  ProcessIdentity process{};
  Tid tid = 0;
  Connection connection{};

  std::int64_t unix_minus_kernel_ns = 0;  ///< add to a kernel time for the wall clock
  Time begin{};
  Time end{};  ///< for one in flight: now

  Exchange exchange{};
  InferenceCall call{};
  std::optional<EngineTimes> engine{};
  std::optional<Explanation> explanation{};

  Outcome outcome = Outcome::in_flight;
  bool complete = true;
  std::string lost{};                   ///< why not complete; empty if complete
  std::vector<std::string> findings{};  ///< ids of those that concern it

  std::optional<Duration> time_to_first_byte{};  ///< from the request's first byte, as all of these
  std::optional<Duration> time_to_first_event{};
  std::optional<Duration> time_to_first_token{};
  /// (last token - first token) / (output tokens - 1), successful requests of two tokens or more.
  std::optional<Duration> time_per_output_token{};

  /// When it went from one phase to the next. By the engine's own account where there is one, else as it was seen.
  struct Phases {
    std::optional<Time> queued{};
    std::optional<Time> started{};  ///< its prefill began
    std::optional<Time> first_token{};
    std::optional<Time> last_token{};

    [[nodiscard]] std::optional<Duration> queue() const { return between(queued, started); }
    [[nodiscard]] std::optional<Duration> prefill() const { return between(started, first_token); }
    [[nodiscard]] std::optional<Duration> decode() const { return between(first_token, last_token); }

   private:
    static std::optional<Duration> between(const std::optional<Time>& from, const std::optional<Time>& to) {
      if (!from || !to || *to < *from) return std::nullopt;
      return elapsed(*from, *to);
    }
  };
  [[nodiscard]] Phases phases() const {
    if (engine) return {engine->queued, engine->scheduled, engine->first_token, engine->last_token};
    if (!explanation) return {};
    // A server of which no thread was seen to hand it over had it from when it had come in.
    const std::optional<Time> queued = explanation->handed_over ? explanation->handed_over : exchange.request.end;
    return {queued, explanation->started, explanation->first_token, explanation->last_token};
  }

  [[nodiscard]] std::int64_t unix_ns(Time time) const { return saturating_add(to_ns(time), unix_minus_kernel_ns); }
};

}  // namespace inferscope
