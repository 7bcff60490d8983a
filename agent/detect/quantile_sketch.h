// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace inferscope::detect {

/// Quantiles of positive values with a bounded relative error, in bounded memory: counts in bins whose limits grow by a
/// constant factor (Masson, Rim, Lee: DDSketch, VLDB 2019). When it has seen `most` values all counts are halved, so
/// old ones fade. Values outside 10 microseconds to about 3 hours (in seconds) count in the outermost bins.
class QuantileSketch {
 public:
  static constexpr double relative_error = 0.02;

  explicit QuantileSketch(std::uint32_t most = 4096) : most_(most) {}

  void add(double value);
  /// `share` from 0 to 1; 0 if there is no value yet.
  [[nodiscard]] double quantile(double share) const;
  /// Values that count, after fading.
  [[nodiscard]] std::uint32_t count() const { return count_; }

 private:
  static constexpr double smallest = 1e-5;
  static constexpr std::size_t bins = 520;

  std::array<std::uint16_t, bins> counts_{};
  std::uint32_t count_ = 0;
  std::uint32_t most_;
};

}  // namespace inferscope::detect
