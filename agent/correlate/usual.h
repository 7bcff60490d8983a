// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

namespace inferscope::correlate {

/// The median of the last values, once there are enough of them.
class Usual {
 public:
  static constexpr std::size_t kept = 32;
  static constexpr std::size_t enough = 8;

  void add(double value) { values_[count_++ % kept] = value; }
  [[nodiscard]] std::optional<double> value() const {
    if (count_ < enough) return std::nullopt;
    const std::size_t size = std::min(count_, kept);
    std::array<double, kept> sorted = values_;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(size / 2);
    std::nth_element(sorted.begin(), middle, sorted.begin() + static_cast<std::ptrdiff_t>(size));
    return *middle;
  }

 private:
  std::array<double, kept> values_{};
  std::size_t count_ = 0;
};

}  // namespace inferscope::correlate
