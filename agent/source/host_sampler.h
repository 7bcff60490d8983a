// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "core/cgroup_mounts.h"
#include "core/emit.h"
#include "core/time.h"
#include "model/event.h"

namespace inferscope::source {

/// Reads cheap facts of watched processes from /proc and cgroups and emits them as events, so that a replay has them as
/// well. Three small files for each process and sample; all threads of a process, and all processes of the host, are
/// looked at only now and then, and the latter only while a watched thread waits for a processor.
class HostSampler {
 public:
  explicit HostSampler(std::filesystem::path proc = "/proc", proc::CgroupMounts mounts = proc::CgroupMounts::read());

  void follow(Pid pid);
  void forget(Pid pid);

  /// Emits a ProcessSample, with `now` as its time, for each followed process that `wanted` names.
  void sample(Time now, const std::set<Pid>& wanted, const Emit<Event>& emit);

 private:
  struct Thread {
    std::uint64_t ran_ns = 0;
    std::uint64_t waited_ns = 0;
  };
  struct Followed {
    ProcessTarget target{};
    proc::CgroupPlace cpu{};
    proc::CgroupPlace freezer{};
    std::map<Tid, Thread> threads{};  ///< all of them, as of the last look
    Time next_look{};
    Tid busiest = 0;
    Thread before{};                 ///< of the busiest, as of the last sample
    std::uint64_t throttled_ns = 0;  ///< of its cgroup, in total
    std::optional<Time> sampled{};
  };
  struct HostScan {
    Time time{};
    std::unordered_map<Pid, std::uint64_t> cpu_ns{};  ///< used so far, by process
  };

  void look_at_threads(Followed& followed, Time now) const;
  void look_at_cgroups(Followed& followed) const;
  bool sample_one(Followed& followed, Time now, ProcessSample& sample);
  void find_rivals(std::vector<ProcessSample>& samples, Time now);

  std::filesystem::path proc_;
  proc::CgroupMounts mounts_;
  std::map<Pid, Followed> followed_{};
  HostScan scan_{};
  Time next_scan_{};
};

}  // namespace inferscope::source
