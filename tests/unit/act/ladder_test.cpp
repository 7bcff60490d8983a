// SPDX-License-Identifier: Apache-2.0
// What becomes of an action: recovered, worse, unchanged, and what is done then.
#include <gtest/gtest.h>

#include "tests/unit/act/governor_trial.h"

namespace inferscope::act {
namespace {

using namespace test;
using policy::TargetKind;

Finding slow() {
  return finding("f", 100, 200);
}

TEST(Verify, AFindingThatClosesHasRecovered) {
  Trial trial({throttles()});
  trial.tell(slow());
  trial.wait(seconds(1));
  EXPECT_EQ(trial.judged(), "");
  trial.close(slow());
  EXPECT_EQ(trial.judged(), "recovered+undo:recovery");
  EXPECT_EQ(trial.judgements[0].effect, "effect of " + trial.decisions[0].id);
  EXPECT_EQ(trial.judgements[0].time, trial.now);
  EXPECT_EQ(trial.governor.findings_open(), 0u);
  EXPECT_EQ(trial.governor.effects_held(), 0u);
}

TEST(Verify, AMeasureNearTheUsualHasRecovered) {
  Trial trial({throttles()});
  trial.tell(slow());
  trial.wait(milliseconds(100));
  trial.tell(slow(), 1.2);
  EXPECT_EQ(trial.judged(), "");
  trial.tell(slow(), 1.19);
  EXPECT_EQ(trial.judged(), "recovered+undo:recovery");
}

TEST(Verify, OnlyDataThatIsYoungerThanTheActionCounts) {
  Trial trial({throttles()});
  auto one = slow();
  one.measure.time = trial.now;
  trial.tell(one);
  for (const double ratio : {1.0, 100.0}) {
    trial.wait(milliseconds(100));
    one.measure.value = ratio;
    trial.tell(one);
  }
  trial.wait(minutes(1));
  EXPECT_EQ(trial.judged(), "");  // and no silence is read as "unchanged"
  one.measure.time = trial.now;
  trial.tell(one);
  EXPECT_EQ(trial.judged(), "worse+undo:worse");
}

TEST(Verify, NothingIsJudgedByDataWithAGapInIt) {
  Trial trial({throttles()});
  trial.tell(slow());
  trial.wait(seconds(3));
  auto one = slow();
  one.gap = true;
  trial.tell(one);
  EXPECT_EQ(trial.judged(), "");
  trial.tell(slow());
  EXPECT_EQ(trial.judged(), "unchanged+undo:unchanged");
}

TEST(Verify, NothingIsJudgedBeforeItIsToldWhatWasDone) {
  Trial trial({throttles()});
  trial.automatic = false;
  trial.tell(slow());
  trial.wait(seconds(10));
  trial.tell(slow(), 1.0);
  EXPECT_EQ(trial.judged(), "");
  trial.report(trial.decisions[0], Effect::State::active);
  trial.wait(milliseconds(25));
  EXPECT_EQ(trial.judged(), "");  // that data was older
  trial.tell(slow(), 1.0);
  EXPECT_EQ(trial.judged(), "recovered+undo:recovery");
}

TEST(Verify, WhatWasOverBeforeTheActionIsNotItsMerit) {
  Trial trial({throttles()});
  trial.automatic = false;
  trial.tell(slow());
  trial.close(slow());
  trial.now += milliseconds(10);
  trial.report(trial.decisions[0], Effect::State::active);
  trial.wait(milliseconds(25));
  EXPECT_EQ(trial.judged(), "pending+undo:recovery");

  Trial signalled({continues()});
  signalled.automatic = false;
  signalled.tell(finding("f"));
  signalled.close(finding("f"));
  signalled.now += milliseconds(10);
  signalled.report(signalled.decisions[0], Effect::State::ended);
  signalled.wait(milliseconds(25));
  EXPECT_EQ(signalled.judged(), "");  // nothing to undo, nothing to say
}

TEST(Verify, WorseIsUndoneAndIsTheEnd) {
  for (const bool hold : {false, true}) {
    Trial trial({throttles({throttle_step(TargetKind::culprit, hold), signal_step(SIGTERM)})});
    trial.tell(slow());
    trial.wait(milliseconds(100));
    trial.tell(slow(), 3.0);  // 1.5 times what it was is not above it
    EXPECT_EQ(trial.judged(), "");
    trial.tell(slow(), 3.1);
    EXPECT_EQ(trial.judged(), "worse+undo:worse");
    trial.wait(minutes(10));
    trial.tell(slow());
    EXPECT_EQ(trial.said(), "act");
  }
}

TEST(Verify, AFindingThatEndedWithItsProcessIsNobodysMerit) {
  Trial trial({continues()});
  auto one = finding("f");
  trial.tell(one);
  trial.wait(milliseconds(100));
  one.lost_sight = true;
  trial.close(one);
  EXPECT_EQ(trial.judged(), "");
}

TEST(Verify, WithoutAUsualValueOnlyTheEndOfTheFindingTells) {
  auto one = slow();
  one.measure.usual = 0;
  Trial trial({throttles()});
  trial.tell(one);
  trial.wait(seconds(1));
  trial.tell(one, 100.0);
  EXPECT_EQ(trial.judged(), "");
  trial.close(one);
  EXPECT_EQ(trial.judged(), "recovered+undo:recovery");
}

TEST(Verify, HoldKeepsALeaseToItsEnd) {
  Trial trial({throttles({throttle_step(TargetKind::culprit, true)})});
  trial.tell(slow());
  trial.wait(seconds(1));
  trial.close(slow());
  EXPECT_EQ(trial.judged(), "recovered");
  EXPECT_EQ(trial.governor.effects_held(), 1u);
  trial.end(trial.decisions[0], Effect::EndedBy::expiry);
  EXPECT_EQ(trial.governor.effects_held(), 0u);
}

TEST(Verify, ALeaseThatEndedIsJudgedButNotUndone) {
  Trial trial({throttles()});
  trial.tell(slow());
  trial.wait(seconds(1));
  trial.end(trial.decisions[0], Effect::EndedBy::expiry);
  trial.wait(seconds(1));
  trial.tell(slow());
  EXPECT_EQ(trial.judged(), "unchanged");
}

TEST(Verify, OneJudgementForEachEffect) {
  Trial trial({throttles()});
  trial.tell(slow());
  for (int i = 0; i < 20; ++i) {
    trial.wait(seconds(1));
    trial.tell(slow());
  }
  trial.close(slow());
  EXPECT_EQ(trial.said(), "act");
  EXPECT_EQ(trial.judged(), "unchanged+undo:unchanged");
}

TEST(Verify, WhatComesBackIsBegunWithAnewAfterTheCooldown) {
  Trial trial({throttles({throttle_step(), signal_step(SIGTERM)})});
  trial.tell(slow());
  trial.wait(milliseconds(100));
  trial.tell(slow(), 1.0);
  trial.tell(slow(), 2.0);
  EXPECT_EQ(trial.said(), "act cooldown");
  trial.wait(seconds(60));
  EXPECT_EQ(trial.said(), "act cooldown act");
  EXPECT_EQ(trial.last().step, 0u);
}

TEST(Ladder, UnchangedIsUndoneAndLeadsToTheNextStep) {
  Trial trial({throttles({notify_step(), throttle_step(), signal_step(SIGTERM)})});
  trial.tell(slow());
  EXPECT_EQ(trial.last().action.kind, Action::Kind::notify);
  const auto pass = [&trial](Duration time) {
    trial.now += time;
    trial.tell(slow());
  };
  pass(milliseconds(1999));
  EXPECT_EQ(trial.decisions.size(), 1u);
  pass(milliseconds(1));
  ASSERT_EQ(trial.decisions.size(), 2u);
  EXPECT_EQ(trial.last().action.kind, Action::Kind::throttle);
  EXPECT_EQ(trial.last().step, 1u);
  pass(seconds(2));
  ASSERT_EQ(trial.decisions.size(), 3u);
  EXPECT_EQ(trial.last().action.signal, SIGTERM);
  pass(seconds(2));
  pass(minutes(10));
  EXPECT_EQ(trial.said(), "act act act");
  EXPECT_EQ(trial.judged(), "unchanged unchanged+undo:unchanged unchanged");
}

TEST(Ladder, TheNextStepWaitsUntilTheLastIsUndone) {
  Trial trial({throttles({throttle_step(), signal_step(SIGTERM)})});
  trial.automatic = false;
  trial.tell(slow());
  trial.report(trial.decisions[0], Effect::State::active);
  trial.wait(seconds(2));
  trial.tell(slow());
  trial.wait(seconds(1));
  EXPECT_EQ(trial.judged(), "unchanged+undo:unchanged");
  EXPECT_EQ(trial.said(), "act");  // no refusal, either: this is how it goes
  trial.end(trial.decisions[0], Effect::EndedBy::unchanged);
  trial.wait(milliseconds(25));
  EXPECT_EQ(trial.said(), "act act");
}

TEST(Ladder, WhatDidNotHelpIsNotHeldBesideTheNextStep) {
  for (const std::size_t at_once : {1u, 2u}) {
    auto options = armed();
    options.effects_at_once = at_once;
    Trial trial({throttles({throttle_step(TargetKind::culprit, true), signal_step(SIGTERM)})}, options);
    trial.tell(slow());
    trial.wait(seconds(2));
    trial.tell(slow());
    EXPECT_EQ(trial.judged(), "unchanged+undo:unchanged");
    EXPECT_EQ(trial.said(), "act act");
  }
}

TEST(Ladder, IsClimbedOnlyWhileTheFindingIsWhatThePolicyIsFor) {
  Trial trial({continues({signal_step(SIGCONT), signal_step(SIGKILL)})});
  trial.tell(finding("f"));
  trial.wait(seconds(1));
  auto runs = finding("f");
  runs.cause.kind = Cause::Kind::none;  // it was continued; that it is slow yet is no reason to kill it
  trial.tell(runs);
  trial.wait(minutes(1));
  trial.tell(runs);
  EXPECT_EQ(trial.said(), "act");
  EXPECT_EQ(trial.judged(), "unchanged");
}

TEST(Ladder, NoOtherPolicyTakesOver) {
  auto other = continues({signal_step(SIGTERM)});
  other.name = "other";
  other.match.causes = {Cause::Kind::none};
  Trial trial({continues(), other});
  trial.tell(finding("f"));
  trial.wait(seconds(2));
  auto changed = finding("f");
  changed.cause.kind = Cause::Kind::none;
  trial.tell(changed);
  trial.wait(minutes(10));
  EXPECT_EQ(trial.said(), "act");
}

TEST(Ladder, AnActionThatFailedIsTheEndOfIt) {
  Trial trial({continues({signal_step(SIGCONT), signal_step(SIGKILL)})});
  trial.automatic = false;
  trial.tell(finding("f"));
  trial.report(trial.last(), Effect::State::failed);
  trial.wait(minutes(10));
  trial.tell(finding("f"));
  EXPECT_EQ(trial.said(), "act");
  EXPECT_EQ(trial.judged(), "");
  EXPECT_EQ(trial.governor.effects_held(), 0u);
  trial.tell(finding("g"));
  EXPECT_EQ(trial.said(), "act act");  // for this finding only
}

TEST(Ladder, AMessageThatFailedIsNot) {
  Trial trial({continues({notify_step(), signal_step(SIGCONT)})});
  trial.automatic = false;
  trial.tell(finding("f"));
  trial.report(trial.last(), Effect::State::failed);
  trial.wait(milliseconds(25));
  EXPECT_EQ(trial.said(), "act act");
  EXPECT_EQ(trial.last().step, 1u);
}

TEST(Ladder, WhoTakesAnEffectBackDoesNotWantTheNext) {
  Trial trial({throttles({throttle_step(), signal_step(SIGTERM)})});
  trial.tell(slow());
  trial.wait(milliseconds(500));
  trial.end(trial.last(), Effect::EndedBy::operator_request);
  trial.wait(minutes(10));
  trial.tell(slow());
  EXPECT_EQ(trial.said(), "act");
}

TEST(Ladder, WhatIsStuckHoldsItsPlaceUntilSomebodyLooked) {
  Trial trial({throttles({throttle_step(), signal_step(SIGTERM)})});
  trial.automatic = false;
  trial.tell(slow());
  const Decision first = trial.last();
  trial.report(first, Effect::State::active);
  trial.wait(seconds(2));
  trial.tell(slow());
  trial.report(first, Effect::State::stuck);
  trial.wait(minutes(10));
  EXPECT_EQ(trial.said(), "act");
  trial.tell(finding("g", 101, 201));
  EXPECT_EQ(trial.said(), "act at_once");
  trial.end(first, Effect::EndedBy::operator_request);
  trial.wait(milliseconds(25));
  EXPECT_EQ(trial.said(), "act at_once act");
}

TEST(Restart, LeasesOfAnEarlierRunHoldTheirPlaceAndTheirEndIsACooldown) {
  Decision earlier;
  {
    Trial before({throttles()});
    before.tell(slow());
    earlier = before.last();
  }
  Trial trial({throttles()});
  trial.now += seconds(5);
  trial.report(earlier, Effect::State::active);
  EXPECT_EQ(trial.governor.effects_held(), 1u);
  trial.tell(finding("other", 101, 201));
  EXPECT_EQ(trial.said(), "at_once");
  trial.end(earlier, Effect::EndedBy::restart);
  trial.close(finding("other", 101, 201));
  trial.tell(finding("new", 100, 200));
  EXPECT_EQ(trial.said(), "at_once cooldown");
}

}  // namespace
}  // namespace inferscope::act
