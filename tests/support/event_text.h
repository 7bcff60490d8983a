// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>

#include "model/event.h"

namespace inferscope::test {

/// Every field of an event: two events are the same if their texts are.
struct EventText {
  std::string operator()(const ProcessStarted& body) const {
    return fmt::format("started {} {} {} '{}' '{}' '{}' '{}'", body.pid, body.parent, body.start_time_ns, body.name,
                       body.executable, body.command_line, body.reason);
  }
  std::string operator()(const ProcessExited& body) const {
    return fmt::format("exited {} {} {}", body.pid, body.exit_code, body.signal);
  }
  std::string operator()(const ConnectionOpened& body) const {
    const Connection& one = body.connection;
    return fmt::format("opened {} {} {} {} role {} {} {} {} {} {}", one.id, one.pid, body.tid, one.fd,
                       static_cast<int>(one.role), of(one.local), of(one.remote), one.socket_inode, one.peer_inode,
                       one.mid_stream);
  }
  std::string operator()(const ConnectionHalfClosed& body) const {
    return fmt::format("half-closed {} {}", body.id, static_cast<int>(body.direction));
  }
  std::string operator()(const ConnectionClosed& body) const {
    return fmt::format("closed {} {} {} {} {} {}", body.id, static_cast<int>(body.reason), body.received_bytes,
                       body.sent_bytes, body.received_transfers, body.sent_transfers);
  }
  std::string operator()(const Transfer& body) const {
    return fmt::format("transfer {} {} {} {} {} at {} {} {} {} {} '{}' '{}'", body.connection,
                       static_cast<int>(body.direction), static_cast<int>(body.cut), body.pid, body.tid, body.position,
                       body.sequence, body.length, to_ns(body.begin), to_ns(body.end), body.head, body.tail);
  }
  std::string operator()(const EventsLost& body) const { return fmt::format("lost {} '{}'", body.count, body.reason); }
  std::string operator()(const ClockSet& body) const { return fmt::format("clock {}", body.unix_minus_kernel_ns); }
  std::string operator()(const ProcessSample& body) const {
    return fmt::format("sample {} '{}' {} {} {} {} {} {} {} rival {} memory {} {} {} pressure {}", of(body.process),
                       body.state, body.frozen, body.interval.count(), body.thread, body.ran.count(),
                       body.waited.count(), body.throttled.count(), body.waiting_connections,
                       body.rival ? fmt::format("{} {}", of(body.rival->process), body.rival->ran.count()) : "none",
                       body.memory_bytes, body.memory_limit, body.memory_refusals,
                       body.pressure ? fmt::format("{} {} {} {}", body.pressure->of_host, body.pressure->cpu.count(),
                                                   body.pressure->memory.count(), body.pressure->io.count())
                                     : "none");
  }

  std::string operator()(const ThreadRun& body) const {
    return fmt::format("run {} {} {} {} at {} {} {} {} by {} {}: {} {} {} {} {} {} {} {} delay {}", body.pid, body.tid,
                       static_cast<int>(body.ending), static_cast<int>(body.wait), to_ns(body.slept), to_ns(body.woken),
                       to_ns(body.begin), to_ns(body.end), body.waker_pid, body.waker_tid, body.ran.count(),
                       body.delayed.count(), body.sleeps, body.slept_in_between.count(), body.preemptions,
                       body.migrations, body.minor_faults, body.major_faults,
                       body.longest_delay ? fmt::format("{} {} {} '{}'", to_ns(body.longest_delay->begin),
                                                        to_ns(body.longest_delay->end), body.longest_delay->culprit,
                                                        body.longest_delay->culprit_name)
                                          : "none");
  }
  std::string operator()(const MemoryReclaim& body) const {
    return fmt::format("reclaim {} {} {} {} {} {}", body.pid, body.tid, body.of_cgroup, to_ns(body.begin),
                       to_ns(body.end), body.pages);
  }
  std::string operator()(const DiskUse& body) const {
    return fmt::format("disk {} {} {} {} {} {} {}", body.pid, body.reads, body.writes, body.read_bytes,
                       body.written_bytes, body.time.count(), body.longest.count());
  }
  std::string operator()(const Retransmit& body) const {
    return fmt::format("retransmit {} {}", body.connection, body.pid);
  }
  std::string operator()(const SendStall& body) const {
    return fmt::format("stall {} {} {} {}", body.connection, body.pid, to_ns(body.begin), to_ns(body.end));
  }
  std::string operator()(const GpuWork& body) const {
    return fmt::format("gpu work {} {} {} {} at {} {} {}: {} {} {} {} {} {} result {}", static_cast<int>(body.api),
                       body.pid, body.tid, static_cast<int>(body.ending), to_ns(body.begin), to_ns(body.wait_begin),
                       to_ns(body.end), body.launches, body.graphs, body.copies, body.collectives, body.copied_bytes,
                       body.longest_gap.count(), body.result);
  }
  std::string operator()(const GpuCall& body) const {
    return fmt::format("gpu call {} {} {} '{}' '{}' {}/{}/{} {}/{}/{} {} one of {}", static_cast<int>(body.api),
                       body.pid, body.tid, body.function, body.kernel, body.grid[0], body.grid[1], body.grid[2],
                       body.block[0], body.block[1], body.block[2], body.stream, body.one_of);
  }
  std::string operator()(const GpuFailure& body) const {
    return fmt::format("gpu failure {} {} {} '{}' {} {}", static_cast<int>(body.api), body.pid, body.tid, body.function,
                       static_cast<int>(body.kind), body.result);
  }
  std::string operator()(const GpuMemory& body) const {
    return fmt::format("gpu memory {} {} {} {} {} {}", static_cast<int>(body.api), body.pid, body.bytes,
                       body.peak_bytes, body.allocations, body.frees);
  }
  std::string operator()(const GpuDriverUse& body) const {
    return fmt::format("gpu driver {} {} {} {} {} {} {} {} {}", static_cast<int>(body.driver), body.pid, body.calls,
                       body.failed, body.time.count(), body.longest.count(), body.jobs, body.queued.count(),
                       body.running.count());
  }
  std::string operator()(const ProbeLevel& body) const {
    return fmt::format("probe level {} {} {} {}", body.pid, static_cast<int>(body.level), body.threads, body.cost);
  }

  static std::string of(const ProcessTarget& process) {
    return fmt::format("{}/{}/{}/{}/{}/{}", process.pid, process.start_time_ns, process.cgroup_id, process.cgroup,
                       process.name, process.executable);
  }
  static std::string of(const Endpoint& endpoint) {
    return fmt::format("{}/{}/{}", static_cast<int>(endpoint.family), endpoint.address, endpoint.port);
  }
};

inline std::string text_of(const Event& event) {
  return fmt::format("{} {}", to_ns(event.time), std::visit(EventText{}, event.body));
}

}  // namespace inferscope::test
