// SPDX-License-Identifier: Apache-2.0
#include "source/wire_decoder.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "bpf/abi/wire.h"
#include "source/wire_read.h"

namespace inferscope::source {
namespace {

Error malformed(const char* what) {
  return Error{fmt::format("ring record refused: {}", what)};
}

Duration duration_of(std::uint64_t ns) {
  return Duration{static_cast<std::int64_t>(ns)};
}

std::string address_text(int family, const __u8* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  static constexpr std::array<__u8, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (family == AF_INET6 && std::equal(mapped_prefix.begin(), mapped_prefix.end(), bytes)) {
    family = AF_INET;  // a dual-stack socket: the peer speaks IPv4
    bytes += mapped_prefix.size();
  }
  return inet_ntop(family, bytes, text.data(), text.size()) ? std::string(text.data()) : std::string();
}

Endpoint inet_endpoint(int family, const __u8* bytes, std::uint16_t port) {
  Endpoint endpoint{.address = address_text(family, bytes), .port = port};
  endpoint.family = endpoint.address.find(':') == std::string::npos ? Family::ipv4 : Family::ipv6;
  return endpoint;
}

std::string unix_path(const wire_conn_open& open) {
  const auto size = std::min<std::size_t>(open.path_size, WIRE_UNIX_PATH_MAX);
  std::string path(reinterpret_cast<const char*>(open.path), size);
  if (path.empty()) return path;
  if (path[0] == '\0') {
    path[0] = '@';
    return path;
  }
  return path.substr(0, path.find('\0'));
}

Result<Decoded> decode_open(std::span<const std::byte> bytes, Time time) {
  const auto open = read_as<wire_conn_open>(bytes);
  if (!open) return malformed("short connection record");
  if (open->role > WIRE_ROLE_SERVER) return malformed("unknown role");
  Connection connection{.id = open->conn,
                        .pid = static_cast<Pid>(open->tgid),
                        .fd = open->fd,
                        .role = static_cast<Role>(open->role),
                        .socket_inode = open->inode,
                        .peer_inode = open->peer_inode,
                        .mid_stream = open->mid_stream != 0};
  if (open->family == AF_UNIX) {
    connection.local.family = connection.remote.family = Family::unix_stream;
    (open->path_is_local ? connection.local : connection.remote).address = unix_path(*open);
  } else if (open->family == AF_INET || open->family == AF_INET6) {
    connection.local = inet_endpoint(open->family, open->local_address, open->local_port);
    connection.remote = inet_endpoint(open->family, open->remote_address, open->remote_port);
  } else {
    return malformed("unknown address family");
  }
  return Decoded{time, DecodedOpen{{std::move(connection), static_cast<Tid>(open->tid)}, open->key}};
}

Result<Decoded> decode_transfer(std::span<const std::byte> bytes, Time time) {
  const auto record = read_as<wire_transfer>(bytes);
  if (!record) return malformed("short transfer record");
  const std::size_t content = bytes.size() - sizeof(wire_transfer);
  if (record->head_size > content || record->tail_size > content - record->head_size)
    return malformed("content beyond the record");
  if (std::uint64_t{record->head_size} + record->tail_size > record->length)
    return malformed("more content than length");
  if (record->direction > WIRE_SENT || record->cut > WIRE_CUT_FAULT) return malformed("unknown direction or cut");
  const char* data = reinterpret_cast<const char*>(bytes.data()) + sizeof(wire_transfer);
  Transfer transfer{.connection = record->conn,
                    .direction = static_cast<Direction>(record->direction),
                    .cut = static_cast<Transfer::Cut>(record->cut),
                    .encrypted = record->clear != 0,
                    .pid = static_cast<Pid>(record->tgid),
                    .tid = static_cast<Tid>(record->tid),
                    .position = record->position,
                    .sequence = record->sequence,
                    .length = record->length,
                    .begin = time_from_ns(record->begin_ns),
                    .end = time,
                    .head = {data, record->head_size},
                    .tail = {data + record->head_size, record->tail_size}};
  return Decoded{time, transfer};
}

Result<Decoded> decode_process(std::span<const std::byte> bytes, Time time, int kind) {
  const auto record = read_as<wire_process>(bytes);
  if (!record) return malformed("short process record");
  const auto pid = static_cast<Pid>(record->tgid);
  if (kind == WIRE_PROCESS_EXIT) {
    ProcessExited exited{.pid = pid};
    if (WIFSIGNALED(record->status)) exited.signal = WTERMSIG(record->status);
    if (WIFEXITED(record->status)) exited.exit_code = WEXITSTATUS(record->status);
    return Decoded{time, DecodedExit{exited}};
  }
  return Decoded{time, ProcessNotice{.kind = kind == WIRE_PROCESS_FORK ? ProcessNotice::Kind::forked
                                                                       : ProcessNotice::Kind::executed,
                                     .pid = pid,
                                     .parent = static_cast<Pid>(record->parent),
                                     .time = time}};
}

Result<Decoded> decode_found(std::span<const std::byte> bytes, Time time, int kind) {
  const auto record = read_as<wire_found>(bytes);
  if (!record) return malformed("short notice record");
  const auto size = std::min<std::size_t>(record->sample_size, WIRE_SAMPLE_MAX);
  return Decoded{time, ProcessNotice{.kind = kind == WIRE_TARGET_FOUND ? ProcessNotice::Kind::received_inference
                                                                       : ProcessNotice::Kind::accepts_connections,
                                     .pid = static_cast<Pid>(record->tgid),
                                     .time = time,
                                     .sample = {reinterpret_cast<const char*>(record->sample), size}}};
}

Result<Decoded> decode_half_closed(std::span<const std::byte> bytes, Time time) {
  const auto record = read_as<wire_conn_half_closed>(bytes);
  if (!record || record->direction > WIRE_SENT) return malformed("half-close record");
  return Decoded{time, ConnectionHalfClosed{record->conn, static_cast<Direction>(record->direction)}};
}

Result<Decoded> decode_closed(std::span<const std::byte> bytes, Time time) {
  const auto record = read_as<wire_conn_closed>(bytes);
  if (!record || record->reason > WIRE_CLOSE_FORGOTTEN) return malformed("close record");
  return Decoded{time, ConnectionClosed{.id = record->conn,
                                        .reason = static_cast<ConnectionClosed::Reason>(record->reason),
                                        .received_bytes = record->bytes[WIRE_RECEIVED],
                                        .sent_bytes = record->bytes[WIRE_SENT],
                                        .received_transfers = record->transfers[WIRE_RECEIVED],
                                        .sent_transfers = record->transfers[WIRE_SENT]}};
}

/// The name at `offset` of a record, where it stays.
std::string_view name_in(std::span<const std::byte> record, std::size_t offset) {
  const std::string_view text(reinterpret_cast<const char*>(record.data()) + offset, WIRE_NAME_MAX);
  return text.substr(0, text.find('\0'));
}

Result<Decoded> decode_run(std::span<const std::byte> bytes, Time time) {
  const auto record = read_as<wire_thread_run>(bytes);
  if (!record) return malformed("short record of a thread");
  if (record->ending > WIRE_RUN_EXITED || record->wait > WIRE_WAIT_OTHER) return malformed("unknown ending or wait");
  ThreadRun run{.pid = static_cast<Pid>(record->tgid),
                .tid = static_cast<Tid>(record->tid),
                .ending = static_cast<ThreadRun::Ending>(record->ending),
                .wait = static_cast<ThreadRun::Wait>(record->wait),
                .slept = time_from_ns(record->slept_ns),
                .woken = time_from_ns(record->woken_ns),
                .begin = time_from_ns(record->begin_ns),
                .end = time_from_ns(record->end_ns),
                .waker_pid = static_cast<Pid>(record->waker_tgid),
                .waker_tid = static_cast<Tid>(record->waker_tid),
                .ran = duration_of(record->ran_ns),
                .delayed = duration_of(record->delayed_ns),
                .sleeps = record->sleeps,
                .slept_in_between = duration_of(record->slept_between_ns),
                .preemptions = record->preemptions,
                .migrations = record->migrations,
                .minor_faults = record->minor_faults,
                .major_faults = record->major_faults};
  if (record->delay_end_ns > record->delay_begin_ns)
    run.longest_delay = ThreadRun::Delay{.begin = time_from_ns(record->delay_begin_ns),
                                         .end = time_from_ns(record->delay_end_ns),
                                         .culprit = static_cast<Pid>(record->culprit),
                                         .culprit_name = name_in(bytes, offsetof(wire_thread_run, culprit_name))};
  return Decoded{time, run};
}

Result<Decoded> decode_stall(std::span<const std::byte> bytes, Time time) {
  const auto record = read_as<wire_send_stall>(bytes);
  if (!record) return malformed("short record of a stall");
  return Decoded{time, SendStall{.connection = record->conn,
                                 .pid = static_cast<Pid>(record->tgid),
                                 .begin = time_from_ns(record->begin_ns),
                                 .end = time}};
}

Result<Decoded> decode_retransmit(std::span<const std::byte> bytes, Time time) {
  const auto record = read_as<wire_retransmit>(bytes);
  if (!record) return malformed("short record of a segment");
  return Decoded{time, Retransmit{.connection = record->conn, .pid = static_cast<Pid>(record->tgid)}};
}

Result<Decoded> decode_reclaim(std::span<const std::byte> bytes, Time time) {
  const auto record = read_as<wire_reclaim>(bytes);
  if (!record) return malformed("short record of memory");
  return Decoded{time, MemoryReclaim{.pid = static_cast<Pid>(record->tgid),
                                     .tid = static_cast<Tid>(record->tid),
                                     .of_cgroup = record->of_cgroup != 0,
                                     .begin = time_from_ns(record->begin_ns),
                                     .end = time,
                                     .pages = record->pages}};
}

template <class Body>
Result<Decoded> decoded(const std::optional<Body>& body, Time time) {
  if (!body) return malformed("GPU record");
  return Decoded{time, *body};
}

}  // namespace

std::optional<Time> time_of(std::span<const std::byte> bytes) {
  const auto header = read_as<wire_header>(bytes);
  if (!header) return std::nullopt;
  return time_from_ns(header->time_ns);
}

Result<Decoded> decode(std::span<const std::byte> bytes) {
  const auto header = read_as<wire_header>(bytes);
  if (!header) return malformed("shorter than a header");
  if (header->version != WIRE_VERSION) return malformed("another version");
  if (header->size > bytes.size() || header->size < sizeof(wire_header)) return malformed("size and length differ");
  bytes = bytes.first(header->size);
  const Time time = time_from_ns(header->time_ns);
  switch (header->kind) {
    case WIRE_PROCESS_FORK:
    case WIRE_PROCESS_EXEC:
    case WIRE_PROCESS_EXIT:
      return decode_process(bytes, time, header->kind);
    case WIRE_TARGET_FOUND:
    case WIRE_LISTENER_FOUND:
      return decode_found(bytes, time, header->kind);
    case WIRE_CONN_OPEN:
      return decode_open(bytes, time);
    case WIRE_CONN_HALF_CLOSED:
      return decode_half_closed(bytes, time);
    case WIRE_CONN_CLOSED:
      return decode_closed(bytes, time);
    case WIRE_TRANSFER:
      return decode_transfer(bytes, time);
    case WIRE_THREAD_RUN:
      return decode_run(bytes, time);
    case WIRE_SEND_STALL:
      return decode_stall(bytes, time);
    case WIRE_RETRANSMIT:
      return decode_retransmit(bytes, time);
    case WIRE_RECLAIM:
      return decode_reclaim(bytes, time);
    case WIRE_GPU_WORK:
      return decoded(decode_gpu_work(bytes, time), time);
    case WIRE_GPU_CALL:
      return decoded(decode_gpu_call(bytes), time);
    case WIRE_GPU_FAILURE:
      return decoded(decode_gpu_failure(bytes), time);
    case WIRE_GPU_NAME:
      return decoded(decode_gpu_name(bytes), time);
    default:
      return malformed("unknown kind");
  }
}

}  // namespace inferscope::source
