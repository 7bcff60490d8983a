// SPDX-License-Identifier: Apache-2.0
#include "correlate/ledger.h"

#include <gtest/gtest.h>

#include "tests/support/exchange_script.h"

namespace inferscope::correlate {
namespace {

using namespace std::chrono_literals;
using test::at_ms;

TEST(Ledger, TellsOnePartOfEachKindWithWhoeverHadMost) {
  Ledger ledger;
  ledger.add({.kind = TimeKind::run_queue, .time = 3ms, .pid = 1, .name = "little"});
  ledger.add({.kind = TimeKind::run_queue, .time = 9ms});
  ledger.add({.kind = TimeKind::run_queue, .time = 5ms, .pid = 2, .name = "much"});
  ledger.add({.kind = TimeKind::decode, .time = 16ms});
  Explanation told;
  ledger.tell(told);
  ASSERT_EQ(told.parts.size(), 2U);
  EXPECT_EQ(told.parts[0].kind, TimeKind::run_queue);
  EXPECT_EQ(told.parts[0].time, 17ms);
  EXPECT_EQ(told.parts[0].pid, 2);
  EXPECT_EQ(ledger.total(), 33ms);
}

TEST(Ledger, MovesFirstWhatNobodyIsToBlameFor) {
  Ledger ledger;
  ledger.add({.kind = TimeKind::run_queue, .time = 5ms, .pid = 2, .name = "hog"});
  ledger.add({.kind = TimeKind::run_queue, .time = 4ms});
  ledger.move(TimeKind::run_queue, TimeKind::throttled, 6ms);
  EXPECT_EQ(ledger.total(TimeKind::run_queue), 3ms);
  EXPECT_EQ(ledger.total(TimeKind::throttled), 6ms);
  ledger.move(TimeKind::run_queue, TimeKind::throttled, 60ms);
  EXPECT_EQ(ledger.total(TimeKind::run_queue), 0ms);
  EXPECT_EQ(ledger.total(TimeKind::throttled), 9ms) << "no more than there was";
}

TEST(Ledger, IsBoundedAndLosesNoTime) {
  Ledger ledger;
  for (int i = 1; i <= 1000; ++i) {
    ledger.add({.kind = TimeKind::run_queue, .time = 1ms, .pid = i, .name = "p"});
    RequestName name;
    name.trace_id[0] = static_cast<std::uint8_t>(i);
    name.trace_id[1] = static_cast<std::uint8_t>(i >> 8);
    ledger.add({.kind = TimeKind::head_of_line, .time = 1ms, .request = name, .tokens = 1});
    const auto length = std::chrono::milliseconds(1 + i % 7);
    ledger.add(HostDelay{TimeKind::disk, at_ms(10 * i), at_ms(10 * i) + length, length, 0, {}}, 1ms);
    ledger.add(EngineStep{.begin = at_ms(i), .end = at_ms(i + 1 + i % 5)});
  }
  EXPECT_EQ(ledger.total(), 3000ms);
  Explanation told;
  ledger.tell(told);
  EXPECT_EQ(told.parts.size(), 3U);
  EXPECT_EQ(told.blockers.size(), Explanation::blockers_kept);
  EXPECT_EQ(told.steps.size(), Explanation::steps_kept);
  EXPECT_EQ(told.steps_total, 1000U);
  EXPECT_EQ(told.marks.size(), Explanation::marks_kept);
  for (std::size_t i = 1; i < told.marks.size(); ++i) EXPECT_LT(told.marks[i - 1].begin, told.marks[i].begin);
  for (const DelayMark& mark : told.marks) EXPECT_EQ(mark.end - mark.begin, 7ms) << "the longest ones";
}

}  // namespace
}  // namespace inferscope::correlate
