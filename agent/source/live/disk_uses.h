// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <unordered_map>

#include "bpf/abi/wire.h"
#include "core/emit.h"
#include "model/event.h"

namespace inferscope::source {

/// What disks did for processes: the kernel side sums it up in a map, and the differences are told.
class DiskUses {
 public:
  /// The generation that the settings are to have. What takes longest is told for each by itself, since a sum that is
  /// read cannot be set back at once.
  [[nodiscard]] std::uint32_t generation() const { return generation_; }
  void begin_generation() { ++generation_; }

  /// `uses`: the map of that name. To be called when the kernel side has the new generation: what the one before did is
  /// told, with `now` as its time.
  void read(int uses, Time now, const Emit<Event>& emit);
  void forget(int uses, Pid pid);

 private:
  std::unordered_map<Pid, wire_disk_use> told_{};
  std::uint32_t generation_ = 1;
};

}  // namespace inferscope::source
