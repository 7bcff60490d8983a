// SPDX-License-Identifier: Apache-2.0
// The agent is killed at any moment: its next start, or without one its guardian, leaves everything as it was.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "act/journal.h"
#include "tests/act/agent.h"
#include "tests/support/real_cgroup.h"
#include "tests/support/temp_folder.h"

namespace inferscope::test {
namespace {

using act::Actuator;
using State = Effect::State;

/// A process with cgroups of its own in all hierarchies that there are here, and their values before anybody acted.
class Victim {
 public:
  Victim() {
    for (const char* controller : {"cpu", "freezer", ""}) {
      auto group = RealCgroup::make(controller);
      if (!group) continue;
      group->add(process_.pid());
      for (const char* name :
           {"cpu.cfs_quota_us", "cpu.shares", "cpu.max", "cpu.weight", "cpu.idle", "freezer.state", "cgroup.freeze"})
        if (group->has(name)) before_[group->file(name)] = group->value(name);
      groups_.push_back(std::move(*group));
    }
  }

  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  /// What is not as it was; empty: nothing.
  [[nodiscard]] std::string changes() const {
    std::string changes;
    for (const auto& [file, value] : before_) {
      std::string now = read_file(file);
      if (now.ends_with('\n')) now.pop_back();
      if (now != value) changes += fmt::format("{} holds {} instead of {}; ", file, now, value);
    }
    if (state_of(pid()) == 'T') changes += "the process is stopped";
    return changes;
  }
  [[nodiscard]] bool comes_back(std::chrono::milliseconds within) const {
    return ChildProcess::eventually([this] { return changes().empty(); }, within) && process_.runs();
  }

 private:
  Counting process_{};
  std::vector<RealCgroup> groups_{};
  std::map<std::string, std::string> before_{};
};

const std::vector<Action>& all_actions() {
  static const std::vector<Action> all{throttle_to(0.5), weigh(10),        freeze(),
                                       send(SIGSTOP),    throttle_to(0.2), weigh(idle_weight)};
  return all;
}

void apply_all(Actuator& actuator, const ProcessTarget& target) {
  for (const Action& action : all_actions())
    if (actuator.apply(decide(action, target), kernel_now()).state != State::active) _exit(1);
}

struct Crash : testing::Test {
  TempFolder folder{};
  std::filesystem::path state = folder.path() / "state";
  Victim victim{};
  ProcessTarget target = target_of(victim.pid());
  Shared<std::atomic<int>> done{};

  /// Makes all leases there are, and says so.
  ChildProcess acting_agent(const std::vector<std::string>& guardian) {
    *done = 0;
    ChildProcess process = agent(state, guardian, [this](Actuator& actuator) {
      apply_all(actuator, target);
      *done = 1;
    });
    EXPECT_TRUE(ChildProcess::eventually([this] { return *done == 1; }, std::chrono::seconds(10)));
    EXPECT_NE(victim.changes(), "");
    return process;
  }
  [[nodiscard]] bool nobody_holds_the_lock() const { return act::Journal::open(state, Duration::zero()).ok(); }
};

/// INFERSCOPE_KILL_TRIALS=300 for more of them.
TEST_F(Crash, AtAnyMomentTheNextStartUndoesWhatWasDone) {
  const int trials = number_from_environment("INFERSCOPE_KILL_TRIALS", 30);
  std::mt19937 random(20261125);
  int in_time = 0;
  for (int trial = 0; trial < trials; ++trial) {
    // With a guardian and without: the journal alone must do, and the two must not be in each other's way.
    const auto guardian = trial % 2 == 0 ? std::vector<std::string>{} : with_guardian;
    const auto seed = random();
    *done = 0;
    ChildProcess process = agent(state, guardian, [&](Actuator& actuator) {
      std::mt19937 choice(seed);
      *done = 1;
      for (;;) {
        const Action& action = all_actions()[choice() % all_actions().size()];
        actuator.apply(decide(action, target), kernel_now());
        const auto active = actuator.active();
        if (active.size() > 3) {
          const std::string id = active[choice() % active.size()].id;
          actuator.undo(id, Effect::EndedBy::recovery, kernel_now());
        }
      }
    });
    if (trial % 5 != 0) {  // else also while it starts
      ASSERT_TRUE(ChildProcess::eventually([this] { return *done == 1; }, std::chrono::seconds(10)));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 120'000));
    process.end();
    if (!victim.changes().empty()) ++in_time;
    const auto next = open_actuator(state);
    ASSERT_EQ(victim.changes(), "") << "trial " << trial;
    EXPECT_TRUE(next->active().empty());
    for (const Effect& effect : next->left_behind()) EXPECT_EQ(effect.state, State::ended) << effect.problem;
    EXPECT_TRUE(next->warnings().empty()) << next->warnings()[0];
  }
  EXPECT_TRUE(victim.comes_back(std::chrono::seconds(1)));
  fmt::print("{} trials, in {} of them something was to be undone when the next start looked\n", trials, in_time);
  EXPECT_GT(in_time, 0);
}

TEST_F(Crash, WithoutANextStartTheGuardianUndoesIt) {
  ChildProcess process = acting_agent(with_guardian);
  ASSERT_GT(guardian_of(process.pid()), 0);
  process.end();
  EXPECT_TRUE(victim.comes_back(std::chrono::seconds(2))) << victim.changes();
  EXPECT_TRUE(ChildProcess::eventually([this] { return nobody_holds_the_lock(); })) << "and is gone itself";
  const auto next = open_actuator(state);
  EXPECT_EQ(next->left_behind().size(), all_actions().size()) << "the audit trail has it all the same";
}

TEST_F(Crash, AKillOfTheWholeProcessGroupSparesTheGuardian) {
  *done = 0;
  ChildProcess process([&] {
    setpgid(0, 0);
    const auto actuator = open_actuator(state);
    apply_all(*actuator, target);
    *done = 1;
    for (;;) pause();
  });
  ASSERT_TRUE(ChildProcess::eventually([this] { return *done == 1; }, std::chrono::seconds(10)));
  const pid_t guardian = guardian_of(process.pid());
  ASSERT_GT(guardian, 0);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) kill(guardian, signal);  // as a service manager does
  kill(-process.pid(), SIGKILL);
  process.wait();
  EXPECT_TRUE(victim.comes_back(std::chrono::seconds(2))) << victim.changes();
}

TEST_F(Crash, AnAgentThatHangsLosesItsLeases) {
  *done = 0;
  ChildProcess process = agent(state, with_guardian, [this](Actuator& actuator) {
    for (Action action : all_actions()) {
      action.lease = std::chrono::milliseconds(500);
      if (actuator.apply(decide(action, target), kernel_now()).state != State::active) _exit(1);
    }
    *done = 1;
  });
  ASSERT_TRUE(ChildProcess::eventually([this] { return *done == 1; }, std::chrono::seconds(10)));
  kill(process.pid(), SIGSTOP);
  EXPECT_TRUE(victim.comes_back(std::chrono::seconds(5))) << victim.changes();
  kill(process.pid(), SIGCONT);
}

TEST_F(Crash, AGuardianThatDiesIsStartedAgainAndKnowsAll) {
  auto actuator = open_actuator(state);
  apply_all(*actuator, target);
  const pid_t first = guardian_of(getpid());
  ASSERT_GT(first, 0);
  kill(first, SIGKILL);
  ASSERT_TRUE(ChildProcess::eventually([&] { return guardian_of(getpid()) == 0; }));
  EXPECT_NE(victim.changes(), "");
  actuator->tick(kernel_now(), [](const Effect&) {});
  const pid_t second = guardian_of(getpid());
  ASSERT_GT(second, 0);
  EXPECT_NE(second, first);
  actuator.reset();
  EXPECT_EQ(victim.changes(), "") << "an agent that ends without undoing leaves it to the guardian, and waits for it";
  EXPECT_EQ(guardian_of(getpid()), 0);
}

TEST_F(Crash, AGuardianDiesBetweenTwoActions) {
  auto actuator = open_actuator(state);
  kill(guardian_of(getpid()), SIGKILL);
  apply_all(*actuator, target);
  EXPECT_GT(guardian_of(getpid()), 0);
  actuator.reset();
  EXPECT_EQ(victim.changes(), "");
}

TEST_F(Crash, TheGuardianHoldsNothingOfTheAgents) {
  const Fd leaked(open("/dev/null", O_RDONLY));  // without close-on-exec, as a library may do
  const auto actuator = open_actuator(state);
  const pid_t guardian = guardian_of(getpid());
  ASSERT_GT(guardian, 0);
  EXPECT_EQ(getsid(guardian), guardian);
  std::vector<std::string> fds;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", guardian)))
    fds.push_back(entry.path().filename());
  std::sort(fds.begin(), fds.end());
  EXPECT_EQ(fds, (std::vector<std::string>{"0", "1", "2", "3"}));
  EXPECT_EQ(std::filesystem::read_symlink(fmt::format("/proc/{}/fd/3", guardian)), state / "lock");
  EXPECT_EQ(std::filesystem::read_symlink(fmt::format("/proc/{}/cwd", guardian)), "/");
}

}  // namespace
}  // namespace inferscope::test
