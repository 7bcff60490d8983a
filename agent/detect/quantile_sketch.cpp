// SPDX-License-Identifier: Apache-2.0
#include "detect/quantile_sketch.h"

#include <algorithm>
#include <cmath>

namespace inferscope::detect {
namespace {

/// The paper's gamma: values of one bin differ from its middle by at most the relative error.
const double log_gamma = std::log((1 + QuantileSketch::relative_error) / (1 - QuantileSketch::relative_error));

}  // namespace

void QuantileSketch::add(double value) {
  const double place = value > smallest ? std::ceil(std::log(value / smallest) / log_gamma) : 0;
  ++counts_[static_cast<std::size_t>(std::clamp(place, 0.0, static_cast<double>(bins - 1)))];
  if (++count_ < most_) return;
  count_ = 0;
  for (std::uint16_t& one : counts_) count_ += one /= 2;
}

double QuantileSketch::quantile(double share) const {
  if (count_ == 0) return 0;
  const auto rank = static_cast<std::uint32_t>(std::clamp(share, 0.0, 1.0) * (count_ - 1));
  std::uint32_t below = 0;
  std::size_t bin = 0;
  for (; bin + 1 < bins; ++bin) {
    below += counts_[bin];
    if (below > rank) break;
  }
  return smallest * std::exp((static_cast<double>(bin) - 0.5) * log_gamma);
}

}  // namespace inferscope::detect
