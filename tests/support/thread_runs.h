// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sched.h>

#include <map>
#include <numeric>
#include <vector>

#include "tests/support/traced_process.h"

namespace inferscope::test {

/// Of one thread, or of all.
inline std::vector<const ThreadRun*> runs_of(const TracedProcess& traced, Tid tid = 0) {
  std::vector<const ThreadRun*> found = traced.all<ThreadRun>();
  if (tid != 0) std::erase_if(found, [tid](const ThreadRun* run) { return run->tid != tid; });
  return found;
}

template <class Field>
Field sum_of(const std::vector<const ThreadRun*>& runs, Field ThreadRun::*field) {
  return std::accumulate(runs.begin(), runs.end(), Field{},
                         [field](Field sum, const ThreadRun* run) { return sum + run->*field; });
}

/// What holds for all runs, whatever the threads did: no time is told twice or by nobody.
inline void expect_gapless(const TracedProcess& traced) {
  std::map<Tid, const ThreadRun*> last;
  for (const Seen& seen : traced.events()) {
    const auto* run = seen.as<ThreadRun>();
    if (!run) continue;
    EXPECT_EQ(run->ran + run->delayed + run->slept_in_between, run->end - run->woken);
    EXPECT_LE(run->woken, run->begin);
    EXPECT_LE(run->begin, run->end);
    EXPECT_LE(run->end, seen.event.time);
    const ThreadRun*& before = last[run->tid];
    if (before) {
      EXPECT_NE(before->ending, ThreadRun::Ending::exited);
      EXPECT_EQ(run->wait == ThreadRun::Wait::none ? run->woken : run->slept, before->end);
      // The end of a thread is told in any case, and what was held back when a sleep turns out to be long.
      if (run->ending != ThreadRun::Ending::exited && run->end == seen.event.time) {
        const bool slept = run->ending == ThreadRun::Ending::slept;
        EXPECT_GE(run->end - before->end, std::chrono::milliseconds(slept ? 2 : 1));
      }
    }
    EXPECT_TRUE(run->wait == ThreadRun::Wait::none || run->slept <= run->woken);
    EXPECT_TRUE(!run->longest_delay ||
                run->longest_delay->end - run->longest_delay->begin >= std::chrono::milliseconds(1));
    before = run;
  }
}

inline void spin_for(std::chrono::microseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) {
  }
}

/// Of this thread, or of a process: it runs on that processor only.
inline bool pin(int processor, pid_t pid = 0) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(processor), &set);
  return sched_setaffinity(pid, sizeof(set), &set) == 0;
}

}  // namespace inferscope::test
