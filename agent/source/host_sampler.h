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
#include "core/tcp_sockets.h"
#include "core/time.h"
#include "model/event.h"

namespace inferscope::source {

/// Reads cheap facts of watched processes from /proc, cgroups and sock_diag and emits them as events, so that a replay
/// has them as well. A few small reads for each process and sample. All threads of a process are looked at only now and
/// then; all processes of the host only while a watched thread waits for a processor; all connections of a network
/// namespace only while a watched process is stopped or frozen.
class HostSampler {
 public:
  explicit HostSampler(std::filesystem::path proc = "/proc", proc::CgroupMounts mounts = proc::CgroupMounts::read());

  void follow(Pid pid);
  void forget(Pid pid);

  /// To be called at the rate of the samples. Emits a ProcessSample, with `now` as its time, for each followed process
  /// that is at work, as `busy` names them, or was lately; for the others once in a while, since one that is stopped
  /// between two requests never is busy again.
  void sample(Time now, const std::set<Pid>& busy, const Emit<Event>& emit);

 private:
  struct Thread {
    std::uint64_t ran_ns = 0;
    std::uint64_t waited_ns = 0;
  };
  /// In total.
  struct Pressures {
    bool of_host = false;
    std::uint64_t cpu_us = 0;
    std::uint64_t memory_us = 0;
    std::uint64_t io_us = 0;
  };
  struct Followed {
    ProcessTarget target;
    proc::TcpSockets tcp;
    proc::CgroupPlace cpu{};
    proc::CgroupPlace freezer{};
    proc::CgroupPlace memory{};
    proc::CgroupPlace unified{};  ///< in version 2's hierarchy, also where that has no controllers
    std::uint64_t memory_limit = 0;
    std::map<Tid, Thread> threads{};  ///< all of them, as of the last look
    Time next_look{};
    Tid busiest = 0;
    Thread before{};                 ///< of the busiest, as of the last sample
    std::uint64_t throttled_ns = 0;  ///< of its cgroup, in total
    std::uint64_t memory_refusals = 0;
    std::optional<Pressures> pressures{};
    std::optional<Time> sampled{};
    Time often_until{};
    Time next_anyway{};        ///< sampled then, whether it is at work or not
    std::uint32_t unread = 0;  ///< connections with bytes that it has not read, as of the last look
    Time next_unread_look{};
  };
  struct HostScan {
    Time time{};
    std::unordered_map<Pid, std::uint64_t> cpu_ns{};  ///< used so far, by process
  };

  void look_at_threads(Followed& followed, Time now) const;
  void look_at_cgroups(Followed& followed) const;
  std::uint32_t waiting_connections(Followed& followed, const ProcessSample& sample, Time now) const;
  [[nodiscard]] std::optional<Pressures> pressures_of(const Followed& followed);
  void sample_memory(Followed& followed, ProcessSample& sample);
  bool sample_one(Followed& followed, Time now, ProcessSample& sample);
  void find_rivals(std::vector<ProcessSample>& samples, Time now);

  std::filesystem::path proc_;
  proc::CgroupMounts mounts_;
  std::map<Pid, Followed> followed_{};
  HostScan scan_{};
  std::optional<Pressures> host_pressures_{};  ///< of this sample, if they were needed
  bool host_pressures_read_ = false;
  Time next_scan_{};
};

}  // namespace inferscope::source
