// SPDX-License-Identifier: Apache-2.0
#include "correlate/thread_log.h"

#include <algorithm>
#include <iterator>

#include "correlate/scale.h"
#include "model/time_math.h"

namespace inferscope::correlate {
namespace {

/// Threads that share work are kept by each other's locks no longer than this, as a rule.
constexpr Duration longest_lock = std::chrono::milliseconds(20);

std::optional<TimeKind> kind_of(ThreadRun::Wait wait) {
  switch (wait) {
    case ThreadRun::Wait::file:
      return TimeKind::disk;
    case ThreadRun::Wait::page_fault:
      return TimeKind::page_fault;
    case ThreadRun::Wait::memory:
      return TimeKind::memory_reclaim;
    default:
      return std::nullopt;  // it waited for somebody's work
  }
}

/// How much of a stretch lies between two times.
struct Overlap {
  Time begin{};
  Time end{};

  Overlap(Time a, Time b, Time from, Time to) : begin(std::max(a, from)), end(std::min(b, to)) {}
  [[nodiscard]] bool empty() const { return end <= begin; }
  [[nodiscard]] Duration length() const { return empty() ? Duration::zero() : elapsed(begin, end); }
};

/// As much of an amount as falls to a part of the stretch over which it is spread.
Duration part_of(Duration amount, Duration part, Duration whole) {
  return whole <= Duration::zero() || part >= whole ? amount : scaled(amount, to_seconds(part) / to_seconds(whole));
}

}  // namespace

ThreadLog::Thread& ThreadLog::thread_of(Tid tid, Time time) {
  if (threads_.size() >= threads_kept && !threads_.contains(tid)) {
    const auto oldest = std::min_element(threads_.begin(), threads_.end(),
                                         [](const auto& a, const auto& b) { return a.second.heard < b.second.heard; });
    if (!oldest->second.runs.empty()) forgotten_ = std::max(forgotten_, oldest->second.runs.back().end);
    threads_.erase(oldest);
  }
  Thread& thread = threads_[tid];
  thread.heard = std::max(thread.heard, time);
  return thread;
}

const ThreadLog::Thread& ThreadLog::find(Tid tid) const {
  static const Thread unknown{};
  const auto found = threads_.find(tid);
  return found == threads_.end() ? unknown : found->second;
}

Time ThreadLog::lost_until(Tid tid) const {
  const auto found = threads_.find(tid);
  return found == threads_.end() ? forgotten_ : found->second.lost_until;
}

void ThreadLog::on(const ThreadRun& run) {
  Thread& thread = thread_of(run.tid, run.end);
  Run kept{.slept = run.slept,
           .woken = run.woken,
           .begin = run.begin,
           .end = run.end,
           .wait = run.wait,
           .sleeps = run.ending == ThreadRun::Ending::slept,
           .waker_pid = run.waker_pid,
           .waker_tid = run.waker_tid,
           .ran = run.ran,
           .delayed = run.delayed};
  if (run.longest_delay && run.longest_delay->end > run.longest_delay->begin) {
    const ThreadRun::Delay& delay = *run.longest_delay;
    kept.longest = HostDelay{TimeKind::run_queue, delay.begin,
                             delay.end,           elapsed(delay.begin, delay.end),
                             delay.culprit,       std::string(delay.culprit_name)};
  }
  // Of short sleeps only the sum is told, and of the delays after them. Where every other one or more can have been for
  // a page, they count for that.
  if (run.sleeps > 0 && 2 * run.major_faults >= run.sleeps) {
    const Duration noted = kept.longest ? std::min(kept.longest->time, run.delayed) : Duration::zero();
    kept.faulted = run.slept_in_between + (run.delayed - noted);
    kept.delayed = noted;
  }
  thread.runs.push_back(std::move(kept));
  if (thread.runs.size() <= runs_kept) return;
  thread.lost_until = std::max(thread.lost_until, thread.runs.front().end);
  thread.runs.pop_front();
}

void ThreadLog::on(const MemoryReclaim& reclaim) {
  Thread& thread = thread_of(reclaim.tid, reclaim.end);
  thread.reclaims.push_back(
      {TimeKind::memory_reclaim, reclaim.begin, reclaim.end, elapsed(reclaim.begin, reclaim.end), 0, {}});
  if (thread.reclaims.size() <= runs_kept) return;
  thread.lost_until = std::max(thread.lost_until, thread.reclaims.front().end);
  thread.reclaims.pop_front();
}

std::optional<Time> ThreadLog::first_rest(Tid tid, Time from, Time until) const {
  const auto& runs = find(tid).runs;
  const auto each_sleep = [&](auto&& see) {
    for (auto run = runs.begin(); run != runs.end() && run->end < until; ++run) {
      const auto next = std::next(run);
      if (run->sleeps && run->end >= from) see(run->end, elapsed(run->end, next == runs.end() ? until : next->woken));
    }
  };
  Duration longest{};
  each_sleep([&](Time, Duration length) { longest = std::max(longest, length); });
  std::optional<Time> rest;
  // All that serve requests may be woken for the tokens of others meanwhile, which cuts it into pieces.
  const Duration enough = std::min(longest / 2, longest_lock);
  each_sleep([&](Time begin, Duration length) {
    if (!rest && length >= enough) rest = begin;
  });
  return rest;
}

Time ThreadLog::heard(Tid tid) const {
  const auto& runs = find(tid).runs;
  return runs.empty() ? Time{} : runs.back().end;
}

const ThreadLog::Run* ThreadLog::run_after_rest(Tid tid, Time from, Time to) const {
  const auto rested = [](const Run& run) { return elapsed(run.slept, run.woken); };
  const Run* last = nullptr;
  const Run* longest = nullptr;
  const auto& runs = find(tid).runs;
  for (auto run = runs.rbegin(); run != runs.rend() && run->end >= from; ++run) {
    if (run->wait == ThreadRun::Wait::none || run->slept < from || run->woken > to) continue;
    if (!last) last = longest = &*run;
    if (elapsed(run->woken, last->woken) >= longest_lock) break;
    if (rested(*run) > rested(*longest)) longest = &*run;
  }
  return last && rested(*longest) > rested(*last) * 2 ? longest : last;
}

const ThreadLog::Run* ThreadLog::run_woken_by(Tid tid, Tid waker, Time from, Time to) const {
  for (const Run& run : find(tid).runs)
    if (run.wait != ThreadRun::Wait::none && run.waker_tid == waker && from <= run.woken && run.woken <= to)
      return &run;
  return nullptr;
}

const ThreadLog::Run* ThreadLog::run_after_sleep(Tid tid, Time time) const {
  for (const Run& run : find(tid).runs)
    if (run.wait != ThreadRun::Wait::none && run.slept <= time && time <= run.woken) return &run;
  return nullptr;
}

Duration ThreadLog::collect(Tid tid, Time from, Time to, std::vector<HostDelay>& delays) const {
  Duration ran{};
  const Thread& thread = find(tid);
  const auto add = [&](TimeKind kind, const Overlap& where, Duration time, const HostDelay* like) {
    if (time <= Duration::zero() || where.empty()) return;
    delays.push_back({kind, where.begin, where.end, time, like ? like->pid : 0, like ? like->name : std::string()});
  };
  for (auto run = thread.runs.rbegin(); run != thread.runs.rend() && run->end > from; ++run) {
    const Overlap whole(run->woken, run->end, from, to);
    const Duration length = elapsed(run->woken, run->end);
    ran += whole.empty() ? Duration::zero() : part_of(run->ran, whole.length(), length);
    if (const auto kind = kind_of(run->wait)) {
      const Overlap slept(run->slept, run->woken, from, to);
      add(*kind, slept, slept.length(), nullptr);
    }
    Duration delayed = run->delayed;
    const HostDelay* longest = run->longest ? &*run->longest : nullptr;
    if (longest) {
      const Overlap where(longest->begin, longest->end, from, to);
      add(TimeKind::run_queue, where, where.length(), longest);
      delayed -= std::min(delayed, longest->time);
    }
    if (whole.empty()) continue;
    add(TimeKind::run_queue, whole, part_of(delayed, whole.length(), length), longest);
    add(TimeKind::page_fault, whole, part_of(run->faulted, whole.length(), length), nullptr);
  }
  for (const HostDelay& reclaim : thread.reclaims) {
    const Overlap where(reclaim.begin, reclaim.end, from, to);
    add(reclaim.kind, where, where.length(), nullptr);
  }
  return ran;
}

Duration ThreadLog::waited_to_send(Tid tid, Time from, Time to) const {
  Duration waited{};
  const auto& runs = find(tid).runs;
  for (auto run = runs.rbegin(); run != runs.rend() && run->end > from; ++run)
    if (run->wait == ThreadRun::Wait::send) waited += Overlap(run->slept, run->woken, from, to).length();
  return waited;
}

void ThreadLog::forget_until(Time time) {
  // The last run tells whether a thread sleeps.
  for (auto it = threads_.begin(); it != threads_.end();) {
    auto& runs = it->second.runs;
    auto& reclaims = it->second.reclaims;
    while (runs.size() > 1 && runs.front().end < time) runs.pop_front();
    while (!reclaims.empty() && reclaims.front().end < time) reclaims.pop_front();
    it = runs.empty() && reclaims.empty() ? threads_.erase(it) : std::next(it);
  }
}

}  // namespace inferscope::correlate
