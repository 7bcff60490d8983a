// SPDX-License-Identifier: Apache-2.0
// Between a decision and its action the target ends, its number becomes another's, or it moves: nobody else is hit.
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include <random>

#include "tests/act/agent.h"
#include "tests/support/real_cgroup.h"
#include "tests/support/temp_folder.h"

namespace inferscope::test {
namespace {

using act::Actuator;
using State = Effect::State;

/// A new process with the number of one that has ended.
pid_t start_as(pid_t pid) {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  arguments.set_tid = reinterpret_cast<std::uint64_t>(&pid);
  arguments.set_tid_size = 1;
  const auto child = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof(arguments)));
  if (child == 0)
    for (;;) pause();
  return child;
}

/// One that is not ended by this object's own bookkeeping, since its number is used again.
struct Process {
  pid_t pid = 0;

  void end() {
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    waitpid(std::exchange(pid, 0), nullptr, 0);
  }
  ~Process() { end(); }
};

/// Start times are told in clock ticks: what follows within one has the same. A finding takes longer.
void next_tick() {
  std::this_thread::sleep_for(std::chrono::milliseconds(12));
}

enum class Twist { none, ends, is_reused, is_reused_meanwhile, moves, moves_meanwhile, gets_company };

bool is_meanwhile(Twist twist) {
  return twist == Twist::is_reused_meanwhile || twist == Twist::moves_meanwhile;
}

struct WrongTarget : testing::Test {
  TempFolder folder{};
  std::unique_ptr<Actuator> actuator = open_actuator(folder.path() / "state");
  std::vector<RealCgroup> groups{};        ///< one for each hierarchy: version 2 has but one
  std::vector<RealCgroup> other_groups{};  ///< beside them

  void SetUp() override {
    for (const char* controller : {"cpu", "freezer"}) {
      if (!groups.empty() && groups[0].place().version == 2) break;
      for (auto* of : {&groups, &other_groups}) {
        auto group = RealCgroup::make(controller);
        if (!group) GTEST_SKIP() << "no " << controller << " controller here";
        of->push_back(std::move(*group));
      }
    }
    if (!groups[0].has(quota_file(groups[0]))) GTEST_SKIP() << "no cpu controller here";
  }
  static void join(pid_t pid, const std::vector<RealCgroup>& groups) {
    for (const RealCgroup& group : groups) group.add(pid);
  }
  [[nodiscard]] std::string values() const {
    std::string all;
    for (const auto* of : {&groups, &other_groups})
      for (const RealCgroup& group : *of)
        for (const auto& name : {quota_file(group), weight_file(group), std::string("cpu.idle"), freeze_file(group)})
          if (group.has(name)) all += group.value(name) + " ";
    return all;
  }
  void trial(Twist twist, const Action& action, std::mt19937& random);
};

void WrongTarget::trial(Twist twist, const Action& action, std::mt19937& random) {
  SCOPED_TRACE(
      fmt::format("twist {} action {} signal {}", static_cast<int>(twist), name_of(action.kind), action.signal));
  const std::string before = values();
  Process process{fork()};
  if (process.pid == 0)
    for (;;) pause();
  const pid_t pid = process.pid;
  join(pid, groups);
  const Decision decision = decide(action, target_of(pid));
  ASSERT_EQ(decision.target.cgroup, groups[0].path());
  next_tick();

  Process other;
  const auto reuse = [&] {
    process.end();
    other.pid = start_as(pid);
    if (other.pid > 0) join(other.pid, groups);
  };
  std::thread meanwhile;
  switch (twist) {
    case Twist::none:
      break;
    case Twist::ends:
      process.end();
      break;
    case Twist::is_reused:
      reuse();
      ASSERT_EQ(other.pid, pid);
      break;
    case Twist::is_reused_meanwhile:
      meanwhile = std::thread([&, wait = random() % 3000] {
        std::this_thread::sleep_for(std::chrono::microseconds(wait));
        reuse();
      });
      break;
    case Twist::moves:
      join(pid, other_groups);
      break;
    case Twist::moves_meanwhile:
      meanwhile = std::thread([&, wait = random() % 3000] {
        std::this_thread::sleep_for(std::chrono::microseconds(wait));
        join(pid, other_groups);
      });
      break;
    case Twist::gets_company:
      other.pid = fork();
      if (other.pid == 0)
        for (;;) pause();
      join(other.pid, groups);
      break;
  }
  const Effect effect = actuator->apply(decision, kernel_now());
  const bool on_process = action.kind == Action::Kind::signal;
  const auto undo_all = [&] {
    actuator->undo_all(Effect::EndedBy::recovery, kernel_now(),
                       [](const Effect& ended) { EXPECT_EQ(ended.state, State::ended) << ended.problem; });
  };
  if (!on_process && meanwhile.joinable()) undo_all();  // a frozen process does not end
  if (meanwhile.joinable()) meanwhile.join();

  if (twist == Twist::none || (twist == Twist::gets_company && on_process)) {
    EXPECT_NE(effect.state, State::failed) << effect.problem;
  } else if (!is_meanwhile(twist) || effect.state == State::failed) {
    EXPECT_EQ(effect.state, State::failed);
    EXPECT_NE(effect.problem, "");
    EXPECT_EQ(values(), before);
    if (twist == Twist::moves) {
      EXPECT_EQ(state_of(pid), 'S') << "nor is it hit where it went";
    }
  }
  if (other.pid > 0 && on_process) {
    // In a signal's time.
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_NE(state_of(other.pid), 'T');
    EXPECT_NE(state_of(other.pid), 'Z');
    EXPECT_NE(state_of(other.pid), '-');
  }
  undo_all();
  EXPECT_EQ(values(), before);
}

/// INFERSCOPE_WRONG_TARGET_TRIALS=1000 for more of them.
TEST_F(WrongTarget, IsNeverHit) {
  const std::vector<Action> actions{throttle_to(0.2), weigh(idle_weight), freeze(),      send(SIGSTOP),
                                    send(SIGKILL),    send(SIGTERM),      send(SIGUSR1), send(SIGHUP)};
  const std::vector<Twist> twists{Twist::none,        Twist::ends,
                                  Twist::is_reused,   Twist::is_reused_meanwhile,
                                  Twist::moves,       Twist::moves_meanwhile,
                                  Twist::gets_company};
  std::mt19937 random(4711);
  const int trials = number_from_environment("INFERSCOPE_WRONG_TARGET_TRIALS", 250);
  for (int i = 0; i < trials && !HasFatalFailure(); ++i)
    trial(twists[random() % twists.size()], actions[random() % actions.size()], random);
  fmt::print("{} trials\n", trials);
}

}  // namespace
}  // namespace inferscope::test
