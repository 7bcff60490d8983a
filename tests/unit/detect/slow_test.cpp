// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/detect/play.h"

namespace inferscope::detect {
namespace {

/// A server that has learned what 20 ms a token are.
void learn(Play& play, std::size_t requests = 20) {
  for (ConnectionId id = 1; id <= requests; ++id) play.serve(id, 40, milliseconds(20));
}

TEST(Slow, DoubledIntervalsAreFoundWithinTwoSecondsAndNamed) {
  Play play;
  play.sampled();
  learn(play);
  play.open(90);
  play.tokens(20, milliseconds(20));
  ASSERT_TRUE(play.all().empty());
  play.facts.waited = milliseconds(90);
  play.facts.rival =
      ProcessSample::Rival{{.pid = 666, .start_time_ns = 5, .cgroup = "/hog", .name = "hog"}, milliseconds(95)};
  const Time begin = play.now();
  play.tokens(60, milliseconds(42));
  ASSERT_EQ(play.opened().size(), 1u);
  const Finding finding = play.opened()[0].finding;
  EXPECT_EQ(finding.kind, Finding::Kind::slow);
  EXPECT_LT(seconds_between(begin, finding.detected), 2);
  EXPECT_NEAR(finding.measure.ratio(), 2.1, 0.4);
  EXPECT_EQ(finding.cause.kind, Cause::Kind::cpu_contention);
  ASSERT_TRUE(finding.cause.culprit);
  EXPECT_EQ(finding.cause.culprit->pid, 666);
  EXPECT_EQ(finding.cause.culprit->cgroup, "/hog");
  EXPECT_EQ(finding.model, "m");

  EXPECT_GE(play.told(FindingUpdate::Kind::updated).back().finding.confidence, 0.9);
  play.facts.waited = {};
  play.facts.rival.reset();
  play.tokens(80, milliseconds(20));
  ASSERT_EQ(play.closed().size(), 1u);
  EXPECT_NE(play.closed()[0].finding.summary.find("back to usual"), std::string::npos);
}

TEST(Slow, ACauseThatShowsLaterIsAdded) {
  Play play;
  play.sampled();
  learn(play);
  play.open(90);
  play.tokens(60, milliseconds(42));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_EQ(play.opened()[0].finding.cause.kind, Cause::Kind::none);
  play.facts.throttled = milliseconds(120);
  play.tokens(40, milliseconds(42));
  ASSERT_FALSE(play.told(FindingUpdate::Kind::updated).empty());
  EXPECT_EQ(play.told(FindingUpdate::Kind::updated).back().finding.cause.kind, Cause::Kind::throttled);
}

TEST(Slow, NothingIsToldBeforeEnoughIsLearned) {
  Play play;
  learn(play, 3);
  play.open(90);
  play.tokens(60, milliseconds(60));
  EXPECT_TRUE(play.all().empty());
}

TEST(Slow, MoreRequestsAtOnceAreAnotherLoad) {
  Play play;
  learn(play);
  for (ConnectionId id = 50; id < 54; ++id) play.open(id);
  play.tokens(200, milliseconds(70));
  EXPECT_TRUE(play.all().empty());
}

TEST(Slow, OneLongPauseIsNoShift) {
  Play play;
  learn(play);
  play.open(90);
  for (int i = 0; i < 10; ++i) {
    play.tokens(30, milliseconds(20));
    play.wait(milliseconds(700));
  }
  EXPECT_TRUE(play.all().empty());
}

TEST(Slow, WhatIsMeasuredUnderContentionDoesNotBecomeUsual) {
  Play play;
  play.sampled();
  learn(play);
  for (int round = 0; round < 12; ++round) {
    const std::size_t before = play.opened().size();
    play.facts.waited = milliseconds(90);
    play.open(90);
    play.tokens(120, milliseconds(32));
    EXPECT_GT(play.opened().size(), before) << "round " << round;
    play.close(90);
    play.facts.waited = {};
    play.wait(milliseconds(2000));
    play.serve(91, 60, milliseconds(20));
  }
}

TEST(Slow, FasterIsNoTroubleAndIsLearned) {
  Play play;
  learn(play);
  play.open(90);
  play.tokens(400, milliseconds(8));
  play.close(90);
  EXPECT_TRUE(play.all().empty());
  for (ConnectionId id = 100; id < 140; ++id) play.serve(id, 80, milliseconds(8));
  play.open(91);
  play.tokens(150, milliseconds(20));
  ASSERT_EQ(play.opened().size(), 1u) << "what was usual before is slow now";
}

TEST(Slow, ALittleFasterForgetsNothing) {
  Play play;
  play.sampled();
  learn(play);
  play.open(90);
  play.tokens(400, milliseconds(18));
  ASSERT_TRUE(play.all().empty());
  play.facts.waited = milliseconds(90);
  play.tokens(60, milliseconds(42));  // nothing is learned meanwhile, so it has to be known
  EXPECT_EQ(play.opened().size(), 1u);
}

TEST(Slow, AFewFastWindowsForgetNothing) {
  Play play;
  play.sampled();
  learn(play);
  play.open(90);
  play.tokens(300, milliseconds(5));  // 1.5 s, as while the prompts of the others in the batch are read
  ASSERT_TRUE(play.all().empty());
  play.facts.waited = milliseconds(90);
  play.tokens(60, milliseconds(42));
  EXPECT_EQ(play.opened().size(), 1u);
}

TEST(Slow, TimeToFirstTokenIsJudgedByPromptSize) {
  Play play;
  const auto ask = [&](ConnectionId id, std::uint64_t prompt, milliseconds first) {
    play.open(id, prompt);
    play.wait(first);
    play.token(id);
    play.tokens(4, milliseconds(20));
    play.close(id);
  };
  for (ConnectionId id = 1; id <= 30; ++id) ask(id, 300, milliseconds(100));
  for (ConnectionId id = 31; id <= 60; ++id) ask(id, 80'000, milliseconds(1000));
  EXPECT_TRUE(play.all().empty()) << "a long prompt takes longer";
  for (ConnectionId id = 61; id <= 64; ++id) ask(id, 300, milliseconds(1000));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_NE(play.opened()[0].finding.summary.find("time to first token"), std::string::npos);
}

TEST(Slow, ClosesWithoutLoad) {
  Play play;
  learn(play);
  play.open(90);
  play.tokens(60, milliseconds(42));
  ASSERT_EQ(play.opened().size(), 1u);
  play.close(90);
  play.wait(milliseconds(16'000));
  EXPECT_EQ(play.closed().size(), 1u);
}

TEST(Slow, WhatIsLostIsNotJudged) {
  Play play;
  learn(play);
  play.open(90);
  for (int i = 0; i < 10; ++i) {
    play.tokens(10, milliseconds(60));  // because every second event was lost
    play.event(EventsLost{"event ring full", 10});
  }
  EXPECT_TRUE(play.all().empty());
}

/// Bursts, mixed lengths, idle gaps: an hour of a server that is well.
TEST(Slow, AnHourOfHealthyLoadGivesNoFinding) {
  Play play;
  play.tick(milliseconds(50));
  play.sampled();
  std::minstd_rand random(7);
  ConnectionId id = 1;
  while (seconds_between(time_from_ns(0), play.now()) < 3600) {
    const std::size_t burst = 1 + random() % 4;
    std::vector<ConnectionId> open;
    for (std::size_t i = 0; i < burst; ++i) {
      open.push_back(id);
      play.open(id++, 50u << (random() % 8));
    }
    play.wait(milliseconds(60 * burst));
    play.tokens(20 + random() % 100, milliseconds(18 + 12 * static_cast<int>(burst)));
    for (const ConnectionId one : open) play.close(one, random() % 50 == 0 ? 400 : 200);
    if (random() % 3 == 0) play.wait(milliseconds(random() % 20'000));
  }
  EXPECT_TRUE(play.all().empty()) << play.all().front().finding.summary;
}

}  // namespace
}  // namespace inferscope::detect
