// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <time.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "act/actuator.h"
#include "core/proc_stat.h"
#include "model/proc_target.h"
#include "tests/support/child_process.h"
#include "tests/support/shared.h"

namespace inferscope::test {

/// How often a test of random moments tries, which a longer run may want to set.
inline int number_from_environment(const char* name, int usual) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : usual;
}

inline Time kernel_now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Time{std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec)};
}

inline const std::vector<std::string> with_guardian{"/proc/self/exe", "guard"};

inline std::unique_ptr<act::Actuator> open_actuator(const std::filesystem::path& state,
                                                    const std::vector<std::string>& guardian = with_guardian) {
  auto opened = act::Actuator::open({.state_folder = state, .guardian = guardian}, kernel_now());
  if (!opened) throw std::runtime_error(opened.error().text());
  return std::move(opened).value();
}

inline Decision decide(const Action& action, const ProcessTarget& target) {
  return {.id = "00000000000000d1",
          .time = kernel_now(),
          .finding = "00000000000000f1",
          .policy = "test",
          .action = action,
          .target = target,
          .verdict = Decision::Verdict::act};
}
inline ProcessTarget target_of(pid_t pid) {
  return process_target(pid, proc::CgroupMounts::read()).value_or(ProcessTarget{});
}

inline Action throttle_to(double processors, Duration lease = std::chrono::seconds(60)) {
  return {.kind = Action::Kind::throttle, .quota = processors, .lease = lease};
}
inline Action weigh(std::uint32_t weight) {
  return {.kind = Action::Kind::weight, .weight = weight, .lease = std::chrono::seconds(60)};
}
inline Action freeze(Duration lease = std::chrono::seconds(60)) {
  return {.kind = Action::Kind::freeze, .lease = lease};
}
inline Action send(int signal, Duration lease = std::chrono::seconds(60)) {
  return {.kind = Action::Kind::signal, .signal = signal, .lease = lease};
}

inline char state_of(pid_t pid) {
  const auto stat = proc::read_stat("/proc/" + std::to_string(pid));
  return stat ? stat->state : '-';
}
/// Share of one processor that it uses over this time.
inline double use_of(pid_t pid, std::chrono::milliseconds time) {
  const auto used = [&] { return proc::read_stat("/proc/" + std::to_string(pid)).value_or(proc::Stat{}).cpu_ns; };
  const auto begin = used();
  std::this_thread::sleep_for(time);
  return static_cast<double>(used() - begin) / 1e6 / static_cast<double>(time.count());
}

/// A process that shows whether it runs.
class Counting {
 public:
  Counting() = default;
  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  [[nodiscard]] bool runs(std::chrono::milliseconds within = std::chrono::milliseconds(100)) const {
    const auto before = count_->load();
    return ChildProcess::eventually([&] { return count_->load() != before; }, within);
  }

 private:
  Shared<std::atomic<std::uint64_t>> count_{};
  ChildProcess process_{[this] {
    for (;; usleep(1000)) ++*count_;
  }};
};

/// Another agent, which the test may kill.
inline ChildProcess agent(const std::filesystem::path& state, const std::vector<std::string>& guardian,
                          const std::function<void(act::Actuator&)>& code) {
  return ChildProcess([&] {
    const auto actuator = open_actuator(state, guardian);
    code(*actuator);
    for (;;) pause();
  });
}

/// The guardian that a process has started; 0: it has none.
inline pid_t guardian_of(pid_t parent) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto stat = proc::read_stat(entry.path());
    if (stat && stat->parent == parent && stat->name == "inferscope-grd" && stat->state != 'Z') return stat->pid;
  }
  return 0;
}

}  // namespace inferscope::test
