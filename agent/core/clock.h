// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <time.h>

#include <cstdint>
#include <numeric>

#include "core/time.h"

/// Reading the clocks: for sources and for what acts on the host. Stages are handed their time.
namespace inferscope {

inline std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

inline Time kernel_now() {
  return Time{Duration{clock_ns(CLOCK_MONOTONIC)}};
}

inline std::int64_t unix_now_ns() {
  return clock_ns(CLOCK_REALTIME);
}

/// What is added to a Time, in nanoseconds, to get one since 1970.
inline std::int64_t unix_minus_kernel_now_ns() {
  const std::int64_t before = to_ns(kernel_now());
  const std::int64_t wall = unix_now_ns();
  return wall - std::midpoint(before, to_ns(kernel_now()));
}

/// Processor time that the calling thread has used.
inline Duration own_cpu_time() {
  return Duration{clock_ns(CLOCK_THREAD_CPUTIME_ID)};
}

}  // namespace inferscope
