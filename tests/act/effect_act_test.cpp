// SPDX-License-Identifier: Apache-2.0
// What actions do to real processes and cgroups, and what keeps them from it.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include "tests/act/agent.h"
#include "tests/support/real_cgroup.h"
#include "tests/support/temp_folder.h"

namespace inferscope::test {
namespace {

using act::Actuator;
using State = Effect::State;

struct Effects : testing::Test {
  TempFolder folder{};
  std::filesystem::path state = folder.path() / "state";
  std::unique_ptr<Actuator> actuator = open_actuator(state);

  Effect apply(const Action& action, pid_t pid) {
    return actuator->apply(decide(action, target_of(pid)), kernel_now());
  }
  void undo(const Effect& effect) {
    const auto ended = actuator->undo(effect.id, Effect::EndedBy::recovery, kernel_now());
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->state, State::ended) << ended->problem;
  }
};

/// Runs in mounts of its own; ends with 0 if the code does.
int in_own_mounts(const std::function<int()>& code) {
  ChildProcess child([&] {
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(90);
    _exit(code());
  });
  const int status = child.wait();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 91;
}

TEST_F(Effects, AThrottleLimits) {
  ChildProcess child = ChildProcess::spinning();
  const auto group = RealCgroup::make("cpu");
  if (!group || !group->has(quota_file(*group))) GTEST_SKIP() << "no cpu controller here";
  group->add(child.pid());
  const std::string before = group->value(quota_file(*group));
  const double free = use_of(child.pid(), std::chrono::milliseconds(1000));
  const Effect effect = apply(throttle_to(0.2), child.pid());
  ASSERT_EQ(effect.state, State::active) << effect.problem;
  EXPECT_EQ(effect.earlier, before);
  const double limited = use_of(child.pid(), std::chrono::milliseconds(2000));
  undo(effect);
  EXPECT_EQ(group->value(quota_file(*group)), before);
  const double again = use_of(child.pid(), std::chrono::milliseconds(1000));
  RecordProperty("free", std::to_string(free));
  RecordProperty("limited", std::to_string(limited));
  RecordProperty("again", std::to_string(again));
  fmt::print("use of a processor: {:.2f}, limited to 0.2: {:.2f}, afterwards: {:.2f}\n", free, limited, again);
  EXPECT_LT(limited, 0.25);
  EXPECT_GT(limited, 0.10);
  EXPECT_GT(again, limited * 1.5);
}

TEST_F(Effects, AWeightIsSet) {
  ChildProcess child = ChildProcess::waiting();
  const auto group = RealCgroup::make("cpu");
  if (!group || !group->has(weight_file(*group))) GTEST_SKIP() << "no cpu controller here";
  group->add(child.pid());
  const std::string before = group->value(weight_file(*group));
  const Effect effect = apply(weigh(10), child.pid());
  ASSERT_EQ(effect.state, State::active) << effect.problem;
  EXPECT_EQ(group->value(weight_file(*group)), group->place().version == 1 ? "102" : "10");
  undo(effect);
  EXPECT_EQ(group->value(weight_file(*group)), before);
}

TEST_F(Effects, AnIdleGroupGetsItsWeightBack) {
  ChildProcess child = ChildProcess::waiting();
  const auto group = RealCgroup::make("cpu");
  if (!group || !group->has(weight_file(*group))) GTEST_SKIP() << "no cpu controller here";
  if (!group->has("cpu.idle")) GTEST_SKIP() << "this kernel has no idle cgroups, Linux 5.15 has";
  group->add(child.pid());
  const std::string weight = group->place().version == 1 ? "2048" : "200";
  group->set(weight_file(*group), weight);
  const Effect effect = apply(weigh(idle_weight), child.pid());
  ASSERT_EQ(effect.state, State::active) << effect.problem;
  EXPECT_EQ(effect.earlier, weight);
  EXPECT_EQ(effect.written, "idle");
  EXPECT_EQ(group->value("cpu.idle"), "1");
  const Effect again = apply(weigh(10), child.pid());
  EXPECT_EQ(again.state, State::failed) << "it would take it out of being idle";
  undo(effect);
  EXPECT_EQ(group->value("cpu.idle"), "0");
  EXPECT_EQ(group->value(weight_file(*group)), weight);
}

TEST_F(Effects, AnUndoCutShortOfAnIdleGroupIsFinished) {
  ChildProcess child = ChildProcess::waiting();
  const auto group = RealCgroup::make("cpu");
  if (!group || !group->has("cpu.idle")) GTEST_SKIP() << "this kernel has no idle cgroups, Linux 5.15 has";
  group->add(child.pid());
  const std::string weight = group->place().version == 1 ? "2048" : "200";
  group->set(weight_file(*group), weight);
  const Effect effect = apply(weigh(idle_weight), child.pid());
  ASSERT_EQ(effect.state, State::active) << effect.problem;
  group->set("cpu.idle", "0");
  EXPECT_NE(group->value(weight_file(*group)), weight) << "the kernel has lost it";
  undo(effect);
  EXPECT_EQ(group->value(weight_file(*group)), weight);
}

struct Freezing : Effects, testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Hierarchies, Freezing, testing::Values("freezer", ""),
                         [](const auto& one) { return std::string(one.param) == "freezer" ? "freezer" : "version2"; });

TEST_P(Freezing, EndsByItsDeadline) {
  Counting child;
  const auto group = RealCgroup::make(GetParam());
  if (!group || !group->has(freeze_file(*group))) GTEST_SKIP() << "no such freezer here";
  group->add(child.pid());
  ASSERT_TRUE(child.runs());
  const Effect effect = apply(freeze(std::chrono::milliseconds(300)), child.pid());
  ASSERT_EQ(effect.state, State::active) << effect.problem;
  EXPECT_EQ(effect.where, group->file(freeze_file(*group)));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(child.runs());
  std::size_t ended = 0;
  while (kernel_now() < effect.lease_until + std::chrono::milliseconds(200)) {
    actuator->tick(kernel_now(), [&](const Effect& one) {
      EXPECT_EQ(one.ended_by, Effect::EndedBy::expiry);
      EXPECT_EQ(one.state, State::ended) << one.problem;
      ++ended;
    });
    if (kernel_now() < effect.lease_until) {
      EXPECT_EQ(ended, 0u);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(ended, 1u);
  EXPECT_TRUE(child.runs());
}

/// A frozen group above is not this lease's, and a thaw of it must not be undone by ours.
TEST_P(Freezing, OfAGroupBelowAFrozenOne) {
  Counting child;
  const auto group = RealCgroup::make(GetParam());
  if (!group || !group->has(freeze_file(*group))) GTEST_SKIP() << "no such freezer here";
  const auto below = group->file("below");
  std::filesystem::create_directory(below);
  std::ofstream(below / "cgroup.procs") << child.pid();
  const bool one = group->place().version == 1;
  group->set(freeze_file(*group), one ? "FROZEN" : "1");
  const Effect effect = apply(freeze(), child.pid());
  EXPECT_EQ(effect.state, State::active) << effect.problem;
  EXPECT_EQ(effect.earlier, one ? "THAWED" : "0");
  undo(effect);
  group->set(freeze_file(*group), one ? "THAWED" : "0");
  EXPECT_TRUE(child.runs());
  std::ofstream(group->file("cgroup.procs")) << child.pid();
  EXPECT_EQ(rmdir(below.c_str()), 0);
}

TEST_F(Effects, AProcessIsStoppedAndGoesOn) {
  Counting child;
  const Effect effect = apply(send(SIGSTOP), child.pid());
  ASSERT_EQ(effect.state, State::active) << effect.problem;
  ASSERT_TRUE(ChildProcess::eventually([&] { return state_of(child.pid()) == 'T'; }));
  undo(effect);
  EXPECT_TRUE(child.runs());
}

TEST_F(Effects, AProcessOutsideOfAnyGroupIsNotThrottled) {
  ChildProcess child = ChildProcess::waiting();
  const Effect effect = apply(throttle_to(0.2), child.pid());
  EXPECT_EQ(effect.state, State::failed);
  EXPECT_NE(effect.problem.find("root cgroup"), std::string::npos) << effect.problem;
}

TEST_F(Effects, ANeighbourInTheGroupKeepsItFromBeingActedOn) {
  ChildProcess child = ChildProcess::waiting();
  ChildProcess neighbour = ChildProcess::waiting();
  const auto group = RealCgroup::make("cpu");
  if (!group || !group->has(quota_file(*group))) GTEST_SKIP() << "no cpu controller here";
  group->add(child.pid());
  group->add(neighbour.pid());
  const std::string before = group->value(quota_file(*group));
  const Effect effect = apply(throttle_to(0.2), child.pid());
  EXPECT_EQ(effect.state, State::failed);
  EXPECT_NE(effect.problem.find("shares its cgroup"), std::string::npos) << effect.problem;
  const Effect named = actuator->apply(decide(throttle_to(0.2), {.cgroup = group->path()}), kernel_now());
  EXPECT_EQ(named.state, State::active) << "which a policy may name: " << named.problem;
  undo(named);
  group->add(getpid());
  const Effect ours = actuator->apply(decide(throttle_to(0.2), {.cgroup = group->path()}), kernel_now());
  EXPECT_EQ(ours.state, State::failed);
  EXPECT_NE(ours.problem.find("never touched"), std::string::npos) << ours.problem;
  EXPECT_EQ(group->value(quota_file(*group)), before);
}

TEST_F(Effects, TheAgentItsAncestorsItsGuardianAndTheKernelAreNotSignalled) {
  for (const pid_t pid : {1, 2, getpid(), getppid(), guardian_of(getpid())}) {
    ASSERT_GT(pid, 0);
    const Effect effect = actuator->apply(decide(send(SIGUSR1), target_of(pid)), kernel_now());
    EXPECT_EQ(effect.state, State::failed) << pid;
    EXPECT_NE(effect.problem.find("never touched"), std::string::npos) << effect.problem;
  }
}

TEST_F(Effects, CgroupsMountedReadOnly) {
  ChildProcess child = ChildProcess::waiting();
  const auto group = RealCgroup::make("cpu");
  if (!group || !group->has(quota_file(*group))) GTEST_SKIP() << "no cpu controller here";
  group->add(child.pid());
  const int result = in_own_mounts([&] {
    if (mount(nullptr, group->place().mount.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0)
      return 92;
    const auto own = open_actuator(folder.path() / "other");
    if (own->warnings().size() != 1 || own->warnings()[0].find("cannot be written") == std::string::npos) return 1;
    const Effect effect = own->apply(decide(throttle_to(0.2), target_of(child.pid())), kernel_now());
    if (effect.state != State::failed) return 2;
    return effect.problem.find("mounted read-only here") != std::string::npos ? 0 : 3;
  });
  EXPECT_EQ(result, 0);
}

TEST_F(Effects, WithAFullDiskNothingIsDoneButUndone) {
  ChildProcess child = ChildProcess::waiting();
  const auto group = RealCgroup::make("cpu");
  if (!group || !group->has(quota_file(*group))) GTEST_SKIP() << "no cpu controller here";
  group->add(child.pid());
  const std::string before = group->value(quota_file(*group));
  const std::string weight_before = group->value(weight_file(*group));
  const auto target = target_of(child.pid());
  const auto disk = folder.path() / "disk";
  std::filesystem::create_directory(disk);
  const int result = in_own_mounts([&] {
    if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k") != 0) return 92;
    const auto fill = [&] {
      std::ofstream file(disk / "filler", std::ios::app);
      const std::string block(4096, 'x');
      while (file.write(block.data(), 4096) && file.flush()) {
      }
    };
    auto own = open_actuator(disk / "state");
    if (own->apply(decide(weigh(50), target), kernel_now()).state != State::active) return 1;
    const auto refused = [&] {
      fill();
      for (int i = 0; i < 20; ++i) {  // what is left of the journal's last page is used up first
        const Effect effect = own->apply(decide(throttle_to(0.2), target), kernel_now());
        if (effect.problem.find("No space left") != std::string::npos) return effect.state == State::failed;
        own->undo(effect.id, Effect::EndedBy::worse, kernel_now());
      }
      return false;
    };
    if (!refused() || group->value(quota_file(*group)) != before) return 2;
    own.reset();  // undone by the guardian, without any disk
    if (group->value(weight_file(*group)) != weight_before) return 3;
    own = open_actuator(disk / "state");
    if (!refused() || group->value(quota_file(*group)) != before) return 4;
    std::filesystem::remove(disk / "filler");
    return own->apply(decide(throttle_to(0.2), target), kernel_now()).state == State::active ? 0 : 5;
  });
  EXPECT_EQ(result, 0);
  EXPECT_EQ(group->value(quota_file(*group)), before);
}

}  // namespace
}  // namespace inferscope::test
