// SPDX-License-Identifier: Apache-2.0
#include "correlate/gpu_log.h"

#include <gtest/gtest.h>

#include "tests/support/exchange_script.h"

namespace inferscope::correlate {
namespace {

using namespace std::chrono_literals;
using test::at_ms;

/// Handed over for a fifth of it, and waited for then.
GpuWork work(int begin, int end, Tid tid = 1) {
  const Time wait_begin = at_ms(begin) + (at_ms(end) - at_ms(begin)) / 5;
  return {.pid = 1, .tid = tid, .begin = at_ms(begin), .wait_begin = wait_begin, .end = at_ms(end)};
}

TEST(GpuLog, WhatIsTakenIsNotThereAgain) {
  GpuLog log;
  log.on(work(10, 20));
  log.on(work(25, 45));
  EXPECT_EQ(log.peek(at_ms(0), at_ms(30)).busy, 15ms);
  EXPECT_EQ(log.take(at_ms(0), at_ms(30)).busy, 15ms);
  EXPECT_EQ(log.take(at_ms(0), at_ms(30)).busy, 0ms);
  const GpuLog::Use rest = log.take(at_ms(30), at_ms(100));
  EXPECT_EQ(rest.busy, 15ms);
  EXPECT_TRUE(rest.any);
  EXPECT_TRUE(log.empty());
}

TEST(GpuLog, SeveralGpusAddUpAndAreWaitedForOnce) {
  GpuLog log;
  log.on(work(10, 30, 1));
  log.on(work(20, 40, 2));
  const GpuLog::Use use = log.take(at_ms(0), at_ms(100));
  EXPECT_EQ(use.busy, 40ms);
  EXPECT_EQ(use.waiting, 26ms);
}

TEST(GpuLog, WhatIsLateCountsButWasNotWaitedFor) {
  GpuLog log;
  log.on(work(10, 30));
  const GpuLog::Use use = log.take(at_ms(20), at_ms(40));
  EXPECT_EQ(use.busy, 20ms);
  EXPECT_EQ(use.waiting, 10ms);
}

TEST(GpuLog, WindowsOfAThreadDoNotOverlap) {
  GpuLog log;
  log.on(work(10, 30));
  log.on(work(20, 40));
  EXPECT_EQ(log.take(at_ms(0), at_ms(100)).busy, 30ms);
}

TEST(GpuLog, GraphsAreOverWithTheirWait) {
  GpuLog log;
  GpuWork graph = work(10, 12);
  graph.ending = GpuWork::Ending::graph;
  log.on(graph);
  EXPECT_FALSE(log.take(at_ms(0), at_ms(100)).any);
}

TEST(GpuLog, IsBounded) {
  GpuLog log;
  for (Tid tid = 0; tid < static_cast<Tid>(GpuLog::threads_kept) + 2; ++tid) log.on(work(1, 2, tid));
  EXPECT_EQ(log.lost_until(), at_ms(2));
  for (int i = 1; i <= static_cast<int>(GpuLog::windows_kept); ++i) log.on(work(2 * i, 2 * i + 1, 0));
  EXPECT_EQ(log.lost_until(), at_ms(2)) << "the first one again";
  log.on(work(100'000, 100'001, 0));
  EXPECT_EQ(log.lost_until(), at_ms(3));
}

}  // namespace
}  // namespace inferscope::correlate
