// SPDX-License-Identifier: Apache-2.0
#include "source/recording_codec.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "source/work_codec.h"

namespace inferscope::source {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;  // clang before 17 cannot deduce it

void encode(const Endpoint& endpoint, recording::Endpoint& out) {
  out.set_family(static_cast<std::uint32_t>(endpoint.family));
  out.set_address(endpoint.address);
  out.set_port(endpoint.port);
}

void encode(const ConnectionOpened& opened, recording::ConnectionOpened& out) {
  const Connection& connection = opened.connection;
  out.set_id(connection.id);
  out.set_pid(connection.pid);
  out.set_tid(opened.tid);
  out.set_fd(connection.fd);
  out.set_role(static_cast<std::uint32_t>(connection.role));
  encode(connection.local, *out.mutable_local());
  encode(connection.remote, *out.mutable_remote());
  out.set_socket_inode(connection.socket_inode);
  out.set_peer_inode(connection.peer_inode);
  out.set_mid_stream(connection.mid_stream);
}

void encode(const Transfer& transfer, recording::Transfer& out) {
  out.set_connection(transfer.connection);
  out.set_direction(static_cast<std::uint32_t>(transfer.direction));
  out.set_cut(static_cast<std::uint32_t>(transfer.cut));
  out.set_encrypted(transfer.encrypted);
  out.set_pid(transfer.pid);
  out.set_tid(transfer.tid);
  out.set_position(transfer.position);
  out.set_sequence(transfer.sequence);
  out.set_length(transfer.length);
  out.set_begin_ns(to_ns(transfer.begin));
  out.set_end_ns(to_ns(transfer.end));
  out.set_head(transfer.head.data(), transfer.head.size());
  out.set_tail(transfer.tail.data(), transfer.tail.size());
}

void encode(const ProcessStarted& process, recording::ProcessStarted& out) {
  out.set_pid(process.pid);
  out.set_parent(process.parent);
  out.set_start_time_ns(process.start_time_ns);
  out.set_name(process.name);
  out.set_executable(process.executable);
  out.set_command_line(process.command_line);
  out.set_reason(process.reason);
}

void encode(const ConnectionClosed& closed, recording::ConnectionClosed& out) {
  out.set_id(closed.id);
  out.set_reason(static_cast<std::uint32_t>(closed.reason));
  out.set_received_bytes(closed.received_bytes);
  out.set_sent_bytes(closed.sent_bytes);
  out.set_received_transfers(closed.received_transfers);
  out.set_sent_transfers(closed.sent_transfers);
}

void encode(const ProcessTarget& process, recording::ProcessTarget& out) {
  out.set_pid(process.pid);
  out.set_start_time_ns(process.start_time_ns);
  out.set_cgroup_id(process.cgroup_id);
  out.set_cgroup(process.cgroup);
  out.set_name(process.name);
  out.set_executable(process.executable);
}

void encode(const ProcessSample& sample, recording::ProcessSample& out) {
  encode(sample.process, *out.mutable_process());
  out.set_state(static_cast<unsigned char>(sample.state));
  out.set_frozen(sample.frozen);
  out.set_interval_ns(sample.interval.count());
  out.set_thread(sample.thread);
  out.set_ran_ns(sample.ran.count());
  out.set_waited_ns(sample.waited.count());
  out.set_throttled_ns(sample.throttled.count());
  out.set_waiting_connections(sample.waiting_connections);
  out.set_memory_bytes(sample.memory_bytes);
  out.set_memory_limit(sample.memory_limit);
  out.set_memory_refusals(sample.memory_refusals);
  if (sample.pressure) {
    recording::Pressure& pressure = *out.mutable_pressure();
    pressure.set_of_host(sample.pressure->of_host);
    pressure.set_cpu_ns(sample.pressure->cpu.count());
    pressure.set_memory_ns(sample.pressure->memory.count());
    pressure.set_io_ns(sample.pressure->io.count());
  }
  if (!sample.rival) return;
  encode(sample.rival->process, *out.mutable_rival());
  out.set_rival_ran_ns(sample.rival->ran.count());
}

/// An enumeration's value if it is one that we know.
template <class Enum>
std::optional<Enum> known(std::uint32_t value, Enum last) {
  if (value > static_cast<std::uint32_t>(last)) return std::nullopt;
  return static_cast<Enum>(value);
}

Error malformed(const char* what) {
  return Error{fmt::format("the recording holds a malformed event ({})", what)};
}

std::optional<Endpoint> decode(const recording::Endpoint& in) {
  const auto family = known(in.family(), Family::unix_stream);
  if (!family || in.port() > 65535) return std::nullopt;
  return Endpoint{*family, in.address(), static_cast<std::uint16_t>(in.port())};
}

Result<Event> decode(Time time, const recording::ConnectionOpened& in) {
  const auto role = known(in.role(), Role::server);
  const auto local = decode(in.local());
  const auto remote = decode(in.remote());
  if (!role || !local || !remote) return malformed("connection");
  return Event{time, ConnectionOpened{.connection = {.id = in.id(),
                                                     .pid = in.pid(),
                                                     .fd = in.fd(),
                                                     .role = *role,
                                                     .local = *local,
                                                     .remote = *remote,
                                                     .socket_inode = in.socket_inode(),
                                                     .peer_inode = in.peer_inode(),
                                                     .mid_stream = in.mid_stream()},
                                      .tid = in.tid()}};
}

Result<Event> decode(Time time, const recording::Transfer& in) {
  const auto direction = known(in.direction(), Direction::sent);
  const auto cut = known(in.cut(), Transfer::Cut::fault);
  if (!direction || !cut) return malformed("transfer");
  if (in.head().size() > in.length() || in.tail().size() > in.length() - in.head().size())
    return malformed("more content than length");
  return Event{time, Transfer{.connection = in.connection(),
                              .direction = *direction,
                              .cut = *cut,
                              .encrypted = in.encrypted(),
                              .pid = in.pid(),
                              .tid = in.tid(),
                              .position = in.position(),
                              .sequence = in.sequence(),
                              .length = in.length(),
                              .begin = Time{Duration{in.begin_ns()}},
                              .end = Time{Duration{in.end_ns()}},
                              .head = in.head(),
                              .tail = in.tail()}};
}

ProcessTarget decode(const recording::ProcessTarget& in) {
  return {.pid = in.pid(),
          .start_time_ns = in.start_time_ns(),
          .cgroup_id = in.cgroup_id(),
          .cgroup = in.cgroup(),
          .name = in.name(),
          .executable = in.executable()};
}

Result<Event> decode(Time time, const recording::ProcessSample& in) {
  if (in.state() > 127 || in.interval_ns() < 0 || in.ran_ns() < 0 || in.waited_ns() < 0 || in.throttled_ns() < 0 ||
      in.rival_ran_ns() < 0 || in.pressure().cpu_ns() < 0 || in.pressure().memory_ns() < 0 || in.pressure().io_ns() < 0)
    return malformed("process sample");
  ProcessSample sample{.process = decode(in.process()),
                       .state = static_cast<char>(in.state()),
                       .frozen = in.frozen(),
                       .interval = Duration{in.interval_ns()},
                       .thread = in.thread(),
                       .ran = Duration{in.ran_ns()},
                       .waited = Duration{in.waited_ns()},
                       .throttled = Duration{in.throttled_ns()},
                       .waiting_connections = in.waiting_connections(),
                       .memory_bytes = in.memory_bytes(),
                       .memory_limit = in.memory_limit(),
                       .memory_refusals = in.memory_refusals()};
  if (in.has_pressure())
    sample.pressure = {.of_host = in.pressure().of_host(),
                       .cpu = Duration{in.pressure().cpu_ns()},
                       .memory = Duration{in.pressure().memory_ns()},
                       .io = Duration{in.pressure().io_ns()}};
  if (in.has_rival()) sample.rival = {decode(in.rival()), Duration{in.rival_ran_ns()}};
  return Event{time, std::move(sample)};
}

}  // namespace

void encode(const Event& event, recording::Event& out) {
  out.set_time_ns(to_ns(event.time));
  std::visit(
      Overloaded{[&](const ProcessStarted& body) { encode(body, *out.mutable_process_started()); },
                 [&](const ProcessExited& body) {
                   out.mutable_process_exited()->set_pid(body.pid);
                   out.mutable_process_exited()->set_exit_code(body.exit_code);
                   out.mutable_process_exited()->set_signal(body.signal);
                 },
                 [&](const ConnectionOpened& body) { encode(body, *out.mutable_connection_opened()); },
                 [&](const ConnectionHalfClosed& body) {
                   out.mutable_connection_half_closed()->set_id(body.id);
                   out.mutable_connection_half_closed()->set_direction(static_cast<std::uint32_t>(body.direction));
                 },
                 [&](const ConnectionClosed& body) { encode(body, *out.mutable_connection_closed()); },
                 [&](const Transfer& body) { encode(body, *out.mutable_transfer()); },
                 [&](const EventsLost& body) {
                   out.mutable_events_lost()->set_reason(body.reason);
                   out.mutable_events_lost()->set_count(body.count);
                 },
                 [&](const ClockSet& body) { out.set_clock_unix_minus_kernel_ns(body.unix_minus_kernel_ns); },
                 [&](const ProcessSample& body) { encode(body, *out.mutable_process_sample()); },
                 [&](const auto& body) { encode(body, out); }},
      event.body);
}

Result<Event> decode(const recording::Event& in) {
  const Time time{Duration{in.time_ns()}};
  switch (in.body_case()) {
    case recording::Event::kProcessStarted: {
      const auto& body = in.process_started();
      return Event{time, ProcessStarted{.pid = body.pid(),
                                        .parent = body.parent(),
                                        .start_time_ns = body.start_time_ns(),
                                        .name = body.name(),
                                        .executable = body.executable(),
                                        .command_line = body.command_line(),
                                        .reason = body.reason()}};
    }
    case recording::Event::kProcessExited: {
      const auto& body = in.process_exited();
      return Event{time, ProcessExited{body.pid(), body.exit_code(), body.signal()}};
    }
    case recording::Event::kConnectionOpened:
      return decode(time, in.connection_opened());
    case recording::Event::kConnectionHalfClosed: {
      const auto direction = known(in.connection_half_closed().direction(), Direction::sent);
      if (!direction) return malformed("half-close");
      return Event{time, ConnectionHalfClosed{in.connection_half_closed().id(), *direction}};
    }
    case recording::Event::kConnectionClosed: {
      const auto& body = in.connection_closed();
      const auto reason = known(body.reason(), ConnectionClosed::Reason::forgotten);
      if (!reason) return malformed("close");
      return Event{time, ConnectionClosed{.id = body.id(),
                                          .reason = *reason,
                                          .received_bytes = body.received_bytes(),
                                          .sent_bytes = body.sent_bytes(),
                                          .received_transfers = body.received_transfers(),
                                          .sent_transfers = body.sent_transfers()}};
    }
    case recording::Event::kTransfer:
      return decode(time, in.transfer());
    case recording::Event::kEventsLost:
      return Event{time, EventsLost{in.events_lost().reason(), in.events_lost().count()}};
    case recording::Event::kClockUnixMinusKernelNs:
      return Event{time, ClockSet{in.clock_unix_minus_kernel_ns()}};
    case recording::Event::kProcessSample:
      return decode(time, in.process_sample());
    case recording::Event::BODY_NOT_SET:
      return malformed("of a kind that this version does not know");
    default:
      break;
  }
  auto work = decode_work(time, in);
  if (!work) return malformed("of what threads or GPUs did");
  return *std::move(work);
}

}  // namespace inferscope::source
