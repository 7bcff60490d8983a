// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "tests/support/sockets.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

/// Sends a descriptor over a unix socket.
void pass(int channel, int fd) {
  char byte = 'f';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  REQUIRE_OR_EXIT(sendmsg(channel, &message, 0) == 1);
}

int take(int channel) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  REQUIRE_OR_EXIT(recvmsg(channel, &message, 0) == 1);
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
  return fd;
}

TEST(ConnectionBpf, OpenBeforeItWasWatched) {
  TracedProcess traced;
  const auto pair = tcp_pair();
  traced.run([&pair] {
    send_all(pair.client, "later");
    receive_exactly(pair.server, 5);
  });
  ASSERT_EQ(traced.status(), 0);
  const auto opened = traced.all<ConnectionOpened>();
  ASSERT_EQ(opened.size(), 2u);
  for (const ConnectionOpened* one : opened) {
    EXPECT_EQ(one->connection.role, Role::unknown);
    EXPECT_TRUE(one->connection.mid_stream);
    EXPECT_EQ(one->connection.local.address, "127.0.0.1");
    EXPECT_NE(one->connection.remote.port, 0);
  }
  EXPECT_EQ(traced.content(Direction::received), "later");
  EXPECT_EQ(traced.transfers(Direction::sent).at(0)->position, 0u);
  close(pair.client);
  close(pair.server);
  close(pair.listener);
}

TEST(ConnectionBpf, ProcessThatEndsWithoutClosing) {
  TracedProcess traced;
  const auto expect_closed_by_exit = [&traced](std::uint64_t bytes) {
    ASSERT_EQ(traced.status(), 0);
    const auto closed = traced.all<ConnectionClosed>();
    ASSERT_EQ(closed.size(), 2u);
    for (const ConnectionClosed* one : closed) {
      EXPECT_EQ(one->reason, ConnectionClosed::Reason::process_exited);
      EXPECT_EQ(one->received_bytes + one->sent_bytes, bytes);
      EXPECT_EQ(one->received_transfers + one->sent_transfers, 1u);
    }
    ASSERT_EQ(traced.all<ProcessExited>().size(), 1u);
  };
  traced.run([] {
    const auto pair = tcp_pair();
    send_all(pair.client, "tcp");
    receive_exactly(pair.server, 3);
  });
  expect_closed_by_exit(3);
  traced.forget();
  traced.run([] {
    int ends[2];
    REQUIRE_OR_EXIT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    send_all(ends[0], "unix");
    receive_exactly(ends[1], 4);
  });
  expect_closed_by_exit(4);
}

TEST(ConnectionBpf, PassedAndInheritedDescriptorsAreTheSameConnection) {
  TracedProcess traced;
  traced.run([] {
    int channel[2];
    REQUIRE_OR_EXIT(socketpair(AF_UNIX, SOCK_DGRAM, 0, channel) == 0);
    const pid_t taker = fork();
    if (taker == 0) {
      const int fd = take(channel[1]);
      send_all(fd, "passed");
      _exit(0);
    }
    const auto pair = tcp_pair();
    send_all(pair.client, "own");
    pass(channel[0], pair.client);
    int status = 0;
    REQUIRE_OR_EXIT(waitpid(taker, &status, 0) == taker && status == 0);
    const pid_t heir = fork();
    if (heir == 0) {
      send_all(pair.client, "inherited");
      _exit(0);
    }
    REQUIRE_OR_EXIT(waitpid(heir, &status, 0) == heir && status == 0);
    receive_exactly(pair.server, 18);
  });
  ASSERT_EQ(traced.status(), 0);
  const auto sent = traced.transfers(Direction::sent);
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(traced.content(Direction::sent), "ownpassedinherited");
  const std::uint64_t positions[] = {0, 3, 9};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(sent[i]->connection, sent[0]->connection);
    EXPECT_EQ(sent[i]->position, positions[i]);
    EXPECT_EQ(sent[i]->sequence, i);
  }
  EXPECT_EQ(sent[0]->pid, traced.child());
  EXPECT_NE(sent[1]->pid, traced.child());
  EXPECT_NE(sent[2]->pid, sent[1]->pid);
}

TEST(ConnectionBpf, ManyThreadsOnManyConnectionsAddUp) {
  source::LiveOptions options;
  options.event_ring_bytes = 64u << 20;
  TracedProcess traced(options);
  constexpr std::size_t threads = 8;
  constexpr std::size_t rounds = 300;
  traced.run([] {
    std::vector<std::thread> workers;
    for (std::size_t t = 0; t < threads; ++t)
      workers.emplace_back([t] {
        const auto pair = tcp_pair();
        const std::string text(100 + t, 'x');
        for (std::size_t i = 0; i < rounds; ++i) {
          send_all(pair.client, std::string_view(text).substr(0, 1 + i % text.size()));
          receive_exactly(pair.server, 1 + i % text.size());
        }
        close(pair.client);
        close(pair.server);
      });
    for (auto& worker : workers) worker.join();
  });
  ASSERT_EQ(traced.status(), 0);
  struct Side {
    std::uint64_t position = 0;
    std::uint64_t sequence = 0;
  };
  std::map<std::pair<ConnectionId, Direction>, Side> sides;
  for (const Transfer* transfer : traced.all<Transfer>()) {
    Side& side = sides[{transfer->connection, transfer->direction}];
    EXPECT_EQ(transfer->position, side.position);
    EXPECT_EQ(transfer->sequence, side.sequence);
    EXPECT_EQ(transfer->head.size(), transfer->length);
    side.position += transfer->length;
    ++side.sequence;
  }
  const auto closed = traced.all<ConnectionClosed>();
  ASSERT_EQ(closed.size(), 2 * threads);
  for (const ConnectionClosed* one : closed) {
    const Side& in = sides[{one->id, Direction::received}];
    const Side& out = sides[{one->id, Direction::sent}];
    EXPECT_EQ(one->received_bytes, in.position);
    EXPECT_EQ(one->sent_bytes, out.position);
    EXPECT_EQ(one->received_transfers, in.sequence);
    EXPECT_EQ(one->sent_transfers, out.sequence);
  }
  const auto counters = traced.source().counters();
  EXPECT_EQ(counters.transfers_lost, 0u);
  EXPECT_EQ(counters.transfers, traced.all<Transfer>().size());
  EXPECT_EQ(counters.transfers, counters.transfers_passed);
  EXPECT_GE(counters.transfers, 2 * threads * rounds);
  EXPECT_EQ(counters.transfers_without_connection + counters.calls_full + counters.controls_lost +
                counters.records_refused + counters.content_faults,
            0u);
}

}  // namespace
}  // namespace inferscope::test
