// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/time.h"

namespace inferscope::correlate {

inline Duration scaled(Duration duration, double factor) {
  return Duration{static_cast<std::int64_t>(static_cast<double>(duration.count()) * factor)};
}

inline Duration from_seconds(double value) {
  return Duration{static_cast<std::int64_t>(value * 1e9)};
}

}  // namespace inferscope::correlate
