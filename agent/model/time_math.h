// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>

#include "core/time.h"

namespace inferscope {

/// Times in a recording can be any number: sums and differences stop at the ends of the range.
constexpr std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b < 0 ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
}

/// Time from `from` to `to`; negative if `to` is earlier.
constexpr Duration elapsed(Time from, Time to) {
  std::int64_t difference = 0;
  if (!__builtin_sub_overflow(to_ns(to), to_ns(from), &difference)) return Duration{difference};
  return to < from ? Duration::min() : Duration::max();
}

}  // namespace inferscope
