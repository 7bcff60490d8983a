// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "core/stage_stats.h"
#include "model/engine_update.h"
#include "model/request_trace.h"

namespace inferscope::correlate {

/// Keeps what engines say of their requests, and finds those that a call became. Only what the process that serves the
/// call handed over and was told counts: other ends of the same conversation may be watched, too.
class EngineRequests {
 public:
  struct Limits {
    std::size_t requests = 16384;
    Duration keep_ended = std::chrono::minutes{1};    ///< a client may be slow to take the rest
    Duration keep_silent = std::chrono::minutes{10};  ///< without a word of it
  };

  explicit EngineRequests(Limits limits) : limits_(limits) {}

  void on(const EngineUpdate& update);
  /// By the response's id, or else the request's X-Request-Id, of which the engine's ids were made (engine_ids.h),
  /// among those that were handed over during the call. Nothing if there are some that cannot be of the same call:
  /// clients give several calls the same id.
  [[nodiscard]] std::optional<EngineTimes> find(const RequestTrace& trace) const;

  /// Unit: requests of engines. Dropped: "limit" (not kept, or given up for others before its time), "silent".
  [[nodiscard]] StageStats stats() const;

 private:
  struct Entry {
    EngineTimes times{};
    std::optional<Time> added{};
    Time first_heard{};
    Time heard{};
    bool ended = false;
  };
  /// The id by which it is looked for, and the whole one.
  using Key = std::pair<Pid, std::string>;
  using Entries = std::map<Key, Entry>;
  class OneCall;

  void note(const EngineUpdate& update, const EngineUpdate::Request& request);
  Entries::iterator entry_of(const EngineUpdate& update, const EngineUpdate::Request& request);
  [[nodiscard]] bool missed_something(Pid pid, const Entry& entry) const;
  void collect(const RequestTrace& trace, std::string_view id, bool prefixed, OneCall& call) const;
  void expire(Time now);

  Limits limits_;
  Entries entries_{};
  std::set<std::pair<Time, Key>> ended_{};  ///< all that have, by when
  std::map<Pid, Time> losses_{};            ///< when messages of a process were last missed
  Time next_sweep_{};
  std::uint64_t in_ = 0;
  std::uint64_t out_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t silent_ = 0;
};

}  // namespace inferscope::correlate
