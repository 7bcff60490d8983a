// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "source/live/live_source.h"

namespace inferscope::test {

/// An event whose content is its own.
struct Seen {
  Event event{};
  std::string head{};
  std::string tail{};

  template <class T>
  [[nodiscard]] const T* as() const {
    return std::get_if<T>(&event.body);
  }
};

/// Runs code in a child process that the live source watches, and keeps every event.
class TracedProcess {
 public:
  explicit TracedProcess(const source::LiveOptions& options = {.overhead_budget = 1}) {
    auto opened = source::LiveSource::open(options);
    if (!opened) throw std::runtime_error(opened.error().text());
    source_ = std::move(opened).value();
    source_->on_notice([this](const ProcessNotice& notice) { notices_.push_back(notice); });
  }

  enum class Treatment { watched, sampled, ignored, unknown };

  /// Returns when the child has ended and its events are in. The child ends with exit code 0 if `scenario` returns.
  void run(const std::function<void()>& scenario, Treatment treatment = Treatment::watched) {
    int go[2];
    ASSERT_EQ(pipe(go), 0);
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      char byte = 0;
      close(go[1]);
      if (read(go[0], &byte, 1) != 1) _exit(99);
      close(go[0]);
      scenario();
      _exit(0);
    }
    close(go[0]);
    if (treatment == Treatment::watched) {
      ASSERT_TRUE(source_->watch({.pid = child_, .reason = "test"}));
    } else if (treatment == Treatment::sampled) {
      ASSERT_TRUE(source_->sample(child_));
    } else if (treatment == Treatment::ignored) {
      ASSERT_TRUE(source_->ignore(child_));
    }
    ASSERT_EQ(write(go[1], "x", 1), 1);
    close(go[1]);
    while (waitpid(child_, &status_, WNOHANG) == 0) {
      poll();
      if (each_turn_) each_turn_();
    }
    for (int i = 0; i < 5; ++i) poll();
  }

  void poll() {
    const auto status = source_->poll(std::chrono::milliseconds(2), [this](const Event& event) { keep(event); });
    ASSERT_TRUE(status) << status.error().text();
  }

  /// Called between two polls while the child runs.
  void each_turn(std::function<void()> action) { each_turn_ = std::move(action); }
  /// Before another run() with the same source, which takes seconds to open.
  void forget() {
    events_.clear();
    notices_.clear();
    each_turn_ = {};
  }

  [[nodiscard]] Pid child() const { return child_; }
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] source::LiveSource& source() { return *source_; }
  [[nodiscard]] const std::deque<Seen>& events() const { return events_; }
  [[nodiscard]] const std::vector<ProcessNotice>& notices() const { return notices_; }

  template <class T>
  [[nodiscard]] std::vector<const T*> all() const {
    std::vector<const T*> found;
    for (const Seen& seen : events_)
      if (const T* body = seen.as<T>()) found.push_back(body);
    return found;
  }

  [[nodiscard]] std::vector<const Transfer*> transfers(Direction direction) const {
    std::vector<const Transfer*> found;
    for (const Transfer* transfer : all<Transfer>())
      if (transfer->direction == direction) found.push_back(transfer);
    return found;
  }

  /// Captured content of one direction, of all connections, in order.
  [[nodiscard]] std::string content(Direction direction) const {
    std::string text;
    for (const Transfer* transfer : transfers(direction)) (text += transfer->head) += transfer->tail;
    return text;
  }

 private:
  void keep(const Event& event) {
    Seen& seen = events_.emplace_back(Seen{event, {}, {}});
    if (auto* transfer = std::get_if<Transfer>(&seen.event.body)) {
      transfer->head = seen.head = transfer->head;
      transfer->tail = seen.tail = transfer->tail;
    } else if (auto* run = std::get_if<ThreadRun>(&seen.event.body); run && run->longest_delay) {
      run->longest_delay->culprit_name = seen.head = run->longest_delay->culprit_name;
    }
    if (auto* call = std::get_if<GpuCall>(&seen.event.body)) {
      call->function = seen.head = call->function;
      call->kernel = seen.tail = call->kernel;
    }
    if (auto* failure = std::get_if<GpuFailure>(&seen.event.body)) failure->function = seen.head = failure->function;
  }

  std::unique_ptr<source::LiveSource> source_{};
  std::deque<Seen> events_{};  // never moves an element: they point into their strings
  std::vector<ProcessNotice> notices_{};
  std::function<void()> each_turn_{};
  Pid child_ = -1;
  int status_ = 0;
};

}  // namespace inferscope::test
