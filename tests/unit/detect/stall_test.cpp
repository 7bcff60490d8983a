// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/detect/play.h"

namespace inferscope::detect {
namespace {

TEST(Stall, StoppedServerIsFoundWithinHalfASecondAndClosesWhenTokensFlow) {
  Play play;
  play.sampled();
  play.open(1);
  play.tokens(30, milliseconds(20));
  const Time stop = play.now();
  play.facts.state = 'T';
  play.wait(milliseconds(1000));
  ASSERT_EQ(play.opened().size(), 1u);
  const Finding finding = play.opened()[0].finding;
  EXPECT_EQ(finding.kind, Finding::Kind::stall);
  EXPECT_EQ(finding.cause.kind, Cause::Kind::stopped);
  EXPECT_GT(finding.confidence, 0.9);
  EXPECT_EQ(finding.model, "m");
  EXPECT_EQ(finding.port, 8080);
  EXPECT_EQ(finding.server.cgroup, "/s");
  EXPECT_EQ(finding.begin, stop);
  EXPECT_FALSE(finding.gap);
  ASSERT_EQ(finding.requests.size(), 1u);
  EXPECT_EQ(finding.requests[0].connection, 1u);
  EXPECT_LT(seconds_between(stop, finding.detected), 0.55);
  EXPECT_GT(finding.measure.ratio(), 1.2);
  EXPECT_TRUE(play.closed().empty());

  play.facts.state = 'R';
  play.tokens(2, milliseconds(20));
  play.wait(milliseconds(50));
  ASSERT_EQ(play.closed().size(), 1u);
  EXPECT_TRUE(play.closed()[0].finding.end.has_value());
  EXPECT_EQ(play.closed()[0].finding.id, finding.id);
}

TEST(Stall, StoppedServerThatHasNotBegunToAnswerIsFoundToo) {
  for (const bool stream : {true, false}) {
    Play play;
    play.sampled();
    play.facts.state = 'T';
    play.open(1, 400, stream);
    play.wait(milliseconds(800));
    ASSERT_EQ(play.opened().size(), 1u) << "stream " << stream;
    EXPECT_EQ(play.opened()[0].finding.cause.kind, Cause::Kind::stopped);
  }
}

TEST(Stall, FrozenCgroupIsTold) {
  Play play;
  play.sampled();
  play.open(1);
  play.tokens(30, milliseconds(20));
  play.facts.state = 'D';
  play.facts.frozen = true;
  play.wait(milliseconds(800));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_EQ(play.opened()[0].finding.cause.kind, Cause::Kind::frozen);
}

TEST(Stall, AnIdleServerThatIsStoppedIsNoTrouble) {
  Play play;
  play.sampled();
  play.serve(1, 30, milliseconds(20));
  play.facts.state = 'T';
  play.wait(milliseconds(5000));
  EXPECT_TRUE(play.all().empty());
}

TEST(Stall, AStoppedServerThatLeavesClientsWaitingIsFound) {
  Play play;
  play.sampled();
  play.serve(1, 30, milliseconds(20));
  play.facts.state = 'T';
  play.wait(milliseconds(1000));
  EXPECT_TRUE(play.all().empty());
  play.facts.waiting_connections = 2;
  play.wait(milliseconds(400));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_EQ(play.opened()[0].finding.kind, Finding::Kind::stall);
  EXPECT_EQ(play.opened()[0].finding.cause.kind, Cause::Kind::stopped);
  play.wait(milliseconds(5000));
  EXPECT_EQ(play.opened().size(), 1u) << "and it is not told a second time as a server that is down";
  play.facts.state = 'S';
  play.facts.waiting_connections = 0;
  play.wait(milliseconds(400));
  ASSERT_EQ(play.closed().size(), 1u);
  EXPECT_FALSE(play.closed()[0].finding.lost_sight);
}

TEST(Stall, UnexplainedSilenceTakesLonger) {
  Play play;
  play.sampled();
  for (ConnectionId id = 1; id <= 4; ++id) play.serve(id, 40, milliseconds(20));
  play.open(9);
  play.tokens(20, milliseconds(20));
  play.wait(milliseconds(2800));
  EXPECT_TRUE(play.opened().empty()) << "a pause that a long prompt of another request may cause";
  play.wait(milliseconds(600));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_EQ(play.opened()[0].finding.cause.kind, Cause::Kind::none);
  EXPECT_LT(play.opened()[0].finding.confidence, 0.8);
}

TEST(Stall, WithoutFactsTheCauseIsUnknown) {
  Play play;
  for (ConnectionId id = 1; id <= 4; ++id) play.serve(id, 40, milliseconds(20));
  play.open(9);
  play.tokens(20, milliseconds(20));
  play.wait(milliseconds(3500));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_EQ(play.opened()[0].finding.cause.kind, Cause::Kind::unknown);
}

TEST(Stall, LostEventsAreSaidOnTheFinding) {
  Play play;
  play.sampled();
  play.open(1);
  play.tokens(30, milliseconds(20));
  play.facts.state = 'T';
  play.wait(milliseconds(100));
  play.event(EventsLost{"event ring full", 5});
  play.wait(milliseconds(900));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_TRUE(play.opened()[0].finding.gap);
}

TEST(Stall, ALongPromptIsNoStallWhileSuchAreNotKnown) {
  Play play;
  play.sampled();
  play.open(1, 1'000'000);
  play.wait(milliseconds(30'000));
  EXPECT_TRUE(play.all().empty());
  play.wait(milliseconds(31'000));
  EXPECT_EQ(play.opened().size(), 1u) << "a minute is too long for any";
}

TEST(Stall, AFirstTokenThatIsLateForSuchRequestsIsFound) {
  Play play;
  play.sampled();
  for (ConnectionId id = 1; id <= 25; ++id) {
    play.open(id);
    play.wait(milliseconds(100));
    play.tokens(5, milliseconds(20));
    play.close(id);
  }
  play.open(99);
  play.wait(milliseconds(2900));
  EXPECT_TRUE(play.all().empty());
  play.wait(milliseconds(300));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_EQ(play.opened()[0].finding.kind, Finding::Kind::stall);
}

TEST(Stall, RequestsAreNamedAndMarkedOnce) {
  std::map<ConnectionId, int> marked;
  Play play([&marked](ConnectionId connection, std::uint64_t sequence, const std::string& finding) {
    ++marked[connection];
    EXPECT_EQ(finding.size(), 16u);
    RequestRef ref{connection, sequence};
    ref.span_id[0] = 9;
    return ref;
  });
  play.sampled();
  play.open(1);
  play.open(2);
  play.tokens(30, milliseconds(20));
  play.facts.state = 'T';
  play.wait(milliseconds(3000));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_EQ(play.opened()[0].finding.requests.size(), 2u);
  EXPECT_EQ(play.opened()[0].finding.requests[0].span_id[0], 9);
  EXPECT_EQ(marked, (std::map<ConnectionId, int>{{1, 1}, {2, 1}}));
}

TEST(Stall, ItsMeasureDoesNotGrowWhileNothingChanges) {
  Play play;
  play.sampled();
  play.open(1);
  play.tokens(30, milliseconds(20));
  play.facts.state = 'T';
  play.wait(milliseconds(6000));
  ASSERT_EQ(play.opened().size(), 1u);
  const double first = play.opened()[0].finding.measure.ratio();
  for (const auto& told : play.told(FindingUpdate::Kind::updated)) EXPECT_EQ(told.finding.measure.ratio(), first);
  EXPECT_GE(play.told(FindingUpdate::Kind::updated).size(), 8u) << "told twice a second";
}

}  // namespace
}  // namespace inferscope::detect
