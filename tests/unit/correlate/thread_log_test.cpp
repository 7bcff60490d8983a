// SPDX-License-Identifier: Apache-2.0
#include "correlate/thread_log.h"

#include <gtest/gtest.h>

#include "tests/support/exchange_script.h"

namespace inferscope::correlate {
namespace {

using namespace std::chrono_literals;
using test::at_ms;
using Wait = ThreadRun::Wait;

constexpr Tid tid = 7;

ThreadRun run(int slept, int woken, int end, Duration delayed = {}, Wait wait = Wait::futex, Tid waker = 0) {
  return {.pid = 1,
          .tid = tid,
          .wait = wait,
          .slept = at_ms(slept),
          .woken = at_ms(woken),
          .begin = at_ms(woken),
          .end = at_ms(end),
          .waker_tid = waker,
          .ran = at_ms(end) - at_ms(woken) - delayed,
          .delayed = delayed};
}

Duration sum_of(const std::vector<HostDelay>& delays, TimeKind kind) {
  Duration sum{};
  for (const HostDelay& delay : delays)
    if (delay.kind == kind) sum += delay.time;
  return sum;
}

TEST(ThreadLog, PartsOfRunsCountByTheirShare) {
  ThreadLog log;
  log.on(run(0, 10, 20, 4ms));
  log.on(run(20, 30, 40));
  std::vector<HostDelay> delays;
  EXPECT_EQ(log.collect(tid, at_ms(15), at_ms(35), delays), 3ms + 5ms);
  EXPECT_EQ(sum_of(delays, TimeKind::run_queue), 2ms);
  delays.clear();
  EXPECT_EQ(log.collect(tid, at_ms(0), at_ms(100), delays), 6ms + 10ms);
  EXPECT_EQ(sum_of(delays, TimeKind::run_queue), 4ms);
  EXPECT_EQ(log.collect(8, at_ms(0), at_ms(100), delays), 0ms) << "of another thread nothing is known";
}

TEST(ThreadLog, TheLongestDelayIsWhereItWas) {
  ThreadLog log;
  ThreadRun one = run(0, 10, 30, 8ms);
  one.longest_delay = ThreadRun::Delay{at_ms(12), at_ms(18), 99, "hog"};
  log.on(one);
  std::vector<HostDelay> delays;
  log.collect(tid, at_ms(15), at_ms(17), delays);
  ASSERT_EQ(delays.size(), 2U);
  EXPECT_EQ(delays[0].time, 2ms);
  EXPECT_EQ(delays[0].pid, 99);
  EXPECT_EQ(delays[0].name, "hog");
  EXPECT_EQ(delays[1].time, 200us) << "a tenth of the two milliseconds that lie anywhere";
}

TEST(ThreadLog, SleepsForDisksAndMemoryAreDelays) {
  ThreadLog log;
  log.on(run(0, 10, 20, {}, Wait::page_fault));
  log.on(run(20, 30, 40, {}, Wait::file));
  log.on(run(40, 50, 60, {}, Wait::memory));
  log.on(run(60, 70, 80, {}, Wait::poll));
  log.on(MemoryReclaim{.pid = 1, .tid = tid, .begin = at_ms(72), .end = at_ms(75)});
  std::vector<HostDelay> delays;
  log.collect(tid, at_ms(5), at_ms(100), delays);
  EXPECT_EQ(sum_of(delays, TimeKind::page_fault), 5ms);
  EXPECT_EQ(sum_of(delays, TimeKind::disk), 10ms);
  EXPECT_EQ(sum_of(delays, TimeKind::memory_reclaim), 10ms + 3ms);
}

TEST(ThreadLog, ShortSleepsForManyPagesAreDelays) {
  ThreadLog log;
  ThreadRun one = run(0, 10, 20, 3ms);
  one.sleeps = 70;
  one.slept_in_between = 4ms;
  one.major_faults = 72;
  one.longest_delay = ThreadRun::Delay{at_ms(12), at_ms(14), 99, "hog"};
  log.on(one);
  one = run(20, 30, 40, 2ms);
  one.sleeps = 70;
  one.slept_in_between = 4ms;
  one.major_faults = 30;  // what the others were for is not known
  log.on(one);
  std::vector<HostDelay> delays;
  log.collect(tid, at_ms(0), at_ms(40), delays);
  EXPECT_EQ(sum_of(delays, TimeKind::page_fault), 4ms + 1ms) << "with what it waited for a processor each time";
  EXPECT_EQ(sum_of(delays, TimeKind::run_queue), 2ms + 2ms);
}

TEST(ThreadLog, RestsAreTheLongSleeps) {
  ThreadLog log;
  log.on(run(0, 10, 20));       // took a request in at 12
  log.on(run(20, 21, 22));      // waited for a lock
  log.on(run(22, 1022, 1023));  // looked after its client
  log.on(run(1023, 1500, 1501));
  EXPECT_EQ(log.first_rest(tid, at_ms(12), at_ms(1500)), at_ms(22));
  EXPECT_EQ(log.first_rest(tid, at_ms(12), at_ms(21)), at_ms(20)) << "nothing longer is known by then";
  EXPECT_EQ(log.first_rest(tid, at_ms(1400), Time::max()), at_ms(1501)) << "it sleeps still";
  EXPECT_FALSE(log.first_rest(8, at_ms(0), at_ms(100)));
}

TEST(ThreadLog, WhoIsKeptByALockWasWokenBefore) {
  ThreadLog log;
  log.on(run(0, 100, 101));
  log.on(run(101, 105, 106));
  const ThreadLog::Run* roused = log.run_after_rest(tid, at_ms(0), at_ms(106));
  ASSERT_TRUE(roused);
  EXPECT_EQ(roused->woken, at_ms(100));
  EXPECT_EQ(log.run_after_rest(tid, at_ms(50), at_ms(106))->woken, at_ms(105)) << "what it slept for before is done";
  log.on(run(106, 1106, 1107));
  log.on(run(1107, 1300, 1301));
  EXPECT_EQ(log.run_after_rest(tid, at_ms(106), at_ms(1301))->woken, at_ms(1300)) << "the other was too long before";
}

TEST(ThreadLog, WakersAndSleepsAreFound) {
  ThreadLog log;
  log.on(run(0, 10, 20, {}, Wait::futex, 5));
  log.on(run(20, 30, 40, {}, Wait::futex, 6));
  EXPECT_EQ(log.run_woken_by(tid, 6, at_ms(0), at_ms(35))->woken, at_ms(30));
  EXPECT_FALSE(log.run_woken_by(tid, 6, at_ms(31), at_ms(35)));
  EXPECT_EQ(log.run_after_sleep(tid, at_ms(25))->woken, at_ms(30));
  EXPECT_FALSE(log.run_after_sleep(tid, at_ms(15))) << "it ran";
  EXPECT_EQ(log.heard(tid), at_ms(40));
  EXPECT_EQ(log.heard(8), Time{});
}

TEST(ThreadLog, WaitsForRoomToWrite) {
  ThreadLog log;
  log.on(run(0, 10, 20, {}, Wait::send));
  log.on(run(20, 30, 40, {}, Wait::poll));
  EXPECT_EQ(log.waited_to_send(tid, at_ms(4), at_ms(100)), 6ms);
}

TEST(ThreadLog, ForgetsButForTheLastRun) {
  ThreadLog log;
  log.on(run(0, 10, 20));
  log.on(run(20, 30, 40));
  log.forget_until(at_ms(100));
  EXPECT_EQ(log.heard(tid), at_ms(40));
  std::vector<HostDelay> delays;
  EXPECT_EQ(log.collect(tid, at_ms(0), at_ms(25), delays), 0ms);
  EXPECT_EQ(log.lost_until(tid), Time{}) << "nobody asks for it any more";
}

TEST(ThreadLog, IsBounded) {
  ThreadLog log;
  for (int i = 0; i < static_cast<int>(ThreadLog::runs_kept) + 3; ++i) log.on(run(2 * i, 2 * i + 1, 2 * i + 2));
  EXPECT_EQ(log.lost_until(tid), at_ms(6)) << "three runs";
  EXPECT_EQ(log.lost_until(tid + 1), Time{}) << "not of another thread";
  for (Tid other = 100; other < 100 + static_cast<Tid>(ThreadLog::threads_kept); ++other) {
    ThreadRun one = run(10000, 10001, 10002);
    one.tid = other;
    log.on(one);
  }
  EXPECT_EQ(log.lost_until(tid), at_ms(2 * (static_cast<int>(ThreadLog::runs_kept) + 3)))
      << "the thread that was heard of longest ago";
}

}  // namespace
}  // namespace inferscope::correlate
