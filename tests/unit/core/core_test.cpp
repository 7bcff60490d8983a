// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/bounded_queue.h"
#include "core/fd.h"
#include "core/result.h"
#include "core/stage_stats.h"

namespace inferscope {
namespace {

using std::chrono::milliseconds;

TEST(BoundedQueue, GivesInOrderUpToTheLimit) {
  BoundedQueue<int> queue(3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.push(i));
  EXPECT_FALSE(queue.push(3)) << "full";
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue.pop(2, Duration::zero()), (std::vector<int>{0, 1}));
  EXPECT_TRUE(queue.push(4));
  EXPECT_EQ(queue.pop(10, Duration::zero()), (std::vector<int>{2, 4}));
  EXPECT_TRUE(queue.pop(10, Duration::zero()).empty());
}

TEST(BoundedQueue, WaitsNoLongerThanTold) {
  BoundedQueue<int> queue(1);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(queue.pop(1, milliseconds(20)).empty());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(20));
}

TEST(BoundedQueue, ClosedTakesNothingAndGivesWhatItHas) {
  BoundedQueue<std::unique_ptr<int>> queue(2);
  EXPECT_TRUE(queue.push(std::make_unique<int>(7)));
  EXPECT_FALSE(queue.closed());
  queue.close();
  EXPECT_TRUE(queue.closed());
  EXPECT_FALSE(queue.push(std::make_unique<int>(8)));
  const auto rest = queue.pop(5, std::chrono::hours(1));
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(*rest[0], 7);
  EXPECT_TRUE(queue.pop(5, std::chrono::hours(1)).empty()) << "without waiting";
}

TEST(BoundedQueue, CloseWakesWhoWaits) {
  BoundedQueue<int> queue(1);
  std::thread waiting([&queue] { EXPECT_TRUE(queue.pop(1, std::chrono::hours(1)).empty()); });
  queue.close();
  waiting.join();
}

TEST(BoundedQueue, ManyThreadsLoseNothing) {
  BoundedQueue<int> queue(64);
  constexpr int threads = 4, each = 5000;
  std::atomic<int> refused = 0;
  long sum = 0, taken = 0;
  std::thread reader([&] {
    for (;;) {
      const auto values = queue.pop(16, milliseconds(100));
      if (values.empty() && queue.closed()) return;
      for (const int value : values) sum += value, ++taken;
    }
  });
  std::vector<std::thread> writers;
  std::atomic<long> accepted = 0;
  for (int t = 0; t < threads; ++t)
    writers.emplace_back([&] {
      for (int i = 1; i <= each; ++i)
        if (queue.push(i))
          accepted += i;
        else
          ++refused;
    });
  for (auto& writer : writers) writer.join();
  queue.close();
  reader.join();
  EXPECT_EQ(sum, accepted);
  EXPECT_EQ(taken + refused, threads * each);
}

TEST(Result, IsAValueOrAnError) {
  Result<std::string> good(std::string("value"));
  EXPECT_TRUE(good);
  EXPECT_EQ(*good, "value");
  EXPECT_EQ(good->size(), 5u);
  const std::string moved = std::move(good).value();
  EXPECT_EQ(moved, "value");
  const Result<std::string> bad(Error{"it broke", "mend it", Error::Kind::usage});
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error().text(), "it broke; mend it");
  EXPECT_EQ(bad.error().kind, Error::Kind::usage);
  EXPECT_EQ(Error{"it broke"}.text(), "it broke");
  EXPECT_TRUE(success());
}

TEST(Result, HoldsWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(3));
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 3);
}

TEST(Result, TheWrongSideIsNeverReadSilently) {
  const Result<int> bad(Error{"no"});
  EXPECT_THROW((void)bad.value(), std::bad_variant_access);
  const Result<int> good(1);
  EXPECT_THROW((void)good.error(), std::bad_variant_access);
}

TEST(StageStats, Balance) {
  StageStats stats{.in = 10, .out = 6, .held = 1};
  EXPECT_FALSE(stats.balanced());
  stats.drop("full", 2);
  stats.drop("broken", 1);
  EXPECT_EQ(stats.dropped_total(), 3u);
  EXPECT_TRUE(stats.balanced());
  stats.drop("full", 1);
  EXPECT_EQ(stats.dropped.at("full"), 3u);
  stats.drop("nothing", 0);
  EXPECT_FALSE(stats.dropped.contains("nothing"));
}

TEST(Fd, ClosesOnce) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    Fd one(ends[0]);
    Fd other = std::move(one);
    EXPECT_FALSE(one);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(other.get(), ends[0]);
    other = Fd(ends[1]);
    EXPECT_EQ(fcntl(ends[0], F_GETFD), -1) << "assigned over, so closed";
    EXPECT_NE(fcntl(ends[1], F_GETFD), -1);
    const int kept = other.release();
    other.reset();
    EXPECT_NE(fcntl(kept, F_GETFD), -1);
    other = Fd(kept);
  }
  EXPECT_EQ(fcntl(ends[1], F_GETFD), -1);
}

}  // namespace
}  // namespace inferscope
