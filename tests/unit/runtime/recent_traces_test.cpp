// SPDX-License-Identifier: Apache-2.0
#include "runtime/recent_traces.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "tests/support/traces.h"

namespace inferscope::runtime {
namespace {

std::vector<std::uint64_t> numbers(const std::vector<RecentTraces::Entry>& entries) {
  std::vector<std::uint64_t> all;
  for (const auto& entry : entries) all.push_back(entry.number);
  return all;
}
using Numbers = std::vector<std::uint64_t>;

TEST(RecentTraces, InTheOrderOfTheirEnd) {
  RecentTraces recent(1 << 20);
  EXPECT_EQ(recent.total(), 0u);
  EXPECT_TRUE(recent.last(5).empty());
  for (std::uint8_t i = 1; i <= 4; ++i) recent.add(test::chat_trace(i));
  EXPECT_EQ(recent.total(), 4u);
  EXPECT_EQ(numbers(recent.last(2)), (Numbers{3, 4}));
  EXPECT_EQ(numbers(recent.last(0)), Numbers{});
  EXPECT_EQ(numbers(recent.last(std::numeric_limits<std::size_t>::max())), (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(numbers(recent.after(2)), (Numbers{3, 4}));
  EXPECT_EQ(numbers(recent.after(4)), Numbers{});
  EXPECT_EQ(recent.last(1)[0].trace->trace_id[15], 4);
}

TEST(RecentTraces, FoundByTheirFirstDigits) {
  RecentTraces recent(1 << 20);
  for (std::uint8_t i = 1; i <= 3; ++i) recent.add(test::chat_trace(i));
  EXPECT_EQ(recent.find("1010").size(), 3u) << "trace ids";
  EXPECT_EQ(recent.find("2020").size(), 3u) << "span ids";
  EXPECT_EQ(numbers(recent.find("2020202020202003")), (Numbers{3}));
  EXPECT_TRUE(recent.find("ff").empty());
}

TEST(RecentTraces, BoundedByMemory) {
  constexpr std::size_t limit = 100'000;
  RecentTraces recent(limit);
  auto trace = test::chat_trace();
  trace.call.token_times.resize(1000);
  for (int i = 0; i < 200; ++i) recent.add(trace);
  EXPECT_EQ(recent.total(), 200u);
  const auto kept = recent.last(1000);
  EXPECT_LE(kept.size(), limit / (1000 * sizeof(Time)));
  EXPECT_GE(kept.size(), 5u);
  EXPECT_EQ(kept.back().number, 200u);
  EXPECT_EQ(numbers(recent.after(0)).size(), kept.size());
}

TEST(RecentTraces, TheLastOneIsKeptHoweverLarge) {
  RecentTraces recent(10);
  recent.add(test::chat_trace(1));
  recent.add(test::chat_trace(2));
  EXPECT_EQ(numbers(recent.last(5)), (Numbers{2}));
}

TEST(RecentTraces, ReadersAndTheWriterAtOnce) {
  RecentTraces recent(200'000);
  std::thread writer([&recent] {
    for (int i = 0; i < 2000; ++i) recent.add(test::chat_trace());
  });
  std::uint64_t cursor = 0;
  while (cursor < 2000) {
    const auto entries = recent.after(cursor);
    for (const auto& entry : entries) {
      EXPECT_GT(entry.number, cursor);
      cursor = entry.number;
      EXPECT_EQ(entry.trace->process.name, "llama-server");
    }
  }
  writer.join();
  EXPECT_EQ(recent.total(), 2000u);
}

}  // namespace
}  // namespace inferscope::runtime
