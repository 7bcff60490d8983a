// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/detect/play.h"

namespace inferscope::detect {
namespace {

TEST(Down, AServerKilledWithRequestsInFlightIsToldAtOnceAndClosesWhenItIsBack) {
  Play play;
  play.open(1);
  play.open(2);
  play.tokens(5, milliseconds(20));
  play.close(1, 0, Exchange::Ending::process_exited);
  play.close(2, 0, Exchange::Ending::process_exited);
  play.event(ProcessExited{100, 0, 9});
  ASSERT_EQ(play.opened().size(), 1u);
  const Finding finding = play.opened()[0].finding;
  EXPECT_EQ(finding.kind, Finding::Kind::down);
  EXPECT_EQ(finding.cause.kind, Cause::Kind::exited);
  EXPECT_EQ(finding.requests.size(), 2u);
  EXPECT_EQ(finding.server.pid, 100);
  EXPECT_EQ(finding.detected, play.now());
  play.start(200, 9, "/usr/bin/another");
  EXPECT_TRUE(play.closed().empty());
  play.start(201, 9);
  ASSERT_EQ(play.closed().size(), 1u);
  EXPECT_NE(play.closed()[0].finding.summary.find("back as process 201"), std::string::npos);
}

TEST(Down, OrderlyEndsAreNoTrouble) {
  for (const ProcessExited exited : {ProcessExited{100, 0, 0}, ProcessExited{100, 0, 15}, ProcessExited{100, 0, 2}}) {
    Play play;
    play.serve(1, 5, milliseconds(20));
    play.wait(milliseconds(2000));
    play.event(exited);
    EXPECT_TRUE(play.all().empty());
  }
  Play never_served;
  never_served.event(ProcessExited{100, 1, 0});
  EXPECT_TRUE(never_served.all().empty());
}

TEST(Down, FaultsOfAnIdleServerAreTold) {
  for (const ProcessExited exited : {ProcessExited{100, 3, 0}, ProcessExited{100, 0, 11}}) {
    Play play;
    play.serve(1, 5, milliseconds(20));
    play.wait(milliseconds(2000));
    play.event(exited);
    EXPECT_EQ(play.opened().size(), 1u);
  }
}

TEST(Down, OneThatDoesNotComeBackIsClosedAfterAWhile) {
  Play play;
  play.serve(1, 5, milliseconds(20));
  play.event(ProcessExited{100, 0, 11});
  play.tick(milliseconds(1000));
  play.wait(milliseconds(9 * 60'000));
  EXPECT_TRUE(play.closed().empty());
  play.wait(milliseconds(2 * 60'000));
  ASSERT_EQ(play.closed().size(), 1u);
}

TEST(Down, OtherFindingsOfAProcessEndWithIt) {
  Play play;
  play.sampled();
  play.open(1);
  play.tokens(20, milliseconds(20));
  play.facts.state = 'T';
  play.wait(milliseconds(1000));
  ASSERT_EQ(play.opened().size(), 1u);
  play.event(ProcessExited{100, 0, 9});
  ASSERT_EQ(play.closed().size(), 1u);
  EXPECT_NE(play.closed()[0].finding.summary.find("its process ended"), std::string::npos);
  EXPECT_TRUE(play.closed()[0].finding.lost_sight) << "nobody made it better";
}

TEST(Down, ClientsThatNobodyAcceptsAreTold) {
  Play play;
  play.sampled();
  play.facts.waiting_connections = 3;
  play.wait(milliseconds(1800));
  EXPECT_TRUE(play.all().empty());
  play.wait(milliseconds(800));
  ASSERT_EQ(play.opened().size(), 1u);
  EXPECT_EQ(play.opened()[0].finding.kind, Finding::Kind::down);
  EXPECT_EQ(play.opened()[0].finding.evidence[0].value, 3);
  play.facts.waiting_connections = 0;
  play.wait(milliseconds(500));
  EXPECT_EQ(play.closed().size(), 1u);
}

TEST(Down, AQueueThatMovesIsNoTrouble) {
  Play play;
  play.sampled();
  play.facts.waiting_connections = 3;
  for (int i = 0; i < 10; ++i) {
    play.event(ConnectionOpened{{.id = 50, .pid = 100, .role = Role::server}});
    play.wait(milliseconds(1000));
  }
  EXPECT_TRUE(play.all().empty());
}

void request(Play& play, ConnectionId id, int status, Exchange::Ending ending = Exchange::Ending::complete) {
  play.open(id);
  play.wait(milliseconds(200));
  play.close(id, status, ending);
}

TEST(Errors, ThreeFailuresInARowAreABurst) {
  Play play;
  for (ConnectionId id = 1; id <= 20; ++id) request(play, id, 200);
  request(play, 30, 500);
  request(play, 31, 503);
  EXPECT_TRUE(play.all().empty());
  request(play, 32, 500);
  ASSERT_EQ(play.opened().size(), 1u);
  const Finding finding = play.opened()[0].finding;
  EXPECT_EQ(finding.kind, Finding::Kind::errors);
  EXPECT_GT(finding.measure.ratio(), 5);
  for (ConnectionId id = 40; id <= 60; ++id) request(play, id, 200);
  play.wait(milliseconds(30'000));
  EXPECT_EQ(play.closed().size(), 1u);
}

TEST(Errors, CutResponsesAreFailures) {
  Play play;
  for (ConnectionId id = 1; id <= 4; ++id) request(play, id, 200, Exchange::Ending::server_closed);
  EXPECT_EQ(play.opened().size(), 1u);
}

TEST(Errors, ThatItsProcessEndedIsAnotherFinding) {
  Play play;
  for (ConnectionId id = 1; id <= 6; ++id) request(play, id, 0, Exchange::Ending::process_exited);
  EXPECT_TRUE(play.all().empty());
}

TEST(Errors, ClientsMistakesAreNone) {
  Play play;
  for (ConnectionId id = 1; id <= 50; ++id) request(play, id, 400);
  EXPECT_TRUE(play.all().empty());
  for (ConnectionId id = 51; id <= 60; ++id) request(play, id, 429);
  EXPECT_EQ(play.opened().size(), 1u) << "too many requests: the server cannot keep up";
}

TEST(Errors, AServerThatAlwaysFailsSomeIsJudgedByThat) {
  Play play;
  ConnectionId id = 1;
  for (int i = 0; i < 200; ++i) request(play, id++, 200);
  int before = 0;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 9; ++i) request(play, id++, 200);
    request(play, id++, 500);
    if (round == 60) before = static_cast<int>(play.opened().size());
  }
  EXPECT_EQ(static_cast<int>(play.opened().size()), before) << "one in ten has become usual";
}

TEST(Errors, OldFailuresAreNoBurst) {
  Play play;
  play.tick(milliseconds(1000));
  for (ConnectionId id = 1; id <= 6; ++id) {
    request(play, id, 500);
    play.wait(milliseconds(120'000));
  }
  EXPECT_TRUE(play.all().empty());
}

}  // namespace
}  // namespace inferscope::detect
