// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "core/emit.h"
#include "core/time.h"
#include "model/event.h"

namespace inferscope::source {

/// What the kernel side counts of memory on GPUs.
class GpuMemoryTable {
 public:
  /// The descriptors of its maps.
  void use(int totals, int allocations);
  void follow(Pid pid) { told_.try_emplace(pid); }
  /// A process that ended, or runs another program.
  void forget(Pid pid);
  /// Emits a GpuMemory for each process for which it changed.
  void sample(Time now, const Emit<Event>& emit);

 private:
  int totals_ = -1;
  int allocations_ = -1;
  std::map<Pid, GpuMemory> told_{};
};

}  // namespace inferscope::source
