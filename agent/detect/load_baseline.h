// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "detect/quantile_sketch.h"

namespace inferscope::detect {

/// How much work a measurement was taken under. Latency grows with both, so what is usual is learned for each.
struct Load {
  std::size_t concurrency = 1;  ///< requests that the server worked on
  std::uint64_t prompt_bytes = 0;
};

/// What a time usually is under a load: a robust middle and spread on the logarithmic scale, learned in buckets of
/// concurrency and prompt size (by powers of 4). A bucket with too few values says nothing: it is learning, not fine.
class LoadBaseline {
 public:
  static constexpr std::uint32_t learned_after = 20;
  static constexpr double smallest_spread = 0.08;  ///< of the logarithm: about 8 %

  struct Usual {
    double seconds = 0;  ///< median
    double spread = 0;   ///< standard deviation of the logarithm, from the quartiles

    /// Standard deviations above usual.
    [[nodiscard]] double residual(double value) const;
  };

  enum class PromptSize : std::uint8_t {
    decides,  ///< as of a time to first token: nothing can be said of a size that is not known
    matters,  ///< as of a time per output token: while a size is not known, all of its concurrency stand in
  };
  explicit LoadBaseline(PromptSize prompt_size) : prompt_size_(prompt_size) {}

  void learn(const Load& load, double seconds);
  [[nodiscard]] std::optional<Usual> usual(const Load& load) const;
  /// Upper quantile under this load; absent while learning.
  [[nodiscard]] std::optional<double> quantile(const Load& load, double share) const;
  void forget();

 private:
  [[nodiscard]] const QuantileSketch* find(const Load& load) const;

  PromptSize prompt_size_;
  std::map<std::uint32_t, QuantileSketch> fine_{};
  std::map<std::uint32_t, QuantileSketch> coarse_{};
};

}  // namespace inferscope::detect
