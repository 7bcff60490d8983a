// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "tests/support/child_process.h"
#include "tests/support/real_cgroup.h"
#include "tests/support/shared.h"
#include "tests/support/sockets.h"
#include "tests/support/thread_runs.h"

namespace inferscope::test {
namespace {

using namespace std::chrono_literals;
using Ending = ThreadRun::Ending;
using Wait = ThreadRun::Wait;

/// What the kernel itself says of the calling thread.
struct Account {
  std::uint64_t ran = 0;
  std::uint64_t waited = 0;

  static Account now() {
    Account account;
    std::ifstream("/proc/thread-self/schedstat") >> account.ran >> account.waited;
    return account;
  }
};

void expect_close(Duration told, std::uint64_t truth, const char* what) {
  const auto difference = std::abs(static_cast<double>(told.count()) - static_cast<double>(truth));
  EXPECT_LE(difference, 3e6 + 0.05 * static_cast<double>(truth)) << what << ": " << told.count() << " of " << truth;
}

void futex_wait(std::atomic<int>& word, int value) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}
/// 1 if somebody waited.
int futex_wake(std::atomic<int>& word) {
  return static_cast<int>(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0));
}

/// Others of this host hardly run beside it.
void prefer(pid_t pid = 0) {
  setpriority(PRIO_PROCESS, static_cast<id_t>(pid), -20);
}

/// In ticks since the boot.
std::uint64_t idle_of(int processor) {
  std::ifstream stat("/proc/stat");
  for (std::string line; std::getline(stat, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t user = 0, nice = 0, system = 0, idle = 0;
    if (words >> name >> user >> nice >> system >> idle && name == "cpu" + std::to_string(processor)) return idle;
  }
  return 0;
}

TEST(SchedBpf, WhatIsToldIsWhatTheKernelCounts) {
  TracedProcess traced;
  Shared<Account> from{};
  Shared<Account> to{};
  ChildProcess rival = ChildProcess::spinning();
  ASSERT_TRUE(pin(0, rival.pid()));
  traced.run([&] {
    *from = Account::now();
    REQUIRE_OR_EXIT(pin(0));
    for (int i = 0; i < 10; ++i) {
      spin_for(20ms);
      usleep(3000);
    }
    for (int i = 0; i < 300; ++i) usleep(20);
    prefer();  // its end is told, too, and is not to take long
    *to = Account::now();
  });
  ASSERT_EQ(traced.status(), 0);
  expect_gapless(traced);
  const auto runs = runs_of(traced, traced.child());
  ASSERT_FALSE(runs.empty());
  expect_close(sum_of(runs, &ThreadRun::ran), to->ran - from->ran, "ran");
  expect_close(sum_of(runs, &ThreadRun::delayed), to->waited - from->waited, "delayed");
  EXPECT_GT(sum_of(runs, &ThreadRun::preemptions), 0u);
  EXPECT_GE(sum_of(runs, &ThreadRun::sleeps), 150u) << "those of 20 us are not told one by one";
  EXPECT_EQ(runs.back()->ending, Ending::exited);
  EXPECT_EQ(traced.source().counters().runs_held, 0u);
  EXPECT_EQ(traced.source().counters().details_lost, 0u);
}

TEST(SchedBpf, WhoHadTheProcessorIsNamed) {
  TracedProcess traced;
  ChildProcess rival = ChildProcess::spinning();
  ASSERT_TRUE(pin(0, rival.pid()));
  prefer(rival.pid());
  traced.run([] {
    REQUIRE_OR_EXIT(pin(0));
    prefer();
    spin_for(200ms);
  });
  expect_gapless(traced);
  const auto runs = runs_of(traced, traced.child());
  int preempted = 0;
  Duration by_rival{};
  for (const ThreadRun* run : runs) {
    preempted += run->ending == Ending::preempted ? 1 : 0;
    if (!run->longest_delay || run->longest_delay->culprit != rival.pid()) continue;
    by_rival += run->longest_delay->end - run->longest_delay->begin;
    EXPECT_EQ(run->longest_delay->culprit_name, "bpf_tests");
  }
  EXPECT_GT(preempted, 2) << "each delay of note ends a run";
  EXPECT_GT(2 * by_rival, sum_of(runs, &ThreadRun::delayed));
}

TEST(SchedBpf, WhoHadTheProcessorLongestIsNamedAndNoBystander) {
  TracedProcess traced;
  ChildProcess hog = ChildProcess::spinning();
  // It runs right before the watched one as often as it can.
  ChildProcess bystander([] {
    prefer();
    while (true) {
      spin_for(50us);
      usleep(300);
    }
  });
  ASSERT_TRUE(pin(0, hog.pid()) && pin(0, bystander.pid()));
  prefer(hog.pid());
  traced.run([] {
    REQUIRE_OR_EXIT(pin(0));
    prefer();
    spin_for(300ms);
  });
  expect_gapless(traced);
  std::map<Pid, int> named;
  for (const ThreadRun* run : runs_of(traced, traced.child()))
    if (run->longest_delay) ++named[run->longest_delay->culprit];
  EXPECT_GT(named[hog.pid()], 2);
  EXPECT_LE(20 * named[bystander.pid()], named[hog.pid()]);
}

TEST(SchedBpf, AnExhaustedQuotaHasNoCulprit) {
  auto group = RealCgroup::make("cpu");
  ASSERT_TRUE(group) << "no cpu hierarchy";
  if (!group->has(quota_file(*group))) GTEST_SKIP() << "cgroups here limit no processor time";
  group->set(quota_file(*group), group->place().version == 1 ? "20000" : "20000 100000");
  TracedProcess traced;
  Shared<std::uint64_t> idle_ticks{};
  traced.run([&] {
    REQUIRE_OR_EXIT(pin(0));
    group->add(getpid());
    const std::uint64_t before = idle_of(0);
    spin_for(1s);
    *idle_ticks = idle_of(0) - before;
  });
  ASSERT_EQ(traced.status(), 0);
  expect_gapless(traced);
  Duration idle{};
  Duration delayed{};
  for (const ThreadRun* run : runs_of(traced, traced.child())) {
    if (!run->longest_delay || run->longest_delay->end - run->longest_delay->begin < 40ms) continue;
    delayed += run->delayed;
    if (run->longest_delay->culprit == 0) idle += run->delayed;
  }
  EXPECT_GT(delayed, 500ms);
  EXPECT_TRUE(idle > 0ms || *idle_ticks < 20) << "others did not use the processor all the time";
}

TEST(SchedBpf, TheWakerIsNamed) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  TracedProcess traced;
  traced.run([&] {
    const pid_t reader = fork();
    if (reader == 0) {
      char byte = 0;
      _exit(read(pipes[0], &byte, 1) == 1 ? 0 : 1);
    }
    usleep(20000);
    REQUIRE_OR_EXIT(write(pipes[1], "x", 1) == 1);
    int status = 0;
    REQUIRE_OR_EXIT(waitpid(reader, &status, 0) == reader && status == 0);
  });
  close(pipes[0]);
  close(pipes[1]);
  ASSERT_EQ(traced.status(), 0);
  expect_gapless(traced);
  const ThreadRun* woken = nullptr;
  const ThreadRun* timed = nullptr;
  for (const ThreadRun* run : runs_of(traced)) {
    if (run->pid != traced.child() && run->wait == Wait::receive) woken = run;
    if (run->pid == traced.child() && run->wait == Wait::sleep) timed = run;
  }
  ASSERT_TRUE(woken && timed);
  EXPECT_EQ(woken->waker_pid, traced.child());
  EXPECT_EQ(woken->waker_tid, traced.child());
  EXPECT_EQ(timed->waker_pid, 0) << "the clock";
}

TEST(SchedBpf, AThreadThatNeverSleepsIsToldOfWhenItWakesOthers) {
  TracedProcess traced;
  traced.run([] {
    prefer();
    std::atomic<int> steps{0};
    std::atomic<bool> done{false};
    std::thread reader([&] {
      for (int seen = 0; !done; seen = steps) futex_wait(steps, seen);
    });
    // Where others keep the reader from running, it is not back yet, and nobody is woken.
    for (int woken = 0; woken < 50;) {
      spin_for(4ms);
      ++steps;
      woken += futex_wake(steps);
    }
    done = true;
    ++steps;
    futex_wake(steps);
    reader.join();
  });
  expect_gapless(traced);
  int woke = 0;
  Duration ran{};
  for (const ThreadRun* run : runs_of(traced, traced.child())) {
    // Where others kept it from running for long, it was told of then, and not again right after.
    if (run->ending != Ending::woke && run->ending != Ending::preempted) continue;
    ++woke;
    ran += run->ran;
  }
  EXPECT_GE(woke, 40);
  EXPECT_GT(ran, 140ms);
  int by_it = 0;
  for (const ThreadRun* run : runs_of(traced))
    by_it += run->wait == Wait::futex && run->waker_tid == traced.child() ? 1 : 0;
  EXPECT_GE(by_it, 40);
}

TEST(SchedBpf, AboveItsBudgetAProcessIsSummedUp) {
  TracedProcess traced({.thread_runs = 10});
  traced.run([] {
    for (int i = 0; i < 300; ++i) {
      spin_for(100us);
      usleep(1000);
    }
  });
  expect_gapless(traced);
  const auto runs = runs_of(traced, traced.child());
  const auto counters = traced.source().counters();
  EXPECT_LE(runs.size(), 21u);
  EXPECT_GT(counters.runs_held, 100u);
  EXPECT_EQ(counters.details_passed, runs.size());
  EXPECT_GE(sum_of(runs, &ThreadRun::sleeps), 250u);
  EXPECT_GT(sum_of(runs, &ThreadRun::slept_in_between), 250ms);
  EXPECT_GT(sum_of(runs, &ThreadRun::ran), 25ms);
}

TEST(SchedBpf, FaultsAndMigrations) {
  constexpr std::size_t pages = 2000;
  TracedProcess traced;
  traced.run([] {
    auto* memory =
        static_cast<char*>(mmap(nullptr, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE_OR_EXIT(memory != MAP_FAILED && madvise(memory, pages * 4096, MADV_NOHUGEPAGE) == 0);
    for (std::size_t i = 0; i < pages; ++i) memory[i * 4096] = 1;
    for (int i = 0; i < 20; ++i) REQUIRE_OR_EXIT(pin(i % 2));
  });
  ASSERT_EQ(traced.status(), 0) << "needs two processors";
  expect_gapless(traced);
  const auto runs = runs_of(traced, traced.child());
  EXPECT_GE(sum_of(runs, &ThreadRun::minor_faults), pages);
  EXPECT_LE(sum_of(runs, &ThreadRun::minor_faults), pages + 500);
  EXPECT_GE(sum_of(runs, &ThreadRun::migrations), 19u);
  EXPECT_LE(sum_of(runs, &ThreadRun::migrations), 40u);
}

TEST(SchedBpf, ThreadsThatEndedAreForgotten) {
  TracedProcess traced;
  traced.run([] {
    for (int i = 0; i < 34000; ++i) std::thread([] {}).join();
    std::thread([] { execl("/bin/true", "true", nullptr); }).join();
  });
  ASSERT_EQ(traced.status(), 0);
  const auto counters = traced.source().counters();
  EXPECT_EQ(counters.threads_full, 0u);
  EXPECT_GT(counters.details_passed, 34000u) << "the end of each is told";
  EXPECT_EQ(counters.transfers_lost + counters.details_lost, 0u);
  const auto runs = runs_of(traced, traced.child());
  ASSERT_FALSE(runs.empty());
  EXPECT_EQ(runs.back()->ending, Ending::exited) << "of the thread that got the number of its process";
}

TEST(SchedBpf, ProcessesThatEndedAreForgotten) {
  TracedProcess traced;
  traced.run([] {
    for (int i = 0; i < 300; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        for (int thread = 0; thread < 119; ++thread) std::thread([] { pause(); }).detach();
        _exit(0);
      }
      REQUIRE_OR_EXIT(waitpid(child, nullptr, 0) == child);
    }
  });
  ASSERT_EQ(traced.status(), 0);
  EXPECT_EQ(traced.source().counters().threads_full, 0u);
}

TEST(SchedBpf, NobodyElseIsToldOf) {
  TracedProcess traced;
  traced.run([] { spin_for(20ms); }, TracedProcess::Treatment::unknown);
  traced.run([] { spin_for(20ms); }, TracedProcess::Treatment::sampled);
  EXPECT_TRUE(runs_of(traced).empty());
}

TEST(SchedBpf, RunsComeInOrderWithWhatTheyDid) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    for (int i = 0; i < 100; ++i) {
      send_all(pair.client, "question");
      receive_exactly(pair.server, 8);
      usleep(300);
    }
  });
  ASSERT_EQ(traced.status(), 0);
  expect_gapless(traced);
  Time before{};
  for (const Seen& seen : traced.events()) {
    EXPECT_GE(seen.event.time, before);
    before = seen.event.time;
  }
  const auto exited = std::find_if(traced.events().begin(), traced.events().end(),
                                   [](const Seen& seen) { return seen.as<ProcessExited>() != nullptr; });
  for (auto it = exited; it != traced.events().end(); ++it) EXPECT_FALSE(it->as<ThreadRun>()) << "after its end";
}

}  // namespace
}  // namespace inferscope::test
