// SPDX-License-Identifier: Apache-2.0
#include "source/live/live_counters.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "bpf/abi/wire.h"

namespace inferscope::source {
namespace {

std::vector<__u64> of_each_processor() {
  return std::vector<__u64>(static_cast<std::size_t>(std::max(1, libbpf_num_possible_cpus())));
}

}  // namespace

LiveCounters read_counters(int counters) {
  std::vector<__u64> values = of_each_processor();
  const auto sum = [&](__u32 counter) -> std::uint64_t {
    if (bpf_map_lookup_elem(counters, &counter, values.data()) != 0) return 0;
    return std::accumulate(values.begin(), values.end(), std::uint64_t{0});
  };
  return {.transfers = sum(WIRE_COUNT_TRANSFERS),
          .transfers_passed = sum(WIRE_COUNT_TRANSFERS_PASSED),
          .transfers_lost = sum(WIRE_COUNT_TRANSFERS_LOST),
          .transfers_without_connection = sum(WIRE_COUNT_TRANSFERS_NO_CONN),
          .calls_full = sum(WIRE_COUNT_CALLS_FULL),
          .controls_passed = sum(WIRE_COUNT_CONTROLS_PASSED),
          .controls_lost = sum(WIRE_COUNT_CONTROLS_LOST),
          .targets_full = sum(WIRE_COUNT_TARGETS_FULL),
          .content_faults = sum(WIRE_COUNT_CONTENT_FAULTS),
          .uring_transfers = sum(WIRE_COUNT_URING_TRANSFERS),
          .tls_unplaced = sum(WIRE_COUNT_TLS_UNPLACED),
          .details_passed = sum(WIRE_COUNT_DETAILS_PASSED),
          .details_lost = sum(WIRE_COUNT_DETAILS_LOST),
          .runs_held = sum(WIRE_COUNT_RUNS_HELD),
          .threads_full = sum(WIRE_COUNT_THREADS_FULL),
          .reclaims_short = sum(WIRE_COUNT_RECLAIMS_SHORT),
          .reclaims_full = sum(WIRE_COUNT_RECLAIMS_FULL),
          .disks_full = sum(WIRE_COUNT_DISKS_FULL),
          .gpu_threads_full = sum(WIRE_COUNT_GPU_THREADS_FULL),
          .gpu_memory_full = sum(WIRE_COUNT_GPU_MEMORY_FULL),
          .gpu_jobs_full = sum(WIRE_COUNT_GPU_JOBS_FULL)};
}

void reset_counters(int counters) {
  const std::vector<__u64> zeros = of_each_processor();
  for (__u32 counter = 0; counter < WIRE_COUNTERS; ++counter)
    bpf_map_update_elem(counters, &counter, zeros.data(), BPF_ANY);
}

}  // namespace inferscope::source
