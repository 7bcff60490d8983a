// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "bpf/abi/wire.h"
#include "core/emit.h"
#include "model/event.h"
#include "model/gpu_library.h"
#include "source/live/bpf_objects.h"
#include "source/probe_budget.h"

namespace inferscope::source {

/// Puts probes into libraries of GPUs, and takes detail away from processes whose probes cost too much.
class ProbeGovernor {
 public:
  explicit ProbeGovernor(BpfObjects& objects) : objects_(objects) {}

  /// `budget`: of each process, see ProbeBudget. To be called when the probes are attached and nobody is watched yet:
  /// measures what they cost (measure_host_costs).
  void use(double budget);
  /// From here on its probes have to stay within the budget.
  void follow(Pid pid) { processes_[pid]; }
  Status attach(const GpuLibrary& library);
  /// A process that ended, or runs another program.
  void forget(Pid pid);
  /// Four times a second; emits a ProbeLevel for each process that is seen in another detail from then on.
  void look(Time now, const Emit<Event>& emit);
  [[nodiscard]] std::vector<ProbeUse> uses() const { return budget_.uses(); }

 private:
  struct Process {
    std::vector<GpuLibrary> libraries{};
    // At the look before:
    std::map<Pid, ProbeHits> gpu_hits{};  ///< of each thread
    std::array<std::uint64_t, WIRE_HITS> hits{};
    Time looked{};
    Duration own{};
  };

  void attach(const GpuLibrary& library, ProbePart part, Status& status);
  void change(const Process& process, ProbeLevel::Level before, const ProbeLevel& now);
  void forget_threads(Pid pid);
  void read_gpu_hits(std::map<Pid, ProbeHits>& sums);
  void read_hits(Pid pid, Process& process, ProbeBudget::Look& look);
  void know_library_costs();

  BpfObjects& objects_;
  ProbeBudget budget_{1};
  ProbeCosts costs_{};
  bool knows_library_costs_ = false;  ///< they are measured when the first process needs them
  std::map<Pid, Process> processes_{};
  Time next_look_{};
};

}  // namespace inferscope::source
