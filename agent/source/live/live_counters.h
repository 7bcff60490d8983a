// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace inferscope::source {

/// What the kernel side counted. Names as in bpf/abi/wire.h.
struct LiveCounters {
  std::uint64_t transfers = 0;
  std::uint64_t transfers_passed = 0;
  std::uint64_t transfers_lost = 0;
  std::uint64_t transfers_without_connection = 0;
  std::uint64_t calls_full = 0;
  std::uint64_t controls_passed = 0;
  std::uint64_t controls_lost = 0;
  std::uint64_t targets_full = 0;
  std::uint64_t content_faults = 0;
  std::uint64_t uring_transfers = 0;
  std::uint64_t tls_unplaced = 0;
  std::uint64_t details_passed = 0;  ///< what is told beside the transfers: what threads and GPUs did, among others
  std::uint64_t details_lost = 0;
  std::uint64_t runs_held = 0;  ///< of threads: summed up with the next
  std::uint64_t threads_full = 0;
  std::uint64_t reclaims_short = 0;  ///< too short to be told
  std::uint64_t reclaims_full = 0;
  std::uint64_t disks_full = 0;
  std::uint64_t gpu_threads_full = 0;
  std::uint64_t gpu_memory_full = 0;
  std::uint64_t gpu_jobs_full = 0;
  std::uint64_t records_refused = 0;  ///< by the decoder; never happens unless the two sides disagree
};

/// `counters`: the map of that name. `records_refused` is not in it.
LiveCounters read_counters(int counters);
void reset_counters(int counters);

}  // namespace inferscope::source
