// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "core/emit.h"
#include "core/stage_stats.h"
#include "model/engine_update.h"
#include "model/event.h"
#include "model/inference_call.h"
#include "model/request_trace.h"

namespace inferscope::correlate {

struct Limits {
  std::size_t open_calls = 8192;
  std::size_t processes = 8192;
  std::size_t links = 32768;  ///< requests that others may find as their parents
  std::size_t engine_requests = 16384;
  Duration keep_process = std::chrono::seconds{30};  ///< after its exit, for calls that close late
  Duration keep_link = std::chrono::seconds{2};      ///< after a request's end
};

/// What a bound cost. None of these makes a call drop.
struct Counters {
  std::uint64_t processes_forgotten = 0;
  std::uint64_t links_forgotten = 0;
};

/// Makes traces of calls: who served them, how they ended, what is missing, and where they stand in the caller's trace.
class Correlator {
 public:
  explicit Correlator(Limits limits = {});
  ~Correlator();
  Correlator(Correlator&&) noexcept;
  Correlator& operator=(Correlator&&) noexcept;

  /// Processes, the clock, and what threads and GPUs did.
  void on(const Event& event);
  /// What engines say of their requests, of which calls are found again.
  void on(const EngineUpdate& update);
  /// Emits a call's trace when it is closed.
  void on(const CallUpdate& update, const Emit<RequestTrace>& emit);
  /// The open calls as they are at `now`, in the order of their begin, with the outcome in_flight and without
  /// token_times. trace_id and parent are final only with the finished trace; span_id is final.
  void in_flight(Time now, const Emit<RequestTrace>& emit) const;

  /// Marks an open request with a finding that concerns it, and tells its ids as far as they are known: both 0 if there
  /// is no such request.
  std::pair<TraceId, SpanId> mark(ConnectionId connection, std::uint64_t sequence, const std::string& finding);

  /// Unit: calls. Dropped: "open call limit", "opened twice".
  [[nodiscard]] StageStats stats() const;
  [[nodiscard]] Counters counters() const;
  /// Unit: requests of engines, of which calls are found again. Dropped: "limit", "silent".
  [[nodiscard]] StageStats engine_requests() const;
  /// Unit: requests whose time is explained. Dropped: "limit".
  [[nodiscard]] StageStats explained_requests() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace inferscope::correlate
