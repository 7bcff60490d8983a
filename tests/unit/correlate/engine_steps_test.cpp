// SPDX-License-Identifier: Apache-2.0
#include "correlate/engine_steps.h"

#include <gtest/gtest.h>

#include "correlate/thread_log.h"
#include "tests/unit/correlate/engine_script.h"

namespace inferscope::correlate {
namespace {

using namespace std::chrono_literals;
using Script = EngineScript;

/// One request alone, in turns of 10 ms: its prompt until 20, then a token each turn. Returns when it ends.
Explanation one_alone(Script& script) {
  script.request(1, 0, 1);
  script.run(Script::sender(1), -50, 0, 2);
  script.run(Script::loop, -50, 3, 20, Script::sender(1));
  script.token(1, 2, 20);
  script.loop_went_on(20, 30);
  script.token(1, 20.2, 30);
  script.loop_went_on(30, 40);
  script.token(1, 30.2, 40);
  return script.close(1, 42);
}

TEST(EngineSteps, PhasesOfOneAlone) {
  Script script;
  const Explanation told = one_alone(script);
  EXPECT_EQ(told.handed_over, Script::at(2));
  EXPECT_EQ(told.started, Script::at(3));
  EXPECT_EQ(told.first_token, Script::at(20));
  EXPECT_EQ(told.last_token, Script::at(40));
  EXPECT_EQ(told.steps_total, 3U);
  EXPECT_EQ(total_of(told), 42ms);
  EXPECT_FALSE(told.shared);
  EXPECT_FALSE(told.gpu_time);
}

TEST(EngineSteps, WhatThereWasNoRoomForMakesItIncomplete) {
  Script script;
  script.first_turn();
  EXPECT_TRUE(script.steps.explain(Script::key(1), Script::at(21))->complete);
  for (int i = 0; i <= static_cast<int>(ThreadLog::runs_kept); ++i)
    script.loop_went_on(21 + 0.01 * i, 21.01 + 0.01 * i);
  EXPECT_FALSE(script.close(1, 60).complete);
  script.request(2, 100, 101);
  EXPECT_TRUE(script.close(2, 110).complete) << "that was before it";
}

TEST(EngineSteps, TheLeastDetailOfProbesIsTold) {
  using Level = ProbeLevel::Level;
  const auto level = [](Script& told, Level seen, double time, Pid of = Script::pid) {
    told.tell(ProbeLevel{.pid = of, .level = seen}, time);
  };
  Script script;
  level(script, Level::sums, -10);  // before it serves anything
  EXPECT_EQ(one_alone(script).probes, Level::sums);
  level(script, Level::waits, 50, 999);  // another process
  level(script, Level::full, 50);
  script.request(2, 60, 61);
  EXPECT_EQ(script.close(2, 70).probes, Level::full);
  script.request(3, 80, 81);
  level(script, Level::waits, 82);
  level(script, Level::full, 85);
  script.request(4, 86, 87);
  EXPECT_EQ(script.close(3, 90).probes, Level::waits) << "for a part of its time";
  EXPECT_EQ(script.close(4, 90).probes, Level::full);
}

TEST(EngineSteps, AWorkersProbesAreToldUntilItEnds) {
  Script script;
  script.tell(ProcessStarted{.pid = 300, .parent = Script::pid}, -20);
  script.tell(ProbeLevel{.pid = 300, .level = ProbeLevel::Level::off}, -10);
  script.request(1, 0, 1);
  script.run(Script::sender(1), -50, 0, 2);
  script.run(Script::loop, -50, 3, 20, Script::sender(1));
  script.token(1, 2, 20);
  script.tell(ProcessExited{.pid = 300}, 21);
  script.request(2, 22, 23);
  script.loop_went_on(20, 30);
  script.token(2, 23.2, 30);
  script.token(1, 20.2, 30);
  EXPECT_EQ(script.close(1, 32).probes, ProbeLevel::Level::off);
  EXPECT_EQ(script.close(2, 32).probes, ProbeLevel::Level::full);
}

TEST(EngineSteps, ThatThreadsWereNotToldIsTold) {
  Script script;
  script.tell(ProbeLevel{.pid = Script::pid, .threads = false}, -10);
  const Explanation told = one_alone(script);
  EXPECT_FALSE(told.threads);
  EXPECT_EQ(told.probes, ProbeLevel::Level::full);
  script.tell(ProbeLevel{.pid = Script::pid}, 50);
  script.request(2, 60, 61);
  EXPECT_TRUE(script.close(2, 70).threads);
}

TEST(EngineSteps, TheLoopIsWhoWakesTheSenders) {
  Script script;
  script.request(1, 0, 1);
  script.run(Script::sender(1), -50, 0, 2);
  script.run(Script::loop, -50, 3, 20, Script::sender(1));
  script.token(1, 2, 20);
  script.loop_went_on(20, 30);
  script.token(1, 20.2, 30);
  script.loop_went_on(30, 40);
  (void)script.close(1, 32);
  script.run(Script::loop, 31, 100.5, 120, Script::sender(2));
  script.request(2, 99, 100);
  script.run(Script::sender(2), 50, 99, 101);
  script.run(Script::loop, 40, 100.5, 120, Script::sender(2));
  script.token(2, 101, 120);
  script.loop_went_on(120, 130);
  script.token(2, 120.2, 130);
  const Explanation told = script.close(2, 132);
  EXPECT_EQ(told.started, Script::at(100.5)) << "its loop began when its thread woke it";
  EXPECT_EQ(told.first_token, Script::at(120));
  EXPECT_DOUBLE_EQ(time_of(told, TimeKind::receive), 1);
  EXPECT_NEAR(time_of(told, TimeKind::intake), 0.5, 1e-6);
  EXPECT_NEAR(time_of(told, TimeKind::prefill), 19.5, 1e-6);
  EXPECT_EQ(total_of(told), 33ms);
}

/// Two at once from 0 on, of which the second comes while the first one's prompt is worked on.
struct Two {
  Script script{};
  Explanation first{};
  Explanation second{};

  explicit Two(std::uint64_t first_prompt = 10, std::uint64_t second_prompt = 10) {
    script.request(1, 0, 1, first_prompt);
    script.run(Script::sender(1), -50, 0, 2);
    script.run(Script::loop, -50, 2, 20, Script::sender(1));
    script.request(2, 5, 6, second_prompt);
    script.run(Script::sender(2), -50, 5, 7);
    script.token(1, 2, 20);
    script.gpu(21, 39);
    script.loop_went_on(20, 40);
    script.token(2, 7, 40);
    script.token(1, 20.2, 40.15);
    script.gpu(41, 49);
    script.loop_went_on(40, 50);
    script.token(2, 40.2, 50);
    script.token(1, 40.3, 50.05);
    script.loop_went_on(50, 60);
    script.token(2, 50.2, 60);
    script.token(1, 50.3, 60.05);
    script.gpu(51, 60);
    first = script.close(1, 62);
    second = script.close(2, 63);
  }
};

TEST(EngineSteps, WhoComesInATurnWaitsForItsEnd) {
  const Two two;
  EXPECT_EQ(two.second.started, Script::at(20));
  EXPECT_EQ(two.second.first_token, Script::at(40));
  EXPECT_NEAR(time_of(two.second, TimeKind::head_of_line), 13, 0.001) << "from 7 to 20: the first one's prompt";
  ASSERT_EQ(two.second.blockers.size(), 1U);
  EXPECT_EQ(two.second.blockers[0].request, Script::name(1));
  EXPECT_EQ(two.second.blockers[0].tokens, 10U);
  EXPECT_TRUE(two.first.shared);
  EXPECT_EQ(total_of(two.first), 62ms);
  EXPECT_EQ(total_of(two.second), 58ms);
}

/// Decodes one alone, long enough that it is known what is usual: turns of 10 ms, in which the GPU works for 8.
void learn(Script& script) {
  script.begin();
  script.gpu(2, 20);
  script.token(1, 2, 20);
  for (int turn = 2; turn < 20; ++turn) {
    script.loop_went_on(turn * 10, turn * 10 + 10);
    script.gpu(turn * 10 + 1, turn * 10 + 9);
    script.token(1, turn * 10 + 0.2, turn * 10 + 10);
  }
}

/// Somebody comes in a turn of 60 ms that is another's last one, and has one of 15 ms then, and one of 60.
Explanation in_a_short_turn(double came, double length) {
  Script script;
  script.first_turn();
  constexpr double last = 620, end = 680;
  for (double begin = 20; begin < end; begin += 60) {
    if (begin == last) {
      script.request(2, came, came + 1);
      script.run(Script::sender(2), came - 10, came, came + 2);
    }
    script.loop_went_on(begin, begin + 60);
    script.token(1, begin + 0.2, begin + 60);
  }
  (void)script.close(1, end + 0.5);
  script.loop_went_on(end, end + length);
  script.token(2, came + 2, end + length);
  script.loop_went_on(end + length, end + length + 60);
  script.token(2, end + length + 0.2, end + length + 60);
  return script.close(2, end + length + 61);
}

TEST(EngineSteps, WhoComesInALongTurnMayHaveAShortOneNext) {
  for (const double came : {621.0, 635.0, 677.0}) {
    const Explanation told = in_a_short_turn(came, 15);
    EXPECT_EQ(told.started, Script::at(680)) << came;
    EXPECT_EQ(told.first_token, Script::at(695)) << came;
    EXPECT_NEAR(time_of(told, TimeKind::prefill), 15, 1e-6) << came;
    EXPECT_NEAR(time_of(told, TimeKind::queue), 678 - came, 1e-6) << came;
    EXPECT_EQ(told.steps_total, 2U) << came;
  }
}

TEST(EngineSteps, WhoComesAfterATurnDoesNotWaitForIt) {
  Script script;
  learn(script);
  (void)script.close(1, 200.4);
  script.request(2, 200.5, 201);
  script.run(Script::sender(2), 190, 200.5, 201.5);
  script.run(Script::loop, 200.2, 201.4, 204.5, Script::sender(2));
  script.token(2, 201.5, 204.5);
  script.loop_went_on(204.5, 214.5);
  script.token(2, 204.7, 214.5);
  const Explanation told = script.close(2, 215);
  EXPECT_EQ(told.started, Script::at(201.4));
  EXPECT_NEAR(time_of(told, TimeKind::prefill), 3.1, 1e-6);
}

TEST(EngineSteps, TokensOfOneTurnAreMadeAtAboutTheSameTime) {
  const Explanation told = in_a_short_turn(621, 3);
  EXPECT_EQ(told.first_token, Script::at(683));
  EXPECT_EQ(told.steps_total, 2U);
  EXPECT_NEAR(time_of(told, TimeKind::prefill), 60, 1e-6) << "it may have been in the turn that began just before";
}

TEST(EngineSteps, WhoDecodesBesideALongPromptWaitsForIt) {
  const Two two(10, 1000);
  // From 20 to 40.15 there was one token of the first and the second one's prompt.
  EXPECT_NEAR(time_of(two.first, TimeKind::head_of_line), 20.15 * 1000 / 1001, 0.001);
  ASSERT_FALSE(two.first.blockers.empty());
  EXPECT_EQ(two.first.blockers[0].request, Script::name(2));
  ASSERT_TRUE(two.first.cause());
  EXPECT_EQ(two.first.cause()->kind, TimeKind::head_of_line);
}

TEST(EngineSteps, SharesAddUpExactly) {
  for (const std::uint64_t prompt : {1, 7, 333, 100000}) {
    const Two two(prompt, 3 * prompt + 1);
    const EngineSteps::Totals totals = two.script.steps.totals();
    EXPECT_EQ(two.first.step_time + two.second.step_time, totals.shares.time);
    EXPECT_EQ(*two.first.gpu_time + *two.second.gpu_time, totals.shares.gpu);
    EXPECT_EQ(totals.shares.gpu, 18ms + 8ms + 9ms);
  }
}

TEST(EngineSteps, GpuTimeOfOneAloneIsAllOfIt) {
  Script script;
  script.begin();
  script.gpu(3, 18);
  script.gpu(5, 15, 102);  // another GPU of the same engine
  script.token(1, 2, 20);
  script.loop_went_on(20, 30);
  script.gpu(21, 29);
  script.token(1, 20.2, 30);
  const Explanation told = script.close(1, 31);
  EXPECT_EQ(told.gpu_time, 15ms + 10ms + 8ms);
  EXPECT_FALSE(told.shared);
}

TEST(EngineSteps, WorkersOfOtherProcessesCountForTheServerThatStartedThem) {
  Script script;
  script.tell(ProcessStarted{.pid = 300, .parent = Script::pid}, 0);
  script.tell(ProcessStarted{.pid = 301, .parent = 300}, 0);
  script.tell(ProcessStarted{.pid = 400, .parent = 1}, 0);
  script.request(1, 0, 1);
  script.gpu(3, 18, 301, 301);
  script.gpu(3, 18, 400, 400);
  script.token(1, 2, 20);
  const Explanation told = script.close(1, 21);
  EXPECT_EQ(told.gpu_time, 15ms);
}

TEST(EngineSteps, DelaysOfTheLoopAreChargedToAllInTheTurn) {
  Script script;
  script.first_turn();
  const ThreadRun::Delay behind_a_hog{Script::at(22), Script::at(27), 777, "hog"};
  script.loop_went_on(20, 30, 6, behind_a_hog);
  script.token(1, 20.2, 30);
  script.loop_went_on(30, 40);
  script.token(1, 30.2, 40);
  const Explanation told = script.close(1, 41);
  EXPECT_NEAR(time_of(told, TimeKind::run_queue), 6, 0.001);
  EXPECT_EQ(told.run_queue_delay, 6ms);
  ASSERT_TRUE(told.cause());
  EXPECT_EQ(told.cause()->kind, TimeKind::run_queue);
  EXPECT_EQ(told.cause()->pid, 777);
  EXPECT_EQ(told.cause()->name, "hog");
  ASSERT_EQ(told.marks.size(), 1U) << "the five milliseconds; not the one that lies somewhere";
  EXPECT_EQ(told.marks[0].begin, Script::at(22));
  EXPECT_EQ(total_of(told), 41ms);
}

TEST(EngineSteps, OutOfQuotaIsNotContention) {
  Script script;
  script.first_turn();
  script.loop_went_on(20, 120, 80, ThreadRun::Delay{Script::at(30), Script::at(110), 0, ""});
  script.token(1, 20.2, 120);
  ProcessSample sample;
  sample.process.pid = Script::pid;
  sample.throttled = 75ms;
  script.tell(sample, 125);
  const Explanation told = script.close(1, 130);
  EXPECT_NEAR(time_of(told, TimeKind::throttled), 75, 0.001);
  EXPECT_NEAR(time_of(told, TimeKind::run_queue), 5, 0.001);
  EXPECT_EQ(told.cause()->kind, TimeKind::throttled);
}

TEST(EngineSteps, DisksAndMemoryHoldTheLoopUp) {
  Script script;
  script.first_turn();
  script.loop_went_on(20, 22);
  script.run(Script::loop, 22, 40, 41, 0, 0, ThreadRun::Wait::page_fault);
  script.run(Script::loop, 41, 44, 50, 0, 0, ThreadRun::Wait::file);
  script.tell(MemoryReclaim{.pid = Script::pid, .tid = Script::loop, .begin = Script::at(45), .end = Script::at(47)},
              47);
  script.token(1, 20.2, 50);
  script.loop_went_on(50, 60);
  script.token(1, 50.2, 60);
  const Explanation told = script.close(1, 61);
  EXPECT_NEAR(time_of(told, TimeKind::page_fault), 18, 0.001);
  EXPECT_NEAR(time_of(told, TimeKind::disk), 3, 0.001);
  EXPECT_NEAR(time_of(told, TimeKind::memory_reclaim), 2, 0.001);
  EXPECT_EQ(told.cause()->kind, TimeKind::page_fault);
  EXPECT_EQ(total_of(told), 61ms);
}

TEST(EngineSteps, AClientThatDoesNotReadIsToBlameItself) {
  Script script;
  script.first_turn();
  script.loop_went_on(20, 30);
  script.token(1, 20.2, 30);
  // What was made meanwhile went out 500 ms later.
  script.run(Script::sender(1), 30.2, 530, 531, 0, 0, ThreadRun::Wait::send);
  const Explanation told = script.close(1, 540);
  EXPECT_NEAR(time_of(told, TimeKind::slow_reader), 499.8, 0.001);
  EXPECT_EQ(told.cause()->kind, TimeKind::slow_reader);
  EXPECT_EQ(total_of(told), 540ms);
}

TEST(EngineSteps, StallsOfConnectionsCountForServersThatDoNotWait) {
  Script script;
  script.request(1, 0, 1);
  script.token(1, 2, 20);
  script.tell(SendStall{.connection = 1, .pid = Script::pid, .begin = Script::at(30), .end = Script::at(130)}, 130);
  script.tell(SendStall{.connection = 9, .pid = Script::pid, .begin = Script::at(30), .end = Script::at(130)}, 130);
  const Explanation told = script.close(1, 140);
  EXPECT_NEAR(time_of(told, TimeKind::slow_reader), 100, 0.001);
}

TEST(EngineSteps, AGpuThatTakesLongerThanForTheLikeHasStalled) {
  Script script;
  learn(script);
  script.loop_went_on(200, 310);
  script.gpu(201, 309);
  script.token(1, 200.2, 310);
  script.loop_went_on(310, 320);
  script.gpu(311, 319);
  script.token(1, 310.2, 320);
  const Explanation told = script.close(1, 321);
  EXPECT_NEAR(time_of(told, TimeKind::gpu_stall), 100, 0.001);
  EXPECT_EQ(told.cause()->kind, TimeKind::gpu_stall);
}

TEST(EngineSteps, WhatComesBetweenStallsIsNotUsualEither) {
  Script script;
  learn(script);
  double now = 200;
  const auto turn = [&](double length) {
    script.loop_went_on(now, now + length);
    script.gpu(now + 1, now + length - 1);
    script.token(1, now + 0.2, now + length);
    now += length;
  };
  for (int i = 0; i < 40; ++i) {
    turn(110);
    turn(3);
  }
  const double stalled = time_of(*script.steps.explain(Script::key(1), Script::at(now)), TimeKind::gpu_stall);
  EXPECT_NEAR(stalled, 40 * 100, 0.001);
  for (int i = 0; i < 20; ++i) turn(10);
  EXPECT_NEAR(time_of(script.close(1, now + 1), TimeKind::gpu_stall), stalled, 0.001) << "ten milliseconds are usual";
}

TEST(EngineSteps, TokensOfOneTurnMayBeMadeOneAfterAnother) {
  Script script;
  learn(script);  // in turns of 10 ms
  script.request(2, 195, 196);
  script.run(Script::sender(2), -50, 195, 197);
  script.loop_went_on(200, 245);
  script.token(1, 200.2, 245);
  script.token(2, 197, 245);
  for (int begin = 245; begin < 650; begin += 45) {
    script.loop_went_on(begin, begin + 45);
    script.token(1, begin == 245 ? 245.2 : begin - 6.8, begin + 38);
    script.token(2, begin + 0.2, begin + 45);
  }
  EXPECT_EQ(script.close(2, 651).steps_total, 10U);
  EXPECT_EQ(script.close(1, 651).steps_total, 19U + 10U);
}

TEST(EngineSteps, AGpuWithoutWorkWaitsForTheHost) {
  Script script;
  learn(script);
  script.loop_went_on(200, 310);
  script.gpu_from(210, 301, 309);
  script.token(1, 200.2, 310);
  const Explanation told = script.close(1, 321);
  EXPECT_NEAR(time_of(told, TimeKind::launch_gap), 100, 0.2) << "also while it is handed one thing after another";
  EXPECT_EQ(told.cause()->kind, TimeKind::launch_gap);
}

TEST(EngineSteps, AGpuWithoutWorkIsKnownByWaitsAlone) {
  Script script;
  script.tell(ProbeLevel{.pid = Script::pid, .level = ProbeLevel::Level::waits}, -1);
  learn(script);
  script.loop_went_on(200, 310);  // whatever it waited for did not take long enough to be told
  script.token(1, 200.2, 310);
  const Explanation told = script.close(1, 321);
  EXPECT_NEAR(time_of(told, TimeKind::launch_gap), 108, 0.2);
  EXPECT_EQ(told.probes, ProbeLevel::Level::waits);
}

TEST(EngineSteps, WhatIsUsualByWaitsAloneHoldsUntilMoreIsKnown) {
  Script script;
  script.tell(ProbeLevel{.pid = Script::pid, .level = ProbeLevel::Level::waits}, -1);
  learn(script);
  script.tell(ProbeLevel{.pid = Script::pid, .level = ProbeLevel::Level::full}, 200);
  script.loop_went_on(200, 310);
  script.gpu_from(210, 309, 310);
  script.token(1, 200.2, 310);
  EXPECT_NEAR(time_of(script.close(1, 321), TimeKind::launch_gap), 107, 0.2);
}

TEST(EngineSteps, WhatIsUsualInFullSaysNothingOfWaitsAlone) {
  Script script;
  learn(script);
  script.tell(ProbeLevel{.pid = Script::pid, .level = ProbeLevel::Level::waits}, 200);
  script.loop_went_on(200, 310);
  script.token(1, 200.2, 310);
  EXPECT_NEAR(time_of(script.close(1, 321), TimeKind::launch_gap), 0, 0.001);
}

TEST(EngineSteps, OfALargerBatchEachMemberMayTakeAsLong) {
  Script script;
  learn(script);  // the host takes 2 ms of each turn
  script.request(2, 195, 196);
  script.run(Script::sender(2), -50, 195, 197);
  const auto turn = [&](double begin, double waits, double end) {
    script.loop_went_on(begin, end);
    script.gpu_from(begin + 1, waits, end);
    script.token(1, begin + 0.2, end);
    script.token(2, begin == 200 ? 197 : begin + 0.2, end);
  };
  turn(200, 201, 220);
  turn(220, 228, 236);  // 6 ms more than for one alone, and 4 more than for two
  EXPECT_NEAR(time_of(*script.steps.explain(Script::key(1), Script::at(237)), TimeKind::launch_gap), 0, 0.001);
  turn(236, 336, 344);
  script.loop_went_on(344, 354);
  const Explanation told = script.close(1, 355);
  EXPECT_NEAR(time_of(told, TimeKind::launch_gap), 96, 0.2);
  EXPECT_TRUE(told.shared);
}

TEST(EngineSteps, WhatKeptTheHostsThreadIsNotTheGpusFault) {
  Script script;
  learn(script);
  script.loop_went_on(200, 310, 100, ThreadRun::Delay{Script::at(201), Script::at(301), 777, "hog"});
  script.gpu(301, 309);
  script.token(1, 200.2, 310);
  const Explanation told = script.close(1, 321);
  EXPECT_NEAR(time_of(told, TimeKind::launch_gap), 0, 0.2);
  EXPECT_NEAR(time_of(told, TimeKind::run_queue), 100, 0.2);
}

TEST(EngineSteps, WhatDoesNotStreamIsOneTurn) {
  Script script;
  script.request(1, 0, 1, 10, false);
  script.run(Script::sender(1), -50, 0, 2);
  script.run(Script::loop, -50, 2, 100, Script::sender(1));
  EXPECT_EQ(script.close(1, 101).parts.size(), 0U) << "which thread is its loop is known by what comes next";
  script.run(Script::sender(1), 2, 100, 101.5, Script::loop);
  script.request(2, 200, 201, 10, false);
  script.run(Script::sender(2), 150, 200, 202);
  script.run(Script::loop, 100, 202, 300, Script::sender(2));
  const Explanation told = script.close(2, 301);
  EXPECT_EQ(told.steps_total, 1U);
  EXPECT_FALSE(told.first_token);
  EXPECT_EQ(told.started, Script::at(202));
  EXPECT_EQ(told.last_token, Script::at(300.9));
  EXPECT_EQ(total_of(told), 101ms);
}

TEST(EngineSteps, OpenOnesAreExplainedUntilNow) {
  Script script;
  script.request(1, 0, 1);
  script.run(Script::sender(1), -50, 0, 2);
  EXPECT_FALSE(script.steps.explain(Script::key(1), Script::at(50))) << "nothing is known of its server";
  script.run(Script::loop, -50, 2, 60, Script::sender(1));
  script.token(1, 2, 60);
  script.request(3, 61, 62);
  script.run(Script::sender(3), -50, 61, 63);
  auto told = script.steps.explain(Script::key(3), Script::at(70));
  ASSERT_TRUE(told);
  EXPECT_EQ(total_of(*told), 9ms);
  EXPECT_NEAR(time_of(*told, TimeKind::queue), 7, 0.001);
  told = script.steps.explain(Script::key(1), Script::at(70));
  EXPECT_EQ(total_of(*told), 70ms);
  EXPECT_EQ(told->steps_total, 1U);
  EXPECT_FALSE(script.steps.explain(Script::key(2), Script::at(70)));
}

TEST(EngineSteps, LossesAreTold) {
  Script script;
  script.request(1, 0, 1);
  script.gpu(2, 4);
  script.tell(EventsLost{"event ring full", 3}, 5);
  script.request(2, 10, 11);
  EXPECT_FALSE(script.close(1, 20).complete);
  EXPECT_TRUE(script.close(2, 20).complete);
}

TEST(EngineSteps, OthersRequestsAndThoseBeyondTheLimitAreNotExplained) {
  EngineSteps steps(EngineSteps::Limits{.servers = 1, .requests = 1});
  Exchange exchange;
  exchange.role = Role::client;
  exchange.pid = 1;
  InferenceCall call;
  call.dialect = "openai";
  const auto open = [&](ConnectionId connection) {
    steps.on({connection, 0}, CallUpdate{CallUpdate::Kind::opened, call, exchange, at_ms(0)}, {});
  };
  open(1);
  EXPECT_EQ(steps.stats().in, 0U) << "it makes it, and does not serve it";
  exchange.role = Role::server;
  open(2);
  open(3);
  EXPECT_EQ(steps.stats().in, 2U);
  EXPECT_EQ(steps.stats().dropped_total(), 1U);
  EXPECT_TRUE(steps.stats().balanced());
  EXPECT_FALSE(steps.close({3, 0}, CallUpdate{CallUpdate::Kind::closed, call, exchange, at_ms(5)}, at_ms(5)));
}

TEST(EngineSteps, AServerThatEndedIsForgottenWithItsLastRequest) {
  Script script;
  script.request(1, 0, 1);
  script.token(1, 2, 20);
  script.tell(ProcessExited{.pid = Script::pid}, 30);
  const Explanation told = script.close(1, 31);
  EXPECT_EQ(total_of(told), 31ms);
  const auto totals = script.steps.totals();
  EXPECT_GT(totals.shares.time, 0ms);
  EXPECT_EQ(totals.shares.time, told.step_time) << "what it had is still in the sums";
}

}  // namespace
}  // namespace inferscope::correlate
