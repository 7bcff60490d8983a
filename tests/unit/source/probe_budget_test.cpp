// SPDX-License-Identifier: Apache-2.0
#include "source/probe_budget.h"

#include <gtest/gtest.h>

namespace inferscope::source {
namespace {

using namespace std::chrono_literals;
using Level = ProbeLevel::Level;

constexpr ProbeCosts costs{.emulated = 1us, .stepped = 10us, .returns = 2us, .call = 1us, .transfer = 2us, .turn = 1us};

/// Looks four times a second at processes whose launches cost 1 us each, and whose waits are one in ten of them.
class Trial {
 public:
  explicit Trial(double share) : budget_(share) {}

  /// What the probes that are in would be hit, at so many launches a second.
  std::optional<ProbeLevel> look(Pid pid, std::uint64_t launches, Duration own = {}) {
    const Level level = budget_.level(pid);
    const std::uint64_t all = launches / 4;
    const std::uint64_t hits = level < Level::waits ? all : level == Level::waits ? all / 10 : 0;
    return budget_.look(pid, {.interval = 250ms, .own = own, .gpu = {.emulated = hits}}, costs);
  }
  /// How long it takes to another level.
  Duration until_change(Pid pid, std::uint64_t launches) {
    for (int looks = 1; looks < 10'000; ++looks)
      if (look(pid, launches)) return looks * 250ms;
    return Duration::max();
  }
  /// Until it is seen by its waits only, and some time more.
  void overload(Pid pid) {
    for (int looks = 0; looks < 12; ++looks) look(pid, 50'000);
    EXPECT_EQ(budget_.level(pid), Level::waits);
  }
  ProbeBudget& budget() { return budget_; }

 private:
  ProbeBudget budget_;
};

TEST(ProbeBudget, EachKindOfHitHasItsCost) {
  ProbeBudget budget(1);
  EXPECT_FALSE(budget.look(1,
                           {.interval = 2s,
                            .gpu = {.emulated = 2000, .stepped = 200, .returns = 20},
                            .tls = {.emulated = 20, .stepped = 20, .returns = 20},
                            .calls = 4000,
                            .transfers = 1000,
                            .turns = 10'000},
                           costs));
  ASSERT_EQ(budget.uses().size(), 1u);
  const ProbeUse use = budget.uses()[0];
  EXPECT_NEAR(use.of_gpus, 0.00202, 1e-9);
  EXPECT_NEAR(use.of_tls, 0.00013, 1e-9);
  EXPECT_NEAR(use.of_sockets, 0.003, 1e-9);
  EXPECT_NEAR(use.of_threads, 0.005, 1e-9);
  EXPECT_NEAR(use.cost(), 0.01015, 1e-9);
  EXPECT_EQ(use.allowed, 1);
}

TEST(ProbeBudget, WhatCostsTooMuchIsGivenUpAtOnce) {
  Trial trial(0.01);
  const auto first = trial.look(1, 15'000);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->pid, 1);
  EXPECT_EQ(first->level, Level::sums);
  EXPECT_NEAR(first->cost, 0.015, 1e-6);
  EXPECT_EQ(trial.look(1, 50'000)->level, Level::waits);
  EXPECT_FALSE(trial.look(1, 50'000)) << "waits alone cost half of what is allowed";
  EXPECT_FALSE(trial.look(1, 500'000)) << "probes may not be out yet";
  EXPECT_FALSE(trial.look(1, 500'000));
  EXPECT_EQ(trial.look(1, 500'000)->level, Level::off);
  EXPECT_FALSE(trial.look(1, 500'000));
}

TEST(ProbeBudget, WhatCostsMuchTooMuchIsGivenUpInOneStep) {
  Trial trial(0.01);
  EXPECT_EQ(trial.look(1, 50'000)->level, Level::waits);
  EXPECT_EQ(trial.until_change(1, 50'000), 5min) << "what it cost before is remembered of both steps";
}

TEST(ProbeBudget, WhatIsAllowedIsNotTooMuch) {
  Trial trial(0.01);
  EXPECT_FALSE(trial.look(1, 10'000));
  EXPECT_TRUE(trial.look(1, 10'004));
}

TEST(ProbeBudget, WhoUsesSeveralProcessorsMayCostMore) {
  Trial trial(0.01);
  EXPECT_FALSE(trial.look(1, 30'000, 1s)) << "four of them";
  EXPECT_TRUE(trial.look(1, 30'000, 250ms));
}

TEST(ProbeBudget, EachProcessForItself) {
  Trial trial(0.01);
  EXPECT_TRUE(trial.look(1, 15'000));
  EXPECT_FALSE(trial.look(2, 100));
  EXPECT_EQ(trial.budget().level(1), Level::sums);
  EXPECT_EQ(trial.budget().level(2), Level::full);
  trial.budget().forget(1);
  EXPECT_EQ(trial.budget().level(1), Level::full) << "another process of the same number";
  EXPECT_EQ(trial.budget().uses().size(), 1u);
}

TEST(ProbeBudget, WhatWouldCostTooMuchIsNotTakenUpAgain) {
  Trial trial(0.01);
  trial.look(1, 50'000);
  trial.look(1, 50'000);
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(trial.look(1, 50'000));
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(trial.look(1, 8'000)) << "over 70 % of what is allowed";
  const Duration calm = trial.until_change(1, 6'000);
  EXPECT_GE(calm, 9750ms);
  EXPECT_LE(calm, 11s);
  EXPECT_EQ(trial.budget().level(1), Level::sums);
  EXPECT_GE(trial.until_change(1, 6'000), 10s) << "one level at a time";
  EXPECT_EQ(trial.budget().level(1), Level::full);
}

TEST(ProbeBudget, OneLookThatIsTooMuchBeginsTheWhileAnew) {
  Trial trial(0.01);
  trial.overload(1);
  for (int i = 0; i < 36; ++i) EXPECT_FALSE(trial.look(1, 1'000));
  EXPECT_FALSE(trial.look(1, 50'000));
  EXPECT_GE(trial.until_change(1, 1'000), 10s);
}

TEST(ProbeBudget, EachTimeThatItWasWrongItWaitsTwiceAsLong) {
  Trial trial(0.01);
  trial.overload(1);
  Duration expected = 10s;
  for (int i = 0; i < 7; ++i) {
    const Duration waited = trial.until_change(1, 1'000);
    EXPECT_GE(waited, expected - 3s) << "it was looked at before";
    EXPECT_LE(waited, expected + 1s);
    trial.overload(1);
    expected = std::min<Duration>(2 * expected, 5min);
  }
  EXPECT_EQ(expected, 5min);
}

TEST(ProbeBudget, WhoProvedRightWaitsAsAtFirst) {
  Trial trial(0.01);
  trial.overload(1);
  trial.until_change(1, 1'000);
  trial.overload(1);
  EXPECT_GE(trial.until_change(1, 1'000), 19750ms);
  EXPECT_GE(trial.until_change(1, 1'000), 20s) << "to full";
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(trial.look(1, 1'000));
  trial.overload(1);
  EXPECT_LE(trial.until_change(1, 1'000), 12s);
}

/// Looks four times a second at a process that does so much in a second.
struct Busy {
  std::uint64_t launches = 0;
  std::uint64_t turns = 0;
  std::uint64_t calls = 0;
};
std::optional<ProbeLevel> look(ProbeBudget& budget, const Busy& busy) {
  const bool seen = budget.level(1) < Level::waits;
  return budget.look(1,
                     {.interval = 250ms,
                      .gpu = {.emulated = seen ? busy.launches / 4 : 0},
                      .calls = busy.calls / 4,
                      .transfers = busy.calls / 4,
                      .turns = busy.turns / 4},
                     costs);
}

TEST(ProbeBudget, ThreadsThatCostTooMuchAreNotTold) {
  ProbeBudget budget(0.01);
  EXPECT_FALSE(look(budget, {.turns = 9'000}));
  const auto changed = look(budget, {.turns = 12'000});
  ASSERT_TRUE(changed);
  EXPECT_FALSE(changed->threads);
  EXPECT_EQ(changed->level, Level::full) << "of GPUs, nothing is given up";
  EXPECT_NEAR(changed->cost, 0.012, 1e-6);
  for (int i = 0; i < 5000; ++i) EXPECT_FALSE(look(budget, {.turns = 8'000})) << "what they would cost is known";
  EXPECT_EQ(budget.uses()[0].cost(), 0);
  int looks = 1;
  while (!look(budget, {.turns = 6'000})) ASSERT_LT(++looks, 100);
  EXPECT_GE(looks, 39);
  EXPECT_TRUE(budget.uses()[0].threads);
}

TEST(ProbeBudget, WhatCostsMoreIsGivenUpFirst) {
  ProbeBudget budget(0.01);
  auto changed = look(budget, {.launches = 4'000, .turns = 8'000});
  ASSERT_TRUE(changed);
  EXPECT_FALSE(changed->threads);
  EXPECT_EQ(changed->level, Level::full);
  EXPECT_FALSE(look(budget, {.launches = 4'000, .turns = 8'000})) << "the rest is within the budget";

  ProbeBudget another(0.01);
  changed = look(another, {.launches = 8'000, .turns = 4'000});
  ASSERT_TRUE(changed);
  EXPECT_TRUE(changed->threads);
  EXPECT_EQ(changed->level, Level::sums) << "there was room for 6,000";
  EXPECT_EQ(look(another, {.launches = 8'000, .turns = 4'000})->level, Level::waits);
}

TEST(ProbeBudget, WhatBothCostHasToFit) {
  ProbeBudget budget(0.01);
  ASSERT_TRUE(look(budget, {.launches = 4'000, .turns = 8'000}));
  for (int i = 0; i < 200; ++i) EXPECT_FALSE(look(budget, {.launches = 4'000, .turns = 5'000})) << "of 6,000, 70 %";
  int looks = 1;
  while (!look(budget, {.launches = 4'000, .turns = 4'000})) ASSERT_LT(++looks, 100);
  EXPECT_TRUE(budget.uses()[0].threads);
}

TEST(ProbeBudget, TracesAreNotGivenUpNorDoTheyTakeEverything) {
  ProbeBudget budget(0.01);
  EXPECT_FALSE(look(budget, {.calls = 100'000})) << "thirty times what is allowed";
  EXPECT_FALSE(look(budget, {.turns = 4'900, .calls = 100'000})) << "half is for the rest";
  EXPECT_FALSE(look(budget, {.turns = 8'000, .calls = 500}));
  const auto changed = look(budget, {.turns = 5'200, .calls = 100'000});
  ASSERT_TRUE(changed);
  EXPECT_FALSE(changed->threads);
}

}  // namespace
}  // namespace inferscope::source
