// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>

#include "source/live/live_source.h"
#include "tests/support/sockets.h"

namespace inferscope::bench {

/// A child that waits until it may begin, and tells what it measured; with probes in its libraries or without.
class WatchedChild {
 public:
  /// `body`: what the child does. It reads a byte from the first descriptor before it begins, and writes its result to
  /// the second.
  explicit WatchedChild(const std::function<void(int go, int result)>& body) {
    REQUIRE_OR_EXIT(pipe(go_.data()) == 0 && pipe(result_.data()) == 0);
    pid_ = fork();
    if (pid_ != 0) return;
    body(go_[0], result_[1]);
    _exit(101);
  }
  WatchedChild(const WatchedChild&) = delete;
  WatchedChild& operator=(const WatchedChild&) = delete;
  ~WatchedChild() {
    for (const int fd : {go_[0], go_[1], result_[0], result_[1]}) close(fd);
  }

  [[nodiscard]] bool may_go() const { return may_go_; }
  void let_go() { may_go_ = may_go_ || write(go_[1], "x", 1) == 1; }

  /// Until it ends. `watch` finds libraries in it, of each of which `found` is told.
  template <class Library, class Watch, class Found>
  void run_watched(source::LiveSource& source, Watch watch, Found found) {
    REQUIRE_OR_EXIT(source.watch(ProcessStarted{.pid = pid_, .reason = "bench"}).ok());
    watch.follow(pid_, source.now());
    run(source, [&] { watch.tick(source.now(), [&](Library library) { found(library); }); });
  }
  /// The same without probes in its libraries.
  void run_alone(source::LiveSource& source) {
    let_go();
    run(source, [] {});
  }
  /// What it wrote, as the bytes of a T: all of them, if it is not told that fewer will do.
  template <class T>
  T result(std::size_t least = sizeof(T)) {
    T value{};
    const ssize_t count = read(result_[0], &value, sizeof(value));
    REQUIRE_OR_EXIT(count > 0 && static_cast<std::size_t>(count) >= least);
    return value;
  }

 private:
  void run(source::LiveSource& source, const std::function<void()>& each_turn) {
    int status = 0;
    while (waitpid(pid_, &status, WNOHANG) == 0) {
      REQUIRE_OR_EXIT(source.poll(std::chrono::milliseconds(2), [](const Event&) {}).ok());
      each_turn();
    }
    REQUIRE_OR_EXIT(status == 0);
  }

  std::array<int, 2> go_{};
  std::array<int, 2> result_{};
  pid_t pid_ = 0;
  bool may_go_ = false;
};

}  // namespace inferscope::bench
