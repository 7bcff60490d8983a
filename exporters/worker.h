// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/bounded_queue.h"
#include "core/stage_stats.h"
#include "core/time.h"

namespace inferscope::exporters {

/// What every sink is made of: a bounded queue, a thread that takes batches out of it, and the account of what became
/// of each item.
template <class T>
class Worker {
 public:
  struct Options {
    std::size_t queue = 4096;  ///< more are dropped and counted
    std::size_t batch = 256;
    Duration batch_delay{};  ///< a young batch is given so long to grow
  };
  /// Runs on the worker's thread; accounts for each item by delivered() or drop().
  using Deliver = std::function<void(const std::vector<T>&)>;

  Worker(Options options, Deliver deliver)
      : options_(options), deliver_(std::move(deliver)), queue_(options.queue), thread_([this] { work(); }) {}
  ~Worker() { close(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Never blocks.
  void put(T item) {
    {
      const std::lock_guard lock(mutex_);
      ++stats_.in;
    }
    if (!queue_.push(std::move(item))) drop("queue full", 1);
  }
  void delivered(std::size_t count) {
    const std::lock_guard lock(mutex_);
    stats_.out += count;
  }
  void drop(std::string_view reason, std::size_t count) {
    const std::lock_guard lock(mutex_);
    stats_.drop(reason, count);
  }
  /// Takes no more, and waits until what is queued has been dealt with.
  void close() {
    queue_.close();
    if (thread_.joinable()) thread_.join();
  }
  /// held: queued or on the way. Any thread.
  [[nodiscard]] StageStats stats() const {
    const std::lock_guard lock(mutex_);
    StageStats stats = stats_;
    stats.held = stats.in - stats.out - stats.dropped_total();
    return stats;
  }

 private:
  static constexpr Duration idle_wait = std::chrono::milliseconds(500);
  using Clock = std::chrono::steady_clock;

  void work() {
    for (;;) {
      std::vector<T> batch = queue_.pop(options_.batch, idle_wait);
      if (batch.empty()) {
        if (queue_.closed()) return;
        continue;
      }
      fill(batch);
      deliver_(batch);
    }
  }

  void fill(std::vector<T>& batch) {
    const auto until = Clock::now() + options_.batch_delay;
    while (batch.size() < options_.batch && !queue_.closed()) {
      const auto left = until - Clock::now();
      if (left <= Duration::zero()) return;
      auto more = queue_.pop(options_.batch - batch.size(), std::chrono::duration_cast<Duration>(left));
      std::move(more.begin(), more.end(), std::back_inserter(batch));
    }
  }

  Options options_;
  Deliver deliver_;
  BoundedQueue<T> queue_;
  mutable std::mutex mutex_{};
  StageStats stats_{};  ///< under mutex_
  std::thread thread_;  ///< last, so that it finds the others there
};

}  // namespace inferscope::exporters
