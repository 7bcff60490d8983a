// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

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

/// Calls tell(name, value) for each.
template <class Tell>
void for_each_counter(const LiveCounters& counters, Tell tell) {
  tell(std::string_view("transfers"), counters.transfers);
  tell(std::string_view("transfers_passed"), counters.transfers_passed);
  tell(std::string_view("transfers_lost"), counters.transfers_lost);
  tell(std::string_view("transfers_without_connection"), counters.transfers_without_connection);
  tell(std::string_view("calls_full"), counters.calls_full);
  tell(std::string_view("controls_passed"), counters.controls_passed);
  tell(std::string_view("controls_lost"), counters.controls_lost);
  tell(std::string_view("targets_full"), counters.targets_full);
  tell(std::string_view("content_faults"), counters.content_faults);
  tell(std::string_view("uring_transfers"), counters.uring_transfers);
  tell(std::string_view("tls_unplaced"), counters.tls_unplaced);
  tell(std::string_view("details_passed"), counters.details_passed);
  tell(std::string_view("details_lost"), counters.details_lost);
  tell(std::string_view("runs_held"), counters.runs_held);
  tell(std::string_view("threads_full"), counters.threads_full);
  tell(std::string_view("reclaims_short"), counters.reclaims_short);
  tell(std::string_view("reclaims_full"), counters.reclaims_full);
  tell(std::string_view("disks_full"), counters.disks_full);
  tell(std::string_view("gpu_threads_full"), counters.gpu_threads_full);
  tell(std::string_view("gpu_memory_full"), counters.gpu_memory_full);
  tell(std::string_view("gpu_jobs_full"), counters.gpu_jobs_full);
  tell(std::string_view("records_refused"), counters.records_refused);
}

/// `counters`: the map of that name. `records_refused` is not in it.
LiveCounters read_counters(int counters);
void reset_counters(int counters);

}  // namespace inferscope::source
