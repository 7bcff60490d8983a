// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "core/time.h"
#include "policy/plan.h"

namespace inferscope::act {

/// What history remembers of something done.
struct HistoryEntry {
  std::string target{};  ///< key of what is acted on: a process, a cgroup, or who is told by which policy
  std::string policy{};
  std::string finding{};
  bool message = false;  ///< touches nobody: neither counts at once nor for the host
};

/// What was done to whom and when, for cooldowns, rates and how much is done at once. Bounded: what is older than any
/// policy asks for is forgotten.
class History {
 public:
  static constexpr std::size_t targets_kept = 4096;
  static constexpr std::size_t entries_kept = 4096;

  History(const policy::Plan& plan, std::uint32_t host_rate_count);

  /// A decision was made: it counts for the rates, and holds its target until end().
  void begin(const std::string& decision, const HistoryEntry& entry, Time now);
  /// A lease of an earlier run of the agent: holds, but counts for no rate.
  void adopt(const std::string& decision, const HistoryEntry& entry);
  /// Dry leases end by themselves.
  void holds_until(const std::string& decision, Time until);
  /// Begins the cooldown of its target. Unknown decisions are of an earlier run; `entry` says what they did.
  void end(const std::string& decision, const HistoryEntry& entry, Time now);
  void end(const std::string& decision, Time now);
  /// Ends what holds_until() said, forgets what no policy asks for any more.
  void tick(Time now);

  [[nodiscard]] bool holding(const std::string& decision) const { return holding_.contains(decision); }
  /// What holds, without messages.
  [[nodiscard]] std::size_t held() const { return held_; }
  [[nodiscard]] bool full() const { return holding_.size() >= entries_kept || ended_.size() >= targets_kept; }
  /// Whether something else is under way on the target.
  [[nodiscard]] bool busy(const std::string& target) const;

  struct Ended {
    Time time{};
    std::string finding{};
  };
  [[nodiscard]] const Ended* last(const std::string& target) const;
  /// Whether `count` things were done within `window` before `now`.
  [[nodiscard]] bool policy_rate_reached(const policy::Policy& policy, Time now) const;
  [[nodiscard]] bool host_rate_reached(std::uint32_t count, Duration window, Time now) const;

 private:
  struct Holding {
    HistoryEntry entry{};
    std::optional<Time> until{};
  };
  using Times = std::deque<Time>;

  void hold(const std::string& decision, const HistoryEntry& entry);

  Duration longest_cooldown_{};
  std::map<std::string, std::uint32_t> policy_counts_{};
  std::uint32_t host_count_;
  std::map<std::string, Holding> holding_{};  ///< by decision
  std::size_t held_ = 0;
  std::map<std::string, Ended> ended_{};  ///< by target
  std::map<std::string, Times> policy_times_{};
  Times host_times_{};
};

}  // namespace inferscope::act
