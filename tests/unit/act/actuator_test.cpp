// SPDX-License-Identifier: Apache-2.0
#include "act/actuator.h"

#include <gtest/gtest.h>

#include "tests/support/child_process.h"
#include "tests/unit/act/some_lease.h"

namespace inferscope::act {
namespace {

using EndedBy = Effect::EndedBy;
using State = Effect::State;
using test::at;
using test::ChildProcess;
using test::decision;
using test::FakeHost;
using Verdict = Decision::Verdict;

/// One real process, in the cgroup /a of a host of our own making; and the agent.
struct Acting : testing::TestWithParam<FakeHost::Cgroups> {
  FakeHost host{GetParam()};
  ChildProcess child = ChildProcess::waiting();
  test::FakeTask task{.pid = child.pid(), .cgroup = "/a"};
  std::unique_ptr<Actuator> actuator{};
  std::vector<std::string> never_touch{};

  void SetUp() override {
    host.add({.pid = getpid(), .name = "agent"});
    host.add_group("/a", {child.pid()});
    host.add_group("/batch", {child.pid()});
    host.add(task);
    restart();
  }
  /// As after a crash: what is held is not undone by the one before.
  void restart(double now = 100) {
    actuator.reset();
    auto opened = Actuator::open({.state_folder = host.state(),
                                  .proc = host.roots().proc,
                                  .cgroup_root = host.roots().cgroups,
                                  .never_touch = never_touch,
                                  .guardian = {}},
                                 at(now));
    ASSERT_TRUE(opened) << opened.error().text();
    actuator = std::move(opened).value();
  }
  [[nodiscard]] ProcessTarget process() const { return host.target(task); }
  [[nodiscard]] static ProcessTarget batch() { return {.cgroup = "/batch"}; }
  Effect apply(const Action& action, const ProcessTarget& target, double now = 100) {
    return actuator->apply(decision(action, target), at(now));
  }
  [[nodiscard]] bool one() const { return host.has_version1(); }
  [[nodiscard]] std::string quota_file(const std::string& group) const {
    return one() ? "cpu" + group + "/cpu.cfs_quota_us" : group.substr(1) + "/cpu.max";
  }
  [[nodiscard]] std::string quota(const std::string& group) const { return host.value(quota_file(group)); }
  [[nodiscard]] std::string limited(int us) const { return fmt::format("{}{}", us, one() ? "" : " 100000"); }
  [[nodiscard]] std::string unlimited() const { return one() ? "-1" : "max 100000"; }
  void fails(const Effect& effect, const std::string& why) {
    EXPECT_EQ(effect.state, State::failed);
    EXPECT_EQ(effect.ended_by, EndedBy::none);
    EXPECT_EQ(effect.lease_until, effect.begin);
    EXPECT_NE(effect.problem.find(why), std::string::npos) << effect.problem;
    EXPECT_EQ(quota("/a"), unlimited());
    EXPECT_EQ(quota("/batch"), unlimited());
    EXPECT_TRUE(actuator->active().empty());
    EXPECT_TRUE(read_journal(test::read_file(host.state() / "journal")).outstanding.empty());
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, Acting, testing::Values(FakeHost::Cgroups::version1, FakeHost::Cgroups::version2),
                         [](const auto& one) {
                           return one.param == FakeHost::Cgroups::version1 ? "version1" : "version2";
                         });

TEST_P(Acting, ALeaseIsHeldAndEndsInTime) {
  const Effect effect = apply(test::throttle(0.2), process());
  EXPECT_EQ(effect.state, State::active) << effect.problem;
  EXPECT_EQ(effect.id.size(), 16u);
  EXPECT_EQ(effect.where, host.file(quota_file("/a")));
  EXPECT_EQ(effect.earlier, unlimited());
  EXPECT_EQ(effect.written, limited(20000));
  EXPECT_EQ(effect.lease_until, at(130));
  EXPECT_FALSE(effect.end);
  EXPECT_EQ(quota("/a"), limited(20000));
  ASSERT_EQ(actuator->active().size(), 1u);
  std::vector<Effect> ended;
  const auto keep = [&](const Effect& one) { ended.push_back(one); };
  actuator->tick(at(129), keep);
  EXPECT_TRUE(ended.empty());
  actuator->tick(at(130), keep);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].id, effect.id);
  EXPECT_EQ(ended[0].state, State::ended);
  EXPECT_EQ(ended[0].ended_by, EndedBy::expiry);
  EXPECT_EQ(ended[0].end, at(130));
  EXPECT_EQ(ended[0].problem, "");
  EXPECT_EQ(quota("/a"), unlimited());
  EXPECT_TRUE(actuator->active().empty());
}

TEST_P(Acting, AnOperatorTakesItBack) {
  const Effect effect = apply(test::throttle(0.2), batch());
  EXPECT_FALSE(actuator->undo("0000000000000bad", EndedBy::operator_request, at(101)));
  const auto ended = actuator->undo(effect.id, EndedBy::operator_request, at(101));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->ended_by, EndedBy::operator_request);
  EXPECT_EQ(quota("/batch"), unlimited());
  EXPECT_FALSE(actuator->undo(effect.id, EndedBy::operator_request, at(102))) << "it has ended";
}

TEST_P(Acting, ADryRunDoesAllButTheWrite) {
  const Effect would = actuator->apply(decision(test::throttle(0.2), process(), Verdict::would_act), at(100));
  EXPECT_EQ(would.state, State::would_have);
  EXPECT_EQ(would.where, host.file(quota_file("/a")));
  EXPECT_EQ(would.earlier, unlimited());
  EXPECT_EQ(would.written, limited(20000));
  EXPECT_EQ(quota("/a"), unlimited());
  EXPECT_TRUE(actuator->active().empty());
  task.start_ticks += 1;
  const ProcessTarget target = process();
  EXPECT_EQ(actuator->apply(decision(test::throttle(0.2), target, Verdict::would_act), at(100)).state, State::failed)
      << "and all of the checks";
  const Effect signal = actuator->apply(decision(test::signal_of(SIGKILL), target, Verdict::would_act), at(100));
  EXPECT_EQ(signal.state, State::failed);
}

TEST_P(Acting, RefusedIsNotDone) {
  fails(actuator->apply(decision(test::throttle(0.2), process(), Verdict::refused), at(100)), "");
}

TEST_P(Acting, TheTargetIsGoneOrAnother) {
  ProcessTarget target = process();
  target.start_time_ns += 1;
  fails(apply(test::throttle(0.2), target), "is another one by now");
  target = process();
  host.add_group("/b", {child.pid()});
  task.cgroup = "/b";
  host.add(task);
  fails(apply(test::throttle(0.2), target), "is in another cgroup by now");
  child.end();
  host.remove(target.pid);
  fails(apply(test::throttle(0.2), target), "has ended");
  fails(apply(test::throttle(0.2), {.cgroup = "/nowhere"}), "is gone");
  fails(apply(test::throttle(0.2), {.cgroup = "/"}), "root cgroup");
  fails(apply(test::signal_of(SIGTERM), batch()), "never to a cgroup");
}

TEST_P(Acting, TheTargetIsNotAlone) {
  host.add({.pid = 9999, .parent = 1, .name = "other", .cgroup = "/a"});
  host.add_group("/a", {child.pid(), 9999});
  fails(apply(test::throttle(0.2), process()), "shares its cgroup with process 9999");
  host.add({.pid = 9999, .parent = child.pid(), .name = "worker", .cgroup = "/a"});
  EXPECT_EQ(apply(test::throttle(0.2), process()).state, State::active) << "its own workers are its own";
}

TEST_P(Acting, NobodyProtectedIsTouched) {
  host.add({.pid = 9999, .parent = 1, .name = "kubelet", .cgroup = "/batch"});
  host.add_group("/batch/deep");
  host.add_group("/batch/deep/inside", {9999});
  fails(apply(test::throttle(0.2), batch()), "process 9999 is kubelet, which is never touched");
  host.add_group("/batch/deep/inside", {getpid()});
  fails(apply(test::throttle(0.2), batch()), "is the agent");
  never_touch = {"serv*"};
  restart();
  fails(apply(test::throttle(0.2), process()), "is server, which is never touched");
  fails(apply(test::signal_of(SIGTERM), process()), "is server, which is never touched");
}

TEST_P(Acting, WhatWouldNeverEndIsNotBegun) {
  Action action = test::throttle(0.2);
  action.lease = {};
  fails(apply(action, process()), "without a lease");
  action = test::signal_of(SIGSTOP);
  action.lease = {};
  fails(apply(action, process()), "without a lease");
}

TEST_P(Acting, AFileThatCannotBeWritten) {
  std::filesystem::remove(host.file(quota_file("/a")));
  std::filesystem::create_directory(host.file(quota_file("/a")));
  const Effect effect = apply(test::throttle(0.2), process());
  EXPECT_EQ(effect.state, State::failed);
  EXPECT_NE(effect.problem.find("cannot write"), std::string::npos) << effect.problem;
}

TEST_P(Acting, SomebodyElsesValueStays) {
  const Effect effect = apply(test::throttle(0.2), process());
  host.set(quota_file("/a"), limited(70000));
  const auto ended = actuator->undo(effect.id, EndedBy::recovery, at(101));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->state, State::ended);
  EXPECT_NE(ended->problem.find("somebody else wrote"), std::string::npos);
  EXPECT_EQ(quota("/a"), limited(70000));
}

TEST_P(Acting, WhatIsGoneHasEnded) {
  const Effect effect = apply(test::throttle(0.2), batch());
  std::filesystem::remove_all(host.file(quota_file("/batch")).parent_path());
  const auto ended = actuator->undo(effect.id, EndedBy::recovery, at(101));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->state, State::ended);
  EXPECT_NE(ended->problem.find("is gone"), std::string::npos);
}

TEST_P(Acting, WhatCannotBeUndoneIsSaidAndTriedAgain) {
  const Effect effect = apply(test::throttle(0.2), batch());
  const auto file = host.file(quota_file("/batch"));
  std::filesystem::remove(file);
  std::vector<Effect> told;
  const auto keep = [&](const Effect& one) { told.push_back(one); };
  actuator->tick(at(130), keep);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].state, State::stuck);
  EXPECT_NE(told[0].problem, "");
  EXPECT_EQ(actuator->active().size(), 1u);
  actuator->tick(at(131), keep);
  actuator->tick(at(132), keep);
  EXPECT_EQ(told.size(), 1u) << "said once, though tried again";
  host.set(quota_file("/batch"), limited(20000));
  actuator->tick(at(132.5), keep);
  EXPECT_EQ(told.size(), 1u) << "later each time";
  actuator->tick(at(140), keep);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[1].state, State::ended);
  EXPECT_EQ(told[1].ended_by, EndedBy::expiry);
  EXPECT_EQ(quota("/batch"), unlimited());
}

TEST_P(Acting, LeasesOnOnePlaceStandOnEachOther) {
  for (const bool first_ends_first : {true, false}) {
    const Effect loose = apply(test::throttle(0.5), process());
    const Effect tight = apply(test::throttle(0.2), process());
    EXPECT_EQ(tight.earlier, limited(50000));
    EXPECT_EQ(quota("/a"), limited(20000));
    ASSERT_TRUE(actuator->undo((first_ends_first ? loose : tight).id, EndedBy::recovery, at(101)));
    EXPECT_EQ(quota("/a"), limited(first_ends_first ? 20000 : 50000));
    ASSERT_TRUE(actuator->undo((first_ends_first ? tight : loose).id, EndedBy::recovery, at(102)));
    EXPECT_EQ(quota("/a"), unlimited());
  }
}

TEST_P(Acting, TheNextRunUndoesWhatOneLeft) {
  const Effect loose = apply(test::throttle(0.5), process());
  const Effect tight = apply(test::throttle(0.2), process());
  const Effect other = apply(test::throttle(0.2), batch());
  ASSERT_TRUE(actuator->undo(loose.id, EndedBy::recovery, at(101)));
  restart(110);
  ASSERT_EQ(actuator->left_behind().size(), 2u);
  EXPECT_EQ(actuator->left_behind()[0].id, tight.id);
  EXPECT_EQ(actuator->left_behind()[1].id, other.id);
  for (const Effect& effect : actuator->left_behind()) {
    EXPECT_EQ(effect.state, State::ended);
    EXPECT_EQ(effect.ended_by, EndedBy::restart);
    EXPECT_EQ(effect.end, at(110));
    EXPECT_EQ(effect.decision.policy, "test");
  }
  EXPECT_EQ(quota("/a"), unlimited());
  EXPECT_EQ(quota("/batch"), unlimited());
  EXPECT_TRUE(actuator->active().empty());
  restart(120);
  EXPECT_TRUE(actuator->left_behind().empty());
}

TEST_P(Acting, WhatTheNextRunCannotUndoIsStuck) {
  apply(test::throttle(0.2), batch());
  std::filesystem::remove(host.file(quota_file("/batch")));
  restart(110);
  ASSERT_EQ(actuator->left_behind().size(), 1u);
  EXPECT_EQ(actuator->left_behind()[0].state, State::stuck);
  EXPECT_EQ(actuator->active().size(), 1u);
}

TEST_P(Acting, AfterARebootNothingIsLeft) {
  apply(test::throttle(0.2), batch());
  host.boot("another");
  restart(5);
  ASSERT_EQ(actuator->left_behind().size(), 1u);
  EXPECT_EQ(actuator->left_behind()[0].state, State::ended);
  EXPECT_NE(actuator->left_behind()[0].problem.find("started anew"), std::string::npos);
  EXPECT_EQ(quota("/batch"), limited(20000)) << "whoever wrote that";
}

TEST_P(Acting, ADamagedJournalIsSaidAndWhatIsReadableUndone) {
  apply(test::throttle(0.2), batch());
  actuator.reset();
  const auto file = host.state() / "journal";
  const std::string text = test::read_file(file);
  std::ofstream(file, std::ios::app) << "garbage\n";
  restart();
  ASSERT_EQ(actuator->warnings().size(), 1u);
  EXPECT_NE(actuator->warnings()[0].find("journal.corrupt.1"), std::string::npos);
  EXPECT_EQ(quota("/batch"), unlimited());
}

TEST_P(Acting, ShutDownUndoesAll) {
  apply(test::throttle(0.2), process());
  apply(test::weight(10), process());
  std::size_t ended = 0;
  actuator->undo_all(EndedBy::shut_down, at(101), [&](const Effect& effect) {
    EXPECT_EQ(effect.ended_by, EndedBy::shut_down);
    ++ended;
  });
  EXPECT_EQ(ended, 2u);
  EXPECT_EQ(quota("/a"), unlimited());
  EXPECT_EQ(host.value(one() ? "cpu/a/cpu.shares" : "a/cpu.weight"), one() ? "1024" : "100");
}

TEST_P(Acting, AProcessIsStoppedForATime) {
  const Effect effect = apply(test::signal_of(SIGSTOP), process());
  EXPECT_EQ(effect.state, State::active) << effect.problem;
  EXPECT_EQ(effect.where, fmt::format("pidfd {}", child.pid()));
  EXPECT_EQ(effect.earlier, "CONT");
  EXPECT_EQ(effect.written, "STOP");
  EXPECT_TRUE(WIFSTOPPED(child.change()));
  actuator->tick(at(130), [](const Effect& ended) { EXPECT_EQ(ended.state, State::ended); });
  EXPECT_TRUE(WIFCONTINUED(child.change()));
}

TEST_P(Acting, OneThatWasStoppedBeforeStaysSo) {
  task.state = 'T';
  host.add(task);
  kill(child.pid(), SIGSTOP);
  ASSERT_TRUE(WIFSTOPPED(child.change()));
  apply(test::signal_of(SIGSTOP), process());
  actuator->tick(at(130), [](const Effect&) {});
  int status = 0;
  EXPECT_EQ(waitpid(child.pid(), &status, WNOHANG | WCONTINUED), 0);
}

TEST_P(Acting, ASignalThatCannotBeTakenBackEndsAtOnce) {
  const Effect effect = apply(test::signal_of(SIGTERM), process());
  EXPECT_EQ(effect.state, State::ended) << effect.problem;
  EXPECT_EQ(effect.ended_by, EndedBy::at_once);
  EXPECT_EQ(effect.written, "TERM");
  EXPECT_EQ(effect.lease_until, effect.begin);
  EXPECT_EQ(effect.end, at(100));
  EXPECT_TRUE(WIFSIGNALED(child.change()));
  EXPECT_TRUE(actuator->active().empty());
}

TEST_P(Acting, ASignalOfWhichNobodyKnowsWhetherItWasSentIsTold) {
  Lease lease = test::some_lease(7);
  lease.effect.decision.action = test::signal_of(SIGTERM);
  lease.effect.lease_until = lease.effect.begin;
  actuator.reset();
  ASSERT_TRUE(Journal::open(host.state(), Duration::zero()).value()->intent(lease));
  restart();
  ASSERT_EQ(actuator->left_behind().size(), 1u);
  EXPECT_EQ(actuator->left_behind()[0].state, State::ended);
  EXPECT_NE(actuator->left_behind()[0].problem.find("may have been done"), std::string::npos);
}

TEST_P(Acting, NotifyIsOnlyRecorded) {
  const Effect effect = apply({.kind = Action::Kind::notify, .url = "http://hook"}, process());
  EXPECT_EQ(effect.state, State::ended);
  EXPECT_EQ(effect.ended_by, EndedBy::at_once);
  EXPECT_EQ(effect.where, "http://hook");
}

TEST_P(Acting, AGuardianThatDoesNotStartKeepsFromActing) {
  actuator.reset();
  for (const std::string program : {"/nowhere/inferscope", "/bin/true"}) {
    auto opened = Actuator::open({.state_folder = host.state(),
                                  .proc = host.roots().proc,
                                  .cgroup_root = host.roots().cgroups,
                                  .guardian = {program}},
                                 at(100));
    ASSERT_TRUE(opened);
    actuator = std::move(opened).value();
    ASSERT_EQ(actuator->warnings().size(), 1u);
    EXPECT_NE(actuator->warnings()[0].find("guardian"), std::string::npos);
    fails(apply(test::throttle(0.2), process()), "guardian");
    EXPECT_EQ(apply(test::signal_of(SIGCONT), process()).state, State::ended) << "nothing to undo";
    actuator.reset();
  }
}

TEST_P(Acting, TheStateFolderHasOneUser) {
  EXPECT_FALSE(Journal::open(host.state(), Duration::zero()));
}

}  // namespace
}  // namespace inferscope::act
