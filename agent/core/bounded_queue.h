// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "core/time.h"

namespace inferscope {

/// Between a thread that must not wait and one that may. Full: push() refuses, and the caller counts it.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t limit) : limit_(limit) {}

  [[nodiscard]] bool push(T value) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || values_.size() >= limit_) return false;
      values_.push_back(std::move(value));
    }
    filled_.notify_one();
    return true;
  }

  /// Waits for a first value at most `wait`, then takes up to `most`. Empty: the time is over, or the queue is closed.
  std::vector<T> pop(std::size_t most, Duration wait) {
    std::unique_lock lock(mutex_);
    filled_.wait_for(lock, wait, [this] { return closed_ || !values_.empty(); });
    std::vector<T> taken;
    while (!values_.empty() && taken.size() < most) {
      taken.push_back(std::move(values_.front()));
      values_.pop_front();
    }
    return taken;
  }

  /// No more values; what is there can still be taken.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    filled_.notify_all();
  }

  [[nodiscard]] bool closed() const {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  mutable std::mutex mutex_{};
  std::condition_variable filled_{};
  std::deque<T> values_{};
  std::size_t limit_;
  bool closed_ = false;
};

}  // namespace inferscope
