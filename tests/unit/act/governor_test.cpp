// SPDX-License-Identifier: Apache-2.0
#include "act/governor.h"

#include <gtest/gtest.h>

#include <regex>

#include "tests/unit/act/governor_trial.h"

namespace inferscope::act {
namespace {

using namespace test;
using policy::TargetKind;

TEST(Governor, ActsOnlyIfPolicyAndHostSaySo) {
  for (const bool enforces : {false, true})
    for (const bool is_armed : {false, true}) {
      auto policy = continues();
      policy.mode = enforces ? policy::Mode::enforce : policy::Mode::observe;
      auto options = armed();
      options.armed = is_armed;
      Trial trial({policy}, options);
      trial.tell(finding("f"));
      ASSERT_EQ(trial.decisions.size(), 1u);
      EXPECT_EQ(trial.last().verdict == Decision::Verdict::act, enforces && is_armed);
      EXPECT_EQ(trial.last().reason.find("the policy observes") == std::string::npos, enforces);
      EXPECT_EQ(trial.last().reason.find("the host is not armed") == std::string::npos, is_armed);
      EXPECT_EQ(trial.governor.counts().acted, enforces && is_armed ? 1u : 0u);
      EXPECT_EQ(trial.governor.counts().would_have_acted, enforces && is_armed ? 0u : 1u);
    }
}

TEST(Governor, WhatNobodySetObserves) {
  policy::Policy policy = continues();
  policy.mode = {};
  Trial trial({policy}, GovernorOptions{});
  trial.tell(finding("f"));
  EXPECT_EQ(trial.said(), "would_act");
}

TEST(Governor, ADecisionSaysWhatIsDoneToWhomAndWhy) {
  Trial trial({continues()});
  trial.tell(finding("f"));
  const Decision& decision = trial.last();
  EXPECT_TRUE(std::regex_match(decision.id, std::regex("[0-9a-f]{16}")));
  EXPECT_EQ(decision.time, trial.now);
  EXPECT_EQ(decision.finding, "f");
  EXPECT_EQ(decision.policy, "continues");
  EXPECT_EQ(decision.step, 0u);
  EXPECT_EQ(decision.action.signal, SIGCONT);
  EXPECT_EQ(decision.target, finding("f").server);
  EXPECT_EQ(decision.reason, "stall, cause stopped, confidence 1.00, 2.00 times the usual");
}

TEST(Governor, IdsAreTheSameInAReplayAndOtherwiseDifferent) {
  std::vector<std::string> runs[2];
  for (auto& ids : runs) {
    Trial trial({continues({signal_step(SIGCONT), signal_step(SIGTERM)})});
    trial.tell(finding("f"));
    trial.wait(seconds(1));
    trial.tell(finding("f"));
    trial.wait(seconds(1));
    for (const auto& one : trial.decisions) ids.push_back(one.id);
  }
  ASSERT_EQ(runs[0].size(), 2u);
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0][0], runs[0][1]);
}

TEST(Governor, TheFirstPolicyThatMatchesActs) {
  auto other = continues({signal_step(SIGTERM)});
  other.name = "other";
  auto elsewhere = continues({signal_step(SIGHUP)});
  elsewhere.name = "elsewhere";
  elsewhere.match.server_name = "nobody";
  Trial trial({elsewhere, continues(), other});
  trial.tell(finding("f"));
  trial.wait(minutes(5));
  EXPECT_EQ(trial.said(), "act");
  EXPECT_EQ(trial.last().policy, "continues");
}

TEST(Governor, LastingNeedsTicks) {
  auto policy = continues();
  policy.match.lasting = milliseconds(300);
  Trial trial({policy});
  auto one = finding("f");
  one.begin = trial.now;
  trial.tell(one);
  trial.wait(milliseconds(299));
  EXPECT_EQ(trial.said(), "");
  trial.wait(milliseconds(1));
  EXPECT_EQ(trial.said(), "act");
}

TEST(Governor, AFindingThatIsAsGoodAsRecoveredNeedsNothing) {
  Trial trial({continues()});
  trial.tell(finding("f"), 1.1);
  EXPECT_EQ(trial.said(), "");
  trial.tell(finding("f"), 1.3);
  EXPECT_EQ(trial.said(), "act");
}

// Refusals.

TEST(Refusal, Gap) {
  Trial trial({continues()});
  auto one = finding("f");
  one.gap = true;
  trial.tell(one);
  trial.wait(seconds(1));
  EXPECT_EQ(trial.said(), "gap");
  trial.tell(finding("f"));
  EXPECT_EQ(trial.said(), "gap act");
}

TEST(Refusal, AlsoOfMessages) {
  Trial trial({continues({notify_step()})});
  auto one = finding("f");
  one.gap = true;
  trial.tell(one);
  EXPECT_EQ(trial.said(), "gap");
}

TEST(Refusal, NoCulprit) {
  Trial trial({throttles()});
  auto one = finding("f", 100, 200);
  one.cause.culprit.reset();
  trial.tell(one);
  EXPECT_EQ(trial.said(), "no_culprit");
}

TEST(Refusal, TargetWithoutIdentity) {
  for (const bool number : {false, true}) {
    Trial trial({continues()});
    auto one = finding("f");
    (number ? one.server.pid = 0 : one.server.start_time_ns = 0);
    trial.tell(one);
    EXPECT_EQ(trial.said(), "no_identity");
  }
  for (const bool path : {false, true}) {
    Trial trial({throttles()});
    auto one = finding("f", 100, 200);
    if (path)
      one.cause.culprit->cgroup.clear();
    else
      one.cause.culprit->cgroup_id = 0;
    trial.tell(one);
    EXPECT_EQ(trial.said(), "no_identity");
  }
}

TEST(Refusal, AMessageAndACgroupThatThePolicyNamesNeedNoProcess) {
  auto named = throttle_step(TargetKind::cgroup);
  named.cgroup = "/batch";
  for (const auto& step : {notify_step(), named}) {
    Trial trial({continues({step})});
    auto one = finding("f");
    one.server = {};
    trial.tell(one);
    EXPECT_EQ(trial.said(), "act");
    EXPECT_EQ(trial.last().target.pid, 0);
    EXPECT_EQ(trial.last().target.cgroup, step.cgroup);
  }
}

TEST(Refusal, TheCulpritIsItselfAServerWithAFinding) {
  auto policy = throttles({signal_step(SIGTERM)});
  policy.steps[0].target = TargetKind::culprit;
  Trial trial({policy});
  trial.tell(finding("other", 200));  // no policy for it, but it is a server
  trial.tell(finding("f", 100, 200));
  EXPECT_EQ(trial.said(), "culprit_is_server");
  trial.close(finding("other", 200));
  trial.wait(seconds(1));
  EXPECT_EQ(trial.said(), "culprit_is_server act");
}

TEST(Refusal, TheCulpritsCgroupHoldsAServer) {
  struct Place {
    const char* culprit;
    const char* server;
    const char* said;
  };
  for (const Place& place : {Place{"/a", "/a", "culprit_is_server"}, Place{"/a", "/a/b", "culprit_is_server"},
                             Place{"/", "/a/b", "culprit_is_server"}, Place{"/a", "/ab", "act"},
                             Place{"/a/b", "/a", "act"}, Place{"/a", "", "no_identity"}}) {
    Trial trial({throttles()});
    auto one = finding("f", 100, 200);
    one.cause.culprit->cgroup = place.culprit;
    one.server.cgroup = place.server;
    trial.tell(one);
    EXPECT_EQ(trial.said(), place.said) << place.culprit << " " << place.server;
  }
}

TEST(Refusal, CooldownOfTheTargetWhateverTheFinding) {
  Trial trial({continues()});
  trial.tell(finding("f"));
  trial.wait(seconds(1));
  trial.close(finding("f"));
  trial.tell(finding("g"));
  EXPECT_EQ(trial.said(), "act cooldown");
  trial.tell(finding("elsewhere", 101));
  EXPECT_EQ(trial.said(), "act cooldown act");
  trial.wait(seconds(58));
  EXPECT_EQ(trial.decisions.size(), 3u);
  trial.wait(seconds(1));
  EXPECT_EQ(trial.said(), "act cooldown act act");
  EXPECT_EQ(trial.governor.counts().refused.at("cooldown"), 1u);
}

TEST(Refusal, CooldownBeginsWhenTheLeaseEnds) {
  Trial trial({throttles({throttle_step(TargetKind::culprit, true)})});
  trial.tell(finding("f", 100, 200));
  trial.wait(seconds(1));
  trial.close(finding("f", 100, 200));
  const Decision first = trial.last();
  trial.wait(seconds(10));
  trial.tell(finding("g", 101, 200));
  EXPECT_EQ(trial.said(), "act cooldown");  // it is being acted on
  trial.wait(seconds(19));
  trial.end(first, Effect::EndedBy::expiry);
  trial.wait(seconds(59));
  EXPECT_EQ(trial.said(), "act cooldown");
  trial.wait(seconds(1));
  EXPECT_EQ(trial.said(), "act cooldown act");
}

TEST(Refusal, TwoProcessesOfACgroupAreOneTarget) {
  Trial trial({throttles()});
  trial.tell(finding("f", 100, 200));
  trial.wait(seconds(1));
  trial.close(finding("f", 100, 200));
  auto sibling = finding("g", 100, 201);
  sibling.cause.culprit->cgroup = "/batch200";
  sibling.cause.culprit->cgroup_id = 200;
  trial.tell(sibling);
  EXPECT_EQ(trial.said(), "act cooldown");
}

TEST(Refusal, ANewProcessWithTheNumberOfAnOldOneIsAnother) {
  Trial trial({continues()});
  trial.tell(finding("f"));
  trial.close(finding("f"));
  auto other = finding("g");
  other.server.start_time_ns = 2;
  trial.tell(other);
  EXPECT_EQ(trial.said(), "act act");
}

TEST(Refusal, AMessageAboutAServerDoesNotKeepItFromBeingHelped) {
  auto tells = continues({notify_step()});
  tells.name = "tells";
  tells.match.kind = Finding::Kind::errors;
  Trial trial({tells, continues()});
  auto errors = finding("e");
  errors.kind = Finding::Kind::errors;
  trial.tell(errors);
  trial.tell(finding("f"));
  EXPECT_EQ(trial.said(), "act act");
}

TEST(Refusal, RateOfThePolicy) {
  auto policy = continues();
  policy.rate_count = 2;
  policy.rate_window = minutes(1);
  Trial trial({policy});
  for (int i = 0; i < 3; ++i) {
    trial.tell(finding("f" + std::to_string(i), 100 + i));
    trial.wait(seconds(1));
  }
  EXPECT_EQ(trial.said(), "act act policy_rate");
  trial.wait(seconds(56));
  EXPECT_EQ(trial.decisions.size(), 3u);
  trial.wait(seconds(1));
  EXPECT_EQ(trial.said(), "act act policy_rate act");
}

TEST(Refusal, RateOfTheHostOverAllPoliciesButNotOfMessages) {
  auto tells = continues({notify_step()});
  tells.name = "tells";
  tells.match.kind = Finding::Kind::errors;
  auto options = armed();
  options.host_rate_count = 2;
  options.host_rate_window = minutes(1);
  Trial trial({tells, continues(), throttles()}, options);
  auto errors = finding("e");
  errors.kind = Finding::Kind::errors;
  trial.tell(errors);
  trial.tell(finding("a", 100));
  trial.tell(finding("b", 101, 201));
  trial.close(finding("b", 101, 201));
  trial.tell(finding("c", 102));
  EXPECT_EQ(trial.said(), "act act act host_rate");
  errors.id = "more";
  errors.server.pid = 150;
  trial.tell(errors);
  EXPECT_EQ(trial.said(), "act act act host_rate act");
}

TEST(Refusal, AtOnceCountsWhatIsUnderWayAndWhatHolds) {
  Trial trial({throttles()});
  trial.automatic = false;
  trial.tell(finding("a", 100, 200));
  trial.tell(finding("b", 101, 201));
  EXPECT_EQ(trial.said(), "act at_once");  // nobody said yet what became of the first
  trial.report(trial.decisions[0], Effect::State::active);
  trial.wait(seconds(1));
  EXPECT_EQ(trial.governor.effects_held(), 1u);
  EXPECT_EQ(trial.said(), "act at_once");
  trial.end(trial.decisions[0], Effect::EndedBy::expiry);
  EXPECT_EQ(trial.governor.effects_held(), 0u);
  trial.wait(seconds(1));
  EXPECT_EQ(trial.said(), "act at_once act");
}

TEST(Refusal, NoneAtOnceIsNoneAtAll) {
  auto options = armed();
  options.effects_at_once = 0;
  Trial trial({continues()}, options);
  trial.tell(finding("f"));
  EXPECT_EQ(trial.said(), "at_once");
}

TEST(Refusal, IsToldOncePerFindingStepAndReason) {
  auto policy = continues();
  policy.rate_count = 1;
  Trial trial({policy});
  trial.tell(finding("a"));
  trial.close(finding("a"));
  trial.tell(finding("b"));
  for (int i = 0; i < 100; ++i) trial.wait(seconds(1));
  EXPECT_EQ(trial.said(), "act cooldown policy_rate");  // the cooldown ended, the rate did not
  trial.tell(finding("c", 101));
  EXPECT_EQ(trial.said(), "act cooldown policy_rate policy_rate");
}

TEST(Refusal, HasAnIdAndCounts) {
  Trial trial({throttles()});
  auto one = finding("f", 100, 200);
  one.gap = true;
  trial.tell(one);
  one.gap = false;
  one.cause.culprit.reset();
  trial.tell(one);
  EXPECT_EQ(trial.said(), "gap no_culprit");
  EXPECT_NE(trial.decisions[0].id, trial.decisions[1].id);  // at the same time
  EXPECT_EQ(trial.governor.counts().refused.size(), 2u);
}

// Dry runs.

TEST(DryRun, ChecksTheSame) {
  for (const bool dry : {false, true}) {
    auto policy = throttles();
    policy.mode = dry ? policy::Mode::observe : policy::Mode::enforce;
    Trial trial({policy});
    trial.tell(finding("a", 100, 200));
    trial.tell(finding("b", 101, 201));
    trial.wait(seconds(1));
    trial.close(finding("a", 100, 200));
    trial.wait(milliseconds(50));
    trial.wait(milliseconds(50));
    trial.close(finding("b", 101, 201));
    trial.tell(finding("c", 100, 200));
    const std::string act = dry ? "would_act" : "act";
    EXPECT_EQ(trial.said(), act + " at_once " + act + " cooldown");
    EXPECT_EQ(trial.judged(), "recovered+undo:recovery recovered+undo:recovery");
  }
}

TEST(DryRun, CountsForNothingInWhatIsReallyDone) {
  auto observes = throttles();
  observes.mode = policy::Mode::observe;
  observes.match.server_name = "server100";
  auto enforces = throttles();
  enforces.name = "enforces";
  auto options = armed();
  options.host_rate_count = 1;
  Trial trial({observes, enforces}, options);
  trial.tell(finding("a", 100, 200));
  trial.tell(finding("b", 101, 200));  // the same culprit
  EXPECT_EQ(trial.said(), "would_act act");
  EXPECT_EQ(trial.governor.effects_held(), 1u);
}

TEST(DryRun, ItsLeaseEndsByItself) {
  auto policy = throttles({throttle_step(TargetKind::culprit, true)});
  policy.mode = policy::Mode::observe;
  policy.cooldown = seconds(1);
  Trial trial({policy});
  trial.tell(finding("a", 100, 200));
  trial.wait(seconds(1));
  trial.close(finding("a", 100, 200));
  trial.tell(finding("b", 101, 201));
  trial.wait(seconds(28));
  EXPECT_EQ(trial.said(), "would_act at_once");
  trial.wait(seconds(1));
  EXPECT_EQ(trial.said(), "would_act at_once would_act");
}

// Bounds.

TEST(Governor, FindingsAreBoundedAndCounted) {
  Trial trial({});
  for (std::size_t i = 0; i < Governor::findings_kept + 10; ++i) trial.tell(finding(std::to_string(i)));
  EXPECT_EQ(trial.governor.findings_open(), Governor::findings_kept);
  EXPECT_EQ(trial.governor.stats().dropped.at("findings_full"), 10u);
  EXPECT_TRUE(trial.governor.stats().balanced());
  trial.close(finding("1029"));  // there was no room for it
  trial.close(finding("0"));
  trial.tell(finding("1029"));
  EXPECT_EQ(trial.governor.findings_open(), Governor::findings_kept);
  EXPECT_EQ(trial.governor.stats().dropped_total(), 10u);
  EXPECT_TRUE(trial.governor.stats().balanced());
}

TEST(Governor, AFindingIsForgottenWhenItIsOver) {
  Trial trial({continues()});
  trial.automatic = false;
  trial.tell(finding("f"));
  trial.close(finding("f"));
  EXPECT_EQ(trial.governor.findings_open(), 1u);  // nobody said yet what became of the action
  trial.report(trial.last(), Effect::State::active);
  trial.wait(milliseconds(25));
  EXPECT_EQ(trial.governor.findings_open(), 0u);
}

TEST(Governor, HistoryIsBounded) {
  auto policy = continues({notify_step()});
  policy.rate_count = 1000;
  policy.rate_window = seconds(1);
  policy.cooldown = std::chrono::hours(24);
  Trial trial({policy});
  for (std::size_t i = 0; i < History::targets_kept + 1; ++i) {
    const auto one = finding("f" + std::to_string(i), static_cast<Pid>(i + 1));
    trial.tell(one);
    trial.close(one);
    if (i % 500 == 0) trial.wait(seconds(1));
  }
  EXPECT_EQ(trial.last().reason.substr(0, 12), "history_full");
  trial.wait(std::chrono::hours(24));
  trial.tell(finding("later", 5));
  EXPECT_EQ(trial.last().verdict, Decision::Verdict::act);
}

}  // namespace
}  // namespace inferscope::act
