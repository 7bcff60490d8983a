// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/time.h"
#include "model/explanation.h"
#include "model/thread_run.h"

namespace inferscope::correlate {

/// What kept a thread from running. `time` may be less than from begin to end where only its sum is known.
struct HostDelay {
  TimeKind kind{};
  Time begin{};
  Time end{};
  Duration time{};
  Pid pid = 0;  ///< run_queue: who had the processor
  std::string name{};
};

/// What some threads did lately: those of one server and of the processes that work for it.
class ThreadLog {
 public:
  static constexpr std::size_t threads_kept = 256;
  static constexpr std::size_t runs_kept = 2048;  ///< of one thread

  /// From one sleep to the next, or a part of that.
  struct Run {
    Time slept{};
    Time woken{};
    Time begin{};
    Time end{};
    ThreadRun::Wait wait{};
    bool sleeps = false;  ///< it went to sleep at the end
    Pid waker_pid = 0;
    Tid waker_tid = 0;
    Duration ran{};
    Duration delayed{};
    Duration faulted{};  ///< in between, for pages from disks: asleep, or on the way back to a processor
    std::optional<HostDelay> longest{};
  };

  void on(const ThreadRun& run);
  void on(const MemoryReclaim& reclaim);

  /// All that it did until then is known.
  [[nodiscard]] Time heard(Tid tid) const;
  /// When it began to rest between two times: the first of its sleeps there that is at least half as long as the
  /// longest, or longer than any for a lock.
  [[nodiscard]] std::optional<Time> first_rest(Tid tid, Time from, Time until) const;
  /// The run that it began when it was woken last before `to`, if it had gone to sleep after `from`; where it was
  /// kept by a lock right after that, the one before.
  [[nodiscard]] const Run* run_after_rest(Tid tid, Time from, Time to) const;
  /// The run for which another thread woke it between two times.
  [[nodiscard]] const Run* run_woken_by(Tid tid, Tid waker, Time from, Time to) const;
  /// The run that it began when it was woken next, if it slept at that time.
  [[nodiscard]] const Run* run_after_sleep(Tid tid, Time time) const;

  /// All that kept it from running between the two, and how long it ran.
  Duration collect(Tid tid, Time from, Time to, std::vector<HostDelay>& delays) const;
  /// How long it waited for room to write.
  [[nodiscard]] Duration waited_to_send(Tid tid, Time from, Time to) const;

  /// What is older is not asked for any more.
  void forget_until(Time time);
  /// What had to be forgotten of it before ended then; of all threads, where so many are kept that it was forgotten.
  [[nodiscard]] Time lost_until(Tid tid) const;

 private:
  struct Thread {
    std::deque<Run> runs{};
    std::deque<HostDelay> reclaims{};
    Time heard{};
    Time lost_until{};
  };
  Thread& thread_of(Tid tid, Time time);
  [[nodiscard]] const Thread& find(Tid tid) const;

  std::map<Tid, Thread> threads_{};
  Time forgotten_{};  ///< threads were, of which something was known until then
};

}  // namespace inferscope::correlate
