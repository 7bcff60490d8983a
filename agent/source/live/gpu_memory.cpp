// SPDX-License-Identifier: Apache-2.0
#include "source/live/gpu_memory.h"

#include <bpf/bpf.h>

#include <cstddef>
#include <vector>

#include "bpf/abi/wire_gpu.h"
#include "source/live/map_keys.h"

namespace inferscope::source {

void GpuMemoryTable::use(int totals, int allocations) {
  totals_ = totals;
  allocations_ = allocations;
}

void GpuMemoryTable::forget(Pid pid) {
  if (told_.erase(pid) == 0) return;
  const auto key = static_cast<__u32>(pid);
  bpf_map_delete_elem(totals_, &key);
  std::vector<wire_gpu_address> gone;
  each_key<wire_gpu_address>(allocations_, std::size_t{2} * WIRE_GPU_ALLOCATIONS, [&](const wire_gpu_address& address) {
    if (address.tgid == static_cast<__u64>(pid)) gone.push_back(address);
  });
  for (const wire_gpu_address& one : gone) bpf_map_delete_elem(allocations_, &one);
}

void GpuMemoryTable::sample(Time now, const Emit<Event>& emit) {
  for (auto& [pid, told] : told_) {
    const auto key = static_cast<__u32>(pid);
    wire_gpu_memory memory{};
    if (bpf_map_lookup_elem(totals_, &key, &memory) != 0) continue;
    if (memory.allocations == told.allocations && memory.frees == told.frees) continue;
    told = {.api = static_cast<GpuApi>(memory.api),
            .pid = pid,
            .bytes = memory.bytes,
            .peak_bytes = memory.peak_bytes,
            .allocations = memory.allocations,
            .frees = memory.frees};
    emit({now, told});
  }
}

}  // namespace inferscope::source
