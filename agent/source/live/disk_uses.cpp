// SPDX-License-Identifier: Apache-2.0
#include "source/live/disk_uses.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstddef>

#include "source/live/map_keys.h"

namespace inferscope::source {
namespace {

constexpr std::size_t most_processes = 4096;  // of the map

std::uint64_t longest_of(const wire_disk_use& use, std::uint32_t generation) {
  return std::max(use.generation >= generation ? use.longest_ns : 0,
                  use.generation_before >= generation ? use.longest_before_ns : 0);
}

}  // namespace

void DiskUses::read(int uses, Time now, const Emit<Event>& emit) {
  if (uses < 0) return;
  each_key<__u32>(uses, 2 * most_processes, [&](__u32 pid) {
    wire_disk_use use{};
    if (bpf_map_lookup_elem(uses, &pid, &use) != 0) return;
    wire_disk_use& told = told_[static_cast<Pid>(pid)];
    if (use.count[0] == told.count[0] && use.count[1] == told.count[1]) return;
    emit({now, DiskUse{.pid = static_cast<Pid>(pid),
                       .reads = use.count[0] - told.count[0],
                       .writes = use.count[1] - told.count[1],
                       .read_bytes = use.bytes[0] - told.bytes[0],
                       .written_bytes = use.bytes[1] - told.bytes[1],
                       .time = Duration{static_cast<std::int64_t>(use.time_ns - told.time_ns)},
                       .longest = Duration{static_cast<std::int64_t>(longest_of(use, generation_ - 1))}}});
    told = use;
  });
}

void DiskUses::forget(int uses, Pid pid) {
  if (told_.erase(pid) == 0) return;
  const auto key = static_cast<__u32>(pid);
  bpf_map_delete_elem(uses, &key);
}

}  // namespace inferscope::source
