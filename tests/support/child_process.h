// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <thread>
#include <utility>

namespace inferscope::test {

/// A process of the test's own; gone with the object, whatever state it is in.
class ChildProcess {
 public:
  /// Runs `code` and ends.
  explicit ChildProcess(const std::function<void()>& code) : pid_(fork()) {
    if (pid_ < 0) throw std::runtime_error("no child process");
    if (pid_ != 0) return;
    code();
    _exit(0);
  }
  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess() { end(); }

  static ChildProcess waiting() {
    return ChildProcess([] {
      for (;;) pause();
    });
  }
  static ChildProcess spinning() {
    return ChildProcess([] {
      for (;;) {
      }
    });
  }

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// SIGKILL; returns when it is gone altogether.
  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    wait();
  }
  int wait() {
    int status = 0;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }
  /// What waitpid() tells within a second of a change of its state: stopped, continued, ended; 0: nothing.
  int change() {
    int status = 0;
    const bool seen = eventually([&] { return waitpid(pid_, &status, WNOHANG | WUNTRACED | WCONTINUED) == pid_; });
    if (seen && (WIFEXITED(status) || WIFSIGNALED(status))) pid_ = 0;
    return seen ? status : 0;
  }

  static bool eventually(const std::function<bool()>& condition,
                         std::chrono::milliseconds limit = std::chrono::seconds(1)) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

 private:
  pid_t pid_;
};

}  // namespace inferscope::test
