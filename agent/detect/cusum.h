// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

namespace inferscope::detect {

/// Two-sided cumulative sum of standardised residuals (Page, Biometrika 1954): S+ = max(0, S+ + z - k), S- likewise for
/// -z. Small shifts add up, single outliers are bounded and drain away.
class Cusum {
 public:
  struct Options {
    double allowance = 0.75;  ///< k: half of the shift, in standard deviations, that shall be found
    double threshold = 6;     ///< h
    double most = 6;          ///< a residual counts for at most this
  };

  Cusum() = default;
  explicit Cusum(Options options) : options_(options) {}

  void add(double z) {
    z = std::clamp(z, -options_.most, options_.most);
    // Bounded above as well, so that the end of a long shift shows as soon as its beginning did.
    const double ceiling = 2 * options_.threshold;
    up_ = std::clamp(up_ + z - options_.allowance, 0.0, ceiling);
    down_ = std::clamp(down_ - z - options_.allowance, 0.0, ceiling);
  }
  void reset() { up_ = down_ = 0; }

  [[nodiscard]] bool shifted_up() const { return up_ > options_.threshold; }
  [[nodiscard]] bool shifted_down() const { return down_ > options_.threshold; }
  [[nodiscard]] double up() const { return up_; }

 private:
  Options options_{};
  double up_ = 0;
  double down_ = 0;
};

}  // namespace inferscope::detect
