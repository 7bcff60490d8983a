// SPDX-License-Identifier: Apache-2.0
#include "correlate/ledger.h"

#include <algorithm>
#include <utility>

#include "model/time_math.h"

namespace inferscope::correlate {
namespace {

constexpr Duration worth_a_mark = std::chrono::milliseconds(1);
constexpr std::size_t detailed_parts = 32;  ///< one without details for each kind has room beside these

bool has_details(const TimePart& part) {
  return part.pid != 0 || part.request != RequestName{};
}

bool same(const TimePart& a, const TimePart& b) {
  return a.kind == b.kind && a.pid == b.pid && a.request == b.request;
}

/// Keeps the longest ones.
template <class Stretch>
void keep(std::vector<Stretch>& all, Stretch one, std::size_t limit) {
  if (all.size() < limit) {
    all.push_back(std::move(one));
    return;
  }
  const auto length = [](const Stretch& stretch) { return elapsed(stretch.begin, stretch.end); };
  const auto shortest = std::min_element(all.begin(), all.end(),
                                         [&](const Stretch& a, const Stretch& b) { return length(a) < length(b); });
  if (length(*shortest) < length(one)) *shortest = std::move(one);
}

template <class Stretch>
std::vector<Stretch> in_order(std::vector<Stretch> all) {
  std::sort(all.begin(), all.end(), [](const Stretch& a, const Stretch& b) { return a.begin < b.begin; });
  return all;
}

}  // namespace

void Ledger::add(TimePart part) {
  if (part.time <= Duration::zero()) return;
  auto known = std::find_if(parts_.begin(), parts_.end(), [&](const TimePart& one) { return same(one, part); });
  if (known == parts_.end() && has_details(part)) {
    const auto detailed = static_cast<std::size_t>(std::count_if(parts_.begin(), parts_.end(), has_details));
    if (detailed >= detailed_parts) {
      part = {.kind = part.kind, .time = part.time};
      known = std::find_if(parts_.begin(), parts_.end(), [&](const TimePart& one) { return same(one, part); });
    }
  }
  if (known == parts_.end()) {
    parts_.push_back(std::move(part));
    return;
  }
  known->time += part.time;
  known->tokens = std::max(known->tokens, part.tokens);
}

void Ledger::add(const HostDelay& delay, Duration time) {
  add(TimePart{.kind = delay.kind, .time = time, .pid = delay.pid, .name = delay.name});
  const bool has_place = delay.time >= elapsed(delay.begin, delay.end);  // else it is known to lie in there somewhere
  if (time >= worth_a_mark && has_place)
    keep(marks_, DelayMark{delay.kind, delay.begin, delay.end, delay.pid, delay.name}, Explanation::marks_kept);
}

void Ledger::add(const EngineStep& step) {
  ++steps_total_;
  keep(steps_, step, Explanation::steps_kept);
}

void Ledger::move(TimeKind from, TimeKind to, Duration at_most) {
  Duration left = at_most;
  for (const bool with_culprit : {false, true})
    for (TimePart& part : parts_) {
      if (part.kind != from || (part.pid != 0) != with_culprit) continue;
      const Duration moved = std::min(left, part.time);
      part.time -= moved;
      left -= moved;
    }
  std::erase_if(parts_, [](const TimePart& part) { return part.time <= Duration::zero(); });
  add(TimePart{.kind = to, .time = at_most - left});
}

Duration Ledger::total() const {
  Duration sum{};
  for (const TimePart& part : parts_) sum += part.time;
  return sum;
}

Duration Ledger::total(TimeKind kind) const {
  Duration sum{};
  for (const TimePart& part : parts_)
    if (part.kind == kind) sum += part.time;
  return sum;
}

void Ledger::tell(Explanation& out) const {
  const auto longer = [](const TimePart& a, const TimePart& b) { return a.time > b.time; };
  std::vector<TimePart> all = parts_;
  std::stable_sort(all.begin(), all.end(), longer);
  for (const TimePart& part : all) {
    const auto known =
        std::find_if(out.parts.begin(), out.parts.end(), [&](const TimePart& one) { return one.kind == part.kind; });
    if (part.request != RequestName{} && out.blockers.size() < Explanation::blockers_kept) out.blockers.push_back(part);
    if (known == out.parts.end()) {
      out.parts.push_back(part);
      continue;
    }
    const Duration sum = known->time + part.time;
    if (!has_details(*known)) *known = part;
    known->time = sum;
  }
  std::stable_sort(out.parts.begin(), out.parts.end(), longer);
  out.steps = in_order(steps_);
  out.marks = in_order(marks_);
  out.steps_total = steps_total_;
}

}  // namespace inferscope::correlate
