// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>

#include "core/emit.h"
#include "core/time.h"
#include "model/event.h"

namespace inferscope::source {

/// What the kernel side adds up of calls to drivers of GPUs, and of the jobs that these were given.
class GpuDriverUses {
 public:
  /// `devices`: the file that tells which devices there are; the others are descriptors of maps.
  void use(std::string devices, int majors, int uses, int told, int jobs);
  /// Drivers may be loaded while we run.
  void look_for_devices();
  /// A process that ended.
  void forget(Pid pid);
  /// Emits a GpuDriverUse for each process and driver whose calls, or jobs that are done, have become more.
  void sample(Time now, const Emit<Event>& emit);

 private:
  std::string devices_{};
  int majors_ = -1;
  int uses_ = -1;
  int told_ = -1;
  int jobs_ = -1;
  std::map<std::pair<Pid, GpuDriverUse::Driver>, GpuDriverUse> totals_{};  ///< as they were told of
};

}  // namespace inferscope::source
