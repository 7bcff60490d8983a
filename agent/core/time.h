// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace inferscope {

/// The kernel's CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns(). Stages never read it: time is handed to them.
struct KernelClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<KernelClock>;
  static constexpr bool is_steady = true;
};

using Time = KernelClock::time_point;
using Duration = std::chrono::nanoseconds;

constexpr Time time_from_ns(std::uint64_t ns) {
  return Time{Duration{static_cast<std::int64_t>(ns)}};
}
constexpr std::int64_t to_ns(Time time) {
  return time.time_since_epoch().count();
}
constexpr double to_seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace inferscope
