// SPDX-License-Identifier: Apache-2.0
#include "detect/load_baseline.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace inferscope::detect {
namespace {

constexpr std::size_t exact_concurrency = 16;
constexpr std::size_t most_concurrency = 4096;  // more are one bucket
constexpr std::uint32_t most_prompt = 15;

/// Each number up to 16 by itself, then four buckets for each doubling: one request more in a small batch changes the
/// time of a step by more than what is to be found.
std::uint32_t concurrency_bucket(const Load& load) {
  const std::size_t value = std::clamp<std::size_t>(load.concurrency, 1, most_concurrency);
  if (value <= exact_concurrency) return static_cast<std::uint32_t>(value);
  const auto doublings = static_cast<std::uint32_t>(std::bit_width(value - 1)) - 1;
  const auto quarter = static_cast<std::uint32_t>((value - 1) >> (doublings - 2)) & 3U;
  return static_cast<std::uint32_t>(exact_concurrency) + 1 + (doublings - 4) * 4 + quarter;
}

std::uint32_t bucket(const Load& load) {
  const auto prompt = static_cast<std::uint32_t>(std::bit_width(load.prompt_bytes)) / 2;
  return concurrency_bucket(load) * (most_prompt + 1) + std::min(prompt, most_prompt);
}

}  // namespace

double LoadBaseline::Usual::residual(double value) const {
  return value > 0 && seconds > 0 ? std::log(value / seconds) / spread : 0;
}

void LoadBaseline::learn(const Load& load, double seconds) {
  if (!(seconds > 0)) return;
  fine_[bucket(load)].add(seconds);
  if (prompt_size_ == PromptSize::matters) coarse_[concurrency_bucket(load)].add(seconds);
}

const QuantileSketch* LoadBaseline::find(const Load& load) const {
  if (const auto fine = fine_.find(bucket(load)); fine != fine_.end() && fine->second.count() >= learned_after)
    return &fine->second;
  if (prompt_size_ == PromptSize::decides) return nullptr;
  const auto coarse = coarse_.find(concurrency_bucket(load));
  return coarse != coarse_.end() && coarse->second.count() >= learned_after ? &coarse->second : nullptr;
}

std::optional<LoadBaseline::Usual> LoadBaseline::usual(const Load& load) const {
  const QuantileSketch* sketch = find(load);
  if (!sketch) return std::nullopt;
  // The quartiles of a normal distribution are 1.349 standard deviations apart.
  const double spread = std::log(sketch->quantile(0.75) / sketch->quantile(0.25)) / 1.349;
  return Usual{sketch->quantile(0.5), std::max(spread, smallest_spread)};
}

std::optional<double> LoadBaseline::quantile(const Load& load, double share) const {
  const QuantileSketch* sketch = find(load);
  return sketch ? std::optional(sketch->quantile(share)) : std::nullopt;
}

void LoadBaseline::forget() {
  fine_.clear();
  coarse_.clear();
}

}  // namespace inferscope::detect
