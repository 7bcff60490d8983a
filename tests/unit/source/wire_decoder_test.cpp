// SPDX-License-Identifier: Apache-2.0
#include "source/wire_decoder.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/source/wire_records.h"

namespace inferscope::source {
namespace {

bool refused(const Bytes& bytes) {
  return !decode(bytes).ok();
}

wire_conn_open inet_open() {
  wire_conn_open open{};
  open.conn = 0x1234;
  open.key = 0xffff8880deadbeef;
  open.inode = 77;
  open.tgid = 100;
  open.tid = 101;
  open.fd = 5;
  open.family = AF_INET;
  open.role = WIRE_ROLE_SERVER;
  inet_pton(AF_INET, "10.1.2.3", open.local_address);
  inet_pton(AF_INET, "192.168.0.9", open.remote_address);
  open.local_port = 8000;
  open.remote_port = 40000;
  return open;
}

wire_conn_open unix_open(std::string_view path, bool local) {
  wire_conn_open open{};
  open.family = AF_UNIX;
  open.peer_inode = 88;
  open.path_size = static_cast<__u16>(path.size());
  open.path_is_local = local ? 1 : 0;
  std::memcpy(open.path, path.data(), std::min(path.size(), sizeof(open.path)));
  return open;
}

wire_transfer transfer(std::uint32_t head, std::uint32_t tail, std::uint64_t length) {
  wire_transfer record{};
  record.conn = 9;
  record.begin_ns = 6'000;
  record.position = 1000;
  record.sequence = 12;
  record.length = length;
  record.tgid = 100;
  record.tid = 102;
  record.head_size = head;
  record.tail_size = tail;
  record.direction = WIRE_SENT;
  record.cut = WIRE_CUT_TRANSFER_LIMIT;
  return record;
}

wire_thread_run thread_run() {
  wire_thread_run run{};
  run.tgid = 100;
  run.tid = 103;
  run.slept_ns = 1'000;
  run.woken_ns = 2'000;
  run.begin_ns = 2'500;
  run.end_ns = 6'500;
  run.ran_ns = 3'000;
  run.delayed_ns = 700;
  run.slept_between_ns = 800;
  run.sleeps = 2;
  run.preemptions = 3;
  run.migrations = 4;
  run.ending = WIRE_RUN_WOKE;
  run.wait = WIRE_WAIT_POLL;
  run.waker_tgid = 200;
  run.waker_tid = 201;
  run.minor_faults = 5;
  run.major_faults = 6;
  run.delay_begin_ns = 3'000;
  run.delay_end_ns = 3'600;
  run.culprit = 300;
  std::memcpy(run.culprit_name, "stress", 6);
  return run;
}

TEST(WireDecoder, ProcessNotices) {
  const auto forked = decoded<ProcessNotice>(bytes_of(wire_process{{}, 200, 100, 0, 1}, WIRE_PROCESS_FORK));
  EXPECT_EQ(forked.kind, ProcessNotice::Kind::forked);
  EXPECT_EQ(forked.pid, 200);
  EXPECT_EQ(forked.parent, 100);
  EXPECT_EQ(forked.time, time_from_ns(7'000));
  const auto executed = decoded<ProcessNotice>(bytes_of(wire_process{{}, 200, 0, 0, 0}, WIRE_PROCESS_EXEC));
  EXPECT_EQ(executed.kind, ProcessNotice::Kind::executed);
  EXPECT_EQ(executed.pid, 200);
}

TEST(WireDecoder, ExitCodesAndSignals) {
  const auto exited = [](int status) {
    return decoded<DecodedExit>(bytes_of(wire_process{{}, 200, 0, status, 1}, WIRE_PROCESS_EXIT)).event;
  };
  EXPECT_EQ(exited(0).pid, 200);
  EXPECT_EQ(exited(0).exit_code, 0);
  EXPECT_EQ(exited(0).signal, 0);
  EXPECT_EQ(exited(42 << 8).exit_code, 42);
  EXPECT_EQ(exited(255 << 8).exit_code, 255);
  EXPECT_EQ(exited(SIGKILL).signal, SIGKILL);
  EXPECT_EQ(exited(SIGKILL).exit_code, 0);
  EXPECT_EQ(exited(SIGSEGV | 0x80).signal, SIGSEGV) << "with a core dump";
  EXPECT_EQ(exited(0x7f).signal, 0) << "stopped: neither exited nor killed";
}

TEST(WireDecoder, FoundProcesses) {
  wire_found found{};
  found.tgid = 300;
  found.sample_size = 20;
  std::memcpy(found.sample, "POST /v1/completions HTTP/1.1 ..", WIRE_SAMPLE_MAX);
  const auto target = decoded<ProcessNotice>(bytes_of(found, WIRE_TARGET_FOUND));
  EXPECT_EQ(target.kind, ProcessNotice::Kind::received_inference);
  EXPECT_EQ(target.pid, 300);
  EXPECT_EQ(target.sample, "POST /v1/completions");
  found.sample_size = 4'000'000'000;
  EXPECT_EQ(decoded<ProcessNotice>(bytes_of(found, WIRE_TARGET_FOUND)).sample.size(), std::size_t{WIRE_SAMPLE_MAX});
  const auto listener = decoded<ProcessNotice>(bytes_of(wire_found{{}, 301, 0, {}}, WIRE_LISTENER_FOUND));
  EXPECT_EQ(listener.kind, ProcessNotice::Kind::accepts_connections);
  EXPECT_EQ(listener.pid, 301);
  EXPECT_EQ(listener.sample, "");
}

TEST(WireDecoder, InetConnection) {
  auto record = inet_open();
  record.mid_stream = 1;
  const auto open = decoded<DecodedOpen>(bytes_of(record, WIRE_CONN_OPEN));
  EXPECT_EQ(open.map_key, 0xffff8880deadbeefU);
  EXPECT_EQ(open.event.tid, 101);
  const Connection& connection = open.event.connection;
  EXPECT_EQ(connection.id, 0x1234u);
  EXPECT_EQ(connection.pid, 100);
  EXPECT_EQ(connection.fd, 5);
  EXPECT_EQ(connection.role, Role::server);
  EXPECT_EQ(connection.local, (Endpoint{Family::ipv4, "10.1.2.3", 8000}));
  EXPECT_EQ(connection.remote, (Endpoint{Family::ipv4, "192.168.0.9", 40000}));
  EXPECT_EQ(connection.socket_inode, 77u);
  EXPECT_EQ(connection.peer_inode, 0u);
  EXPECT_TRUE(connection.mid_stream);
}

TEST(WireDecoder, Ipv6AndMappedIpv4) {
  auto record = inet_open();
  record.family = AF_INET6;
  inet_pton(AF_INET6, "fe80::1", record.local_address);
  inet_pton(AF_INET6, "::ffff:127.0.0.1", record.remote_address);
  const auto open = decoded<DecodedOpen>(bytes_of(record, WIRE_CONN_OPEN));
  EXPECT_EQ(open.event.connection.local, (Endpoint{Family::ipv6, "fe80::1", 8000}));
  EXPECT_EQ(open.event.connection.remote, (Endpoint{Family::ipv4, "127.0.0.1", 40000}));
}

TEST(WireDecoder, UnixPaths) {
  const auto path_of = [](std::string_view path, bool local) {
    const auto open = decoded<DecodedOpen>(bytes_of(unix_open(path, local), WIRE_CONN_OPEN));
    const Connection& connection = open.event.connection;
    EXPECT_EQ(connection.local.family, Family::unix_stream);
    EXPECT_EQ(connection.remote.family, Family::unix_stream);
    EXPECT_EQ(connection.peer_inode, 88u);
    EXPECT_EQ((local ? connection.remote : connection.local).address, "");
    return (local ? connection.local : connection.remote).address;
  };
  EXPECT_EQ(path_of("/run/server.sock", true), "/run/server.sock");
  EXPECT_EQ(path_of("/run/server.sock", false), "/run/server.sock");
  EXPECT_EQ(path_of(std::string_view("/run/a\0bc", 9), true), "/run/a") << "ends at its NUL";
  EXPECT_EQ(path_of(std::string_view("\0abstract", 9), true), "@abstract");
  EXPECT_EQ(path_of(std::string_view("\0a\0b", 4), true), std::string("@a\0b", 4)) << "NUL is a byte like others";
  EXPECT_EQ(path_of("", true), "");
  EXPECT_EQ(path_of(std::string(WIRE_UNIX_PATH_MAX, 'p'), true), std::string(WIRE_UNIX_PATH_MAX, 'p'));
  auto beyond = unix_open("x", true);
  beyond.path_size = 65535;
  std::memset(beyond.path, 'y', sizeof(beyond.path));
  EXPECT_EQ(decoded<DecodedOpen>(bytes_of(beyond, WIRE_CONN_OPEN)).event.connection.local.address,
            std::string(WIRE_UNIX_PATH_MAX, 'y'));
}

TEST(WireDecoder, ConnectionOfBadEnumerationIsRefused) {
  auto record = inet_open();
  record.role = WIRE_ROLE_SERVER + 1;
  EXPECT_TRUE(refused(bytes_of(record, WIRE_CONN_OPEN)));
  record = inet_open();
  record.family = AF_NETLINK;
  EXPECT_TRUE(refused(bytes_of(record, WIRE_CONN_OPEN)));
}

TEST(WireDecoder, HalfClose) {
  const auto half =
      decoded<ConnectionHalfClosed>(bytes_of(wire_conn_half_closed{{}, 9, WIRE_SENT, 0}, WIRE_CONN_HALF_CLOSED));
  EXPECT_EQ(half.id, 9u);
  EXPECT_EQ(half.direction, Direction::sent);
  EXPECT_TRUE(refused(bytes_of(wire_conn_half_closed{{}, 9, 2, 0}, WIRE_CONN_HALF_CLOSED)));
}

TEST(WireDecoder, Close) {
  const wire_conn_closed record{{}, 9, {10, 20}, {3, 4}, WIRE_CLOSE_RESET, 100};
  const auto closed = decoded<ConnectionClosed>(bytes_of(record, WIRE_CONN_CLOSED));
  EXPECT_EQ(closed.id, 9u);
  EXPECT_EQ(closed.reason, ConnectionClosed::Reason::reset);
  EXPECT_EQ(closed.received_bytes, 10u);
  EXPECT_EQ(closed.sent_bytes, 20u);
  EXPECT_EQ(closed.received_transfers, 3u);
  EXPECT_EQ(closed.sent_transfers, 4u);
  auto bad = record;
  bad.reason = WIRE_CLOSE_FORGOTTEN + 1;
  EXPECT_TRUE(refused(bytes_of(bad, WIRE_CONN_CLOSED)));
}

TEST(WireDecoder, TransferWithHeadAndTail) {
  const Bytes bytes = bytes_of(transfer(5, 3, 5000), WIRE_TRANSFER, "firstend");
  const auto seen = decoded<Transfer>(bytes);
  EXPECT_EQ(seen.connection, 9u);
  EXPECT_EQ(seen.direction, Direction::sent);
  EXPECT_EQ(seen.cut, Transfer::Cut::transfer_limit);
  EXPECT_EQ(seen.pid, 100);
  EXPECT_EQ(seen.tid, 102);
  EXPECT_EQ(seen.position, 1000u);
  EXPECT_EQ(seen.sequence, 12u);
  EXPECT_EQ(seen.length, 5000u);
  EXPECT_EQ(seen.begin, time_from_ns(6'000));
  EXPECT_EQ(seen.end, time_from_ns(7'000));
  EXPECT_EQ(seen.head, "first");
  EXPECT_EQ(seen.tail, "end");
}

TEST(WireDecoder, TransferSizesAreChecked) {
  EXPECT_FALSE(refused(bytes_of(transfer(8, 0, 8), WIRE_TRANSFER, "12345678")));
  EXPECT_TRUE(refused(bytes_of(transfer(9, 0, 9), WIRE_TRANSFER, "12345678"))) << "head beyond the record";
  EXPECT_TRUE(refused(bytes_of(transfer(4, 5, 9), WIRE_TRANSFER, "12345678"))) << "tail beyond the record";
  EXPECT_TRUE(refused(bytes_of(transfer(0xffffffff, 9, 1ull << 40), WIRE_TRANSFER, "12345678"))) << "sum wraps";
  EXPECT_TRUE(refused(bytes_of(transfer(4, 0xfffffffc, 1ull << 40), WIRE_TRANSFER, "12345678")));
  EXPECT_TRUE(refused(bytes_of(transfer(4, 4, 7), WIRE_TRANSFER, "12345678"))) << "more content than length";
}

TEST(WireDecoder, TransferOfBadEnumerationIsRefused) {
  auto record = transfer(0, 0, 5);
  record.direction = 2;
  EXPECT_TRUE(refused(bytes_of(record, WIRE_TRANSFER)));
  record = transfer(0, 0, 5);
  record.cut = WIRE_CUT_FAULT + 1;
  EXPECT_TRUE(refused(bytes_of(record, WIRE_TRANSFER)));
}

TEST(WireDecoder, ThreadRun) {
  const Bytes bytes = bytes_of(thread_run(), WIRE_THREAD_RUN);
  const auto run = decoded<ThreadRun>(bytes);
  EXPECT_EQ(run.pid, 100);
  EXPECT_EQ(run.tid, 103);
  EXPECT_EQ(run.ending, ThreadRun::Ending::woke);
  EXPECT_EQ(run.wait, ThreadRun::Wait::poll);
  EXPECT_EQ(run.slept, time_from_ns(1'000));
  EXPECT_EQ(run.woken, time_from_ns(2'000));
  EXPECT_EQ(run.begin, time_from_ns(2'500));
  EXPECT_EQ(run.end, time_from_ns(6'500));
  EXPECT_EQ(run.ran, Duration{3'000});
  EXPECT_EQ(run.delayed, Duration{700});
  EXPECT_EQ(run.slept_in_between, Duration{800});
  EXPECT_EQ(run.sleeps, 2u);
  EXPECT_EQ(run.preemptions, 3u);
  EXPECT_EQ(run.migrations, 4u);
  EXPECT_EQ(run.waker_pid, 200);
  EXPECT_EQ(run.waker_tid, 201);
  EXPECT_EQ(run.minor_faults, 5u);
  EXPECT_EQ(run.major_faults, 6u);
  ASSERT_TRUE(run.longest_delay);
  EXPECT_EQ(run.longest_delay->begin, time_from_ns(3'000));
  EXPECT_EQ(run.longest_delay->end, time_from_ns(3'600));
  EXPECT_EQ(run.longest_delay->culprit, 300);
  EXPECT_EQ(run.longest_delay->culprit_name, "stress");
  EXPECT_EQ(time_of(bytes), time_from_ns(7'000));
}

TEST(WireDecoder, ThreadRunOfOddContent) {
  auto run = thread_run();
  run.delay_begin_ns = run.delay_end_ns = 0;
  EXPECT_FALSE(decoded<ThreadRun>(bytes_of(run, WIRE_THREAD_RUN)).longest_delay);
  run = thread_run();
  std::memset(run.culprit_name, 'x', sizeof(run.culprit_name));
  const Bytes unterminated = bytes_of(run, WIRE_THREAD_RUN);
  EXPECT_EQ(decoded<ThreadRun>(unterminated).longest_delay->culprit_name, std::string(WIRE_NAME_MAX, 'x'));
  run = thread_run();
  run.ending = WIRE_RUN_EXITED + 1;
  EXPECT_TRUE(refused(bytes_of(run, WIRE_THREAD_RUN)));
  run = thread_run();
  run.wait = WIRE_WAIT_OTHER + 1;
  EXPECT_TRUE(refused(bytes_of(run, WIRE_THREAD_RUN)));
  EXPECT_FALSE(time_of(Bytes(sizeof(wire_header) - 1)));
}

TEST(WireDecoder, StallsAndRetransmits) {
  wire_send_stall stall{};
  stall.conn = 9;
  stall.begin_ns = 5'000;
  stall.tgid = 100;
  const auto stalled = decoded<SendStall>(bytes_of(stall, WIRE_SEND_STALL));
  EXPECT_EQ(stalled.connection, 9u);
  EXPECT_EQ(stalled.pid, 100);
  EXPECT_EQ(stalled.begin, time_from_ns(5'000));
  EXPECT_EQ(stalled.end, time_from_ns(7'000));
  wire_retransmit again{};
  again.conn = 9;
  again.tgid = 100;
  const auto retransmit = decoded<Retransmit>(bytes_of(again, WIRE_RETRANSMIT));
  EXPECT_EQ(retransmit.connection, 9u);
  EXPECT_EQ(retransmit.pid, 100);
}

TEST(WireDecoder, Reclaim) {
  wire_reclaim record{};
  record.begin_ns = 5'000;
  record.pages = 32;
  record.tgid = 100;
  record.tid = 101;
  record.of_cgroup = 1;
  const auto reclaim = decoded<MemoryReclaim>(bytes_of(record, WIRE_RECLAIM));
  EXPECT_EQ(reclaim.pid, 100);
  EXPECT_EQ(reclaim.tid, 101);
  EXPECT_TRUE(reclaim.of_cgroup);
  EXPECT_EQ(reclaim.begin, time_from_ns(5'000));
  EXPECT_EQ(reclaim.end, time_from_ns(7'000));
  EXPECT_EQ(reclaim.pages, 32u);
}

TEST(WireDecoder, HeaderIsChecked) {
  const Bytes good = bytes_of(wire_process{{}, 1, 0, 0, 0}, WIRE_PROCESS_EXEC);
  ASSERT_FALSE(refused(good));
  const auto with = [&good](auto change) {
    Bytes bytes = good;
    wire_header header{};
    std::memcpy(&header, bytes.data(), sizeof(header));
    change(header);
    std::memcpy(bytes.data(), &header, sizeof(header));
    return bytes;
  };
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused(with([](wire_header& header) { header.version = WIRE_VERSION + 1; })));
  EXPECT_TRUE(refused(with([](wire_header& header) { header.kind = 0; })));
  EXPECT_TRUE(refused(with([](wire_header& header) { header.kind = WIRE_RECLAIM + 1; })));
  EXPECT_TRUE(refused(with([](wire_header& header) { header.size += 1; }))) << "larger than the record";
  EXPECT_TRUE(refused(with([](wire_header& header) { header.size = sizeof(wire_header) - 1; })));
  EXPECT_TRUE(refused(with([](wire_header& header) { header.size -= 1; }))) << "too small for its kind";
  // The ring rounds records up to eight bytes: what stands behind the record's own size is none of it.
  Bytes padded = bytes_of(transfer(2, 2, 4), WIRE_TRANSFER, "abcd");
  padded.resize(padded.size() + 4, std::byte{'!'});
  EXPECT_EQ(decoded<Transfer>(padded).tail, "cd");
}

TEST(WireDecoder, EveryRecordCutAnywhereIsRefused) {
  const Bytes records[] = {bytes_of(wire_process{}, WIRE_PROCESS_FORK),
                           bytes_of(wire_process{}, WIRE_PROCESS_EXIT),
                           bytes_of(wire_found{}, WIRE_TARGET_FOUND),
                           bytes_of(inet_open(), WIRE_CONN_OPEN),
                           bytes_of(wire_conn_half_closed{}, WIRE_CONN_HALF_CLOSED),
                           bytes_of(wire_conn_closed{}, WIRE_CONN_CLOSED),
                           bytes_of(transfer(3, 1, 9), WIRE_TRANSFER, "abcd"),
                           bytes_of(thread_run(), WIRE_THREAD_RUN),
                           bytes_of(wire_send_stall{}, WIRE_SEND_STALL),
                           bytes_of(wire_retransmit{}, WIRE_RETRANSMIT),
                           bytes_of(wire_reclaim{}, WIRE_RECLAIM)};
  for (const Bytes& record : records) {
    ASSERT_FALSE(refused(record));
    for (std::size_t size = 0; size < record.size(); ++size) {
      Bytes cut(record.begin(), record.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_TRUE(refused(cut)) << size;
      if (size < sizeof(wire_header)) continue;
      const auto claimed = static_cast<__u32>(size);  // and one that says so itself
      std::memcpy(cut.data() + offsetof(wire_header, size), &claimed, sizeof(claimed));
      EXPECT_TRUE(refused(cut)) << size;
    }
  }
}

}  // namespace
}  // namespace inferscope::source
