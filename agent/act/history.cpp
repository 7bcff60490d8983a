// SPDX-License-Identifier: Apache-2.0
#include "act/history.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "model/time_math.h"

namespace inferscope::act {
namespace {

/// Only the last `most` can decide whether a rate is reached.
void push(std::deque<Time>& times, Time now, std::size_t most) {
  times.push_back(now);
  while (times.size() > most) times.pop_front();
}

bool reached(const std::deque<Time>& times, std::size_t count, Duration window, Time now) {
  if (count == 0) return true;
  return times.size() >= count && elapsed(times[times.size() - count], now) < window;
}

}  // namespace

History::History(const policy::Plan& plan, std::uint32_t host_rate_count) : host_count_(host_rate_count) {
  for (const policy::Policy& policy : plan.policies) {
    longest_cooldown_ = std::max(longest_cooldown_, policy.cooldown);
    policy_counts_[policy.name] = policy.rate_count;
  }
}

void History::hold(const std::string& decision, const HistoryEntry& entry) {
  if (holding_.emplace(decision, Holding{entry, {}}).second && !entry.message) ++held_;
}

void History::begin(const std::string& decision, const HistoryEntry& entry, Time now) {
  hold(decision, entry);
  push(policy_times_[entry.policy], now, policy_counts_[entry.policy]);
  if (!entry.message) push(host_times_, now, host_count_);
}

void History::adopt(const std::string& decision, const HistoryEntry& entry) {
  hold(decision, entry);
}

void History::holds_until(const std::string& decision, Time until) {
  if (const auto found = holding_.find(decision); found != holding_.end()) found->second.until = until;
}

void History::end(const std::string& decision, const HistoryEntry& entry, Time now) {
  hold(decision, entry);
  end(decision, now);
}

void History::end(const std::string& decision, Time now) {
  const auto found = holding_.find(decision);
  if (found == holding_.end()) return;
  const HistoryEntry& entry = found->second.entry;
  if (!entry.message) --held_;
  ended_[entry.target] = {now, entry.finding};
  holding_.erase(found);
}

void History::tick(Time now) {
  std::vector<std::pair<std::string, Time>> over;
  for (const auto& [decision, holding] : holding_)
    if (holding.until && *holding.until <= now) over.emplace_back(decision, *holding.until);
  for (const auto& [decision, until] : over) end(decision, until);
  std::erase_if(ended_, [&](const auto& one) { return elapsed(one.second.time, now) >= longest_cooldown_; });
}

bool History::busy(const std::string& target) const {
  return std::any_of(holding_.begin(), holding_.end(),
                     [&target](const auto& one) { return one.second.entry.target == target; });
}

const History::Ended* History::last(const std::string& target) const {
  const auto found = ended_.find(target);
  return found == ended_.end() ? nullptr : &found->second;
}

bool History::policy_rate_reached(const policy::Policy& policy, Time now) const {
  const auto found = policy_times_.find(policy.name);
  return found != policy_times_.end() && reached(found->second, policy.rate_count, policy.rate_window, now);
}

bool History::host_rate_reached(std::uint32_t count, Duration window, Time now) const {
  return reached(host_times_, count, window, now);
}

}  // namespace inferscope::act
