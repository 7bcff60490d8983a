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
    return fmt::format("sample {} '{}' {} {} {} {} {} {} {} rival {}", of(body.process), body.state, body.frozen,
                       body.interval.count(), body.thread, body.ran.count(), body.waited.count(),
                       body.throttled.count(), body.waiting_connections,
                       body.rival ? fmt::format("{} {}", of(body.rival->process), body.rival->ran.count()) : "none");
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
