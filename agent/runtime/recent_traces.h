// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "model/request_trace.h"

namespace inferscope::runtime {

/// The last finished traces, bounded by memory. Any thread.
class RecentTraces {
 public:
  struct Entry {
    std::uint64_t number = 0;  ///< from 1, in the order of their end
    std::shared_ptr<const RequestTrace> trace{};
  };

  explicit RecentTraces(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  void add(const RequestTrace& trace);
  /// Those with a number above `after`, oldest first.
  [[nodiscard]] std::vector<Entry> after(std::uint64_t number) const;
  /// The last `count`, oldest first.
  [[nodiscard]] std::vector<Entry> last(std::size_t count) const;
  /// Those whose trace id or span id begins with these hexadecimal digits.
  [[nodiscard]] std::vector<Entry> find(std::string_view id_prefix) const;
  [[nodiscard]] std::uint64_t total() const;

 private:
  mutable std::mutex mutex_{};
  std::deque<Entry> entries_{};
  std::size_t bytes_ = 0;
  std::size_t limit_bytes_;
  std::uint64_t total_ = 0;
};

}  // namespace inferscope::runtime
