// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <array>
#include <thread>

#include "tests/support/sockets.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

iovec part(const char* text) {
  return {const_cast<char*>(text), std::strlen(text)};
}

TEST(SocketBpf, AllCapabilitiesAreActiveOnThisKernel) {
  TracedProcess traced;
  for (const auto& capability : traced.source().capabilities()) {
    if (!capability.needed) continue;
    EXPECT_TRUE(capability.active) << capability.name << ": " << capability.problem;
    EXPECT_EQ(capability.problem, "") << capability.name;
  }
}

TEST(SocketBpf, SendAndReceiveOverTcp4) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    send_all(pair.client, "hello");
    receive_exactly(pair.server, 5);
    send_all(pair.server, "goodbye");
    receive_exactly(pair.client, 7);
    close(pair.client);
    close(pair.server);
  });
  ASSERT_EQ(traced.status(), 0);

  const auto opened = traced.all<ConnectionOpened>();
  ASSERT_EQ(opened.size(), 2u);
  const Connection& client = opened[0]->connection;
  const Connection& server = opened[1]->connection;
  EXPECT_EQ(client.role, Role::client);
  EXPECT_EQ(server.role, Role::server);
  EXPECT_EQ(client.local, server.remote);
  EXPECT_EQ(client.remote, server.local);
  EXPECT_EQ(client.local.address, "127.0.0.1");
  EXPECT_EQ(client.pid, traced.child());
  EXPECT_FALSE(client.mid_stream);

  const auto sent = traced.transfers(Direction::sent);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0]->connection, client.id);
  EXPECT_EQ(sent[0]->head, "hello");
  EXPECT_EQ(sent[1]->head, "goodbye");
  EXPECT_LE(sent[0]->begin, sent[0]->end);
  const auto received = traced.transfers(Direction::received);
  ASSERT_EQ(received.size(), 2u);
  EXPECT_EQ(received[0]->connection, server.id);
  EXPECT_EQ(received[0]->head, "hello");
  EXPECT_GE(received[0]->end, sent[0]->begin);

  const auto closed = traced.all<ConnectionClosed>();
  ASSERT_EQ(closed.size(), 2u);
  for (const auto* one : closed) {
    EXPECT_EQ(one->reason, ConnectionClosed::Reason::closed);
    EXPECT_EQ(one->received_bytes + one->sent_bytes, 12u);
    EXPECT_EQ(one->received_transfers + one->sent_transfers, 2u);
  }
  const auto exits = traced.all<ProcessExited>();
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0]->exit_code, 0);
}

TEST(SocketBpf, EventsComeInOrderOfTime) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    for (int i = 0; i < 500; ++i) {
      send_all(pair.client, "ping");
      receive_exactly(pair.server, 4);
    }
  });
  Time last{};
  for (const Seen& seen : traced.events()) {
    EXPECT_LE(last, seen.event.time);
    last = seen.event.time;
  }
  EXPECT_EQ(traced.transfers(Direction::sent).size(), 500u);
}

TEST(SocketBpf, Tcp6) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair(AF_INET6);
    send_all(pair.client, "six");
    receive_exactly(pair.server, 3);
  });
  const auto opened = traced.all<ConnectionOpened>();
  ASSERT_EQ(opened.size(), 2u);
  EXPECT_EQ(opened[0]->connection.remote.family, Family::ipv6);
  EXPECT_EQ(opened[0]->connection.remote.address, "::1");
  EXPECT_NE(opened[0]->connection.remote.port, 0);
  EXPECT_EQ(traced.content(Direction::received), "six");
}

TEST(SocketBpf, UnixStreamKnowsPathAndPeer) {
  const std::string path = "/tmp/inferscope-test-" + std::to_string(getpid()) + ".sock";
  TracedProcess traced;
  traced.run([&] {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_OR_EXIT(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE_OR_EXIT(listen(listener, 1) == 0);
    const int client = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_OR_EXIT(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    const int server = accept(listener, nullptr, nullptr);
    send_all(client, "over unix");
    receive_exactly(server, 9);
    close(client);
    char byte = 0;
    REQUIRE_OR_EXIT(read(server, &byte, 1) == 0);
    close(server);
  });
  unlink(path.c_str());
  ASSERT_EQ(traced.status(), 0);
  const auto opened = traced.all<ConnectionOpened>();
  ASSERT_EQ(opened.size(), 2u);
  const Connection& client = opened[0]->connection;
  const Connection& server = opened[1]->connection;
  EXPECT_EQ(client.remote.address, path);
  EXPECT_EQ(server.local.address, path);
  EXPECT_EQ(server.peer_inode, client.socket_inode);
  EXPECT_EQ(traced.content(Direction::received), "over unix");
  const auto half = traced.all<ConnectionHalfClosed>();
  ASSERT_EQ(half.size(), 1u);
  EXPECT_EQ(half[0]->id, server.id);
  EXPECT_EQ(half[0]->direction, Direction::received);
  EXPECT_EQ(traced.all<ConnectionClosed>().size(), 2u);
}

/// Each system call that moves bytes: what it moves is seen with the right length and, where it can be, content.
struct CallCase {
  const char* name;
  std::string_view text;
  void (*send)(int fd);
  void (*receive)(int fd);
  bool sent_readable;
  bool received_readable;
};

void PrintTo(const CallCase& call, std::ostream* out) {
  *out << call.name;
}

class SocketCalls : public testing::TestWithParam<CallCase> {};

TEST_P(SocketCalls, AreSeen) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    GetParam().send(pair.client);
    GetParam().receive(pair.server);
  });
  ASSERT_EQ(traced.status(), 0);
  for (const Direction direction : {Direction::sent, Direction::received}) {
    const bool readable = direction == Direction::sent ? GetParam().sent_readable : GetParam().received_readable;
    std::uint64_t length = 0;
    for (const Transfer* transfer : traced.transfers(direction)) {
      EXPECT_EQ(transfer->position, length);
      EXPECT_EQ(transfer->cut, readable ? Transfer::Cut::none : Transfer::Cut::unreadable);
      length += transfer->length;
    }
    EXPECT_EQ(length, GetParam().text.size());
    EXPECT_EQ(traced.content(direction), readable ? GetParam().text : "");
  }
}

msghdr message_of(iovec* parts, std::size_t count) {
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  return message;
}

const CallCase call_cases[] = {
    {"read_write", "abcdef", [](int fd) { REQUIRE_OR_EXIT(write(fd, "abcdef", 6) == 6); },
     [](int fd) {
       char buffer[64];
       REQUIRE_OR_EXIT(read(fd, buffer, sizeof(buffer)) == 6);
     },
     true, true},
    {"readv_writev", "abcdef",
     [](int fd) {
       const iovec parts[] = {part("ab"), part("cde"), part("f")};
       REQUIRE_OR_EXIT(writev(fd, parts, 3) == 6);
     },
     [](int fd) {
       char one[4], two[60];
       const iovec parts[] = {{one, sizeof(one)}, {two, sizeof(two)}};
       REQUIRE_OR_EXIT(readv(fd, parts, 2) == 6);
     },
     true, true},
    {"recvmsg_sendmsg", "abcdef",
     [](int fd) {
       iovec parts[] = {part("abc"), part("def")};
       const msghdr message = message_of(parts, 2);
       REQUIRE_OR_EXIT(sendmsg(fd, &message, 0) == 6);
     },
     [](int fd) {
       char one[1], two[60];
       iovec parts[] = {{one, sizeof(one)}, {two, sizeof(two)}};
       msghdr message = message_of(parts, 2);
       REQUIRE_OR_EXIT(recvmsg(fd, &message, 0) == 6);
     },
     true, true},
    {"recvmmsg_sendmmsg", "abcdef",
     [](int fd) {
       iovec parts[] = {part("abc"), part("def")};
       mmsghdr messages[2]{};
       messages[0].msg_hdr = message_of(&parts[0], 1);
       messages[1].msg_hdr = message_of(&parts[1], 1);
       REQUIRE_OR_EXIT(sendmmsg(fd, messages, 2, 0) == 2);
     },
     [](int fd) {
       char buffer[64];
       iovec space{buffer, sizeof(buffer)};
       mmsghdr message{};
       message.msg_hdr = message_of(&space, 1);
       REQUIRE_OR_EXIT(recvmmsg(fd, &message, 1, 0, nullptr) == 1);
       REQUIRE_OR_EXIT(message.msg_len == 6);
     },
     true, true},
    {"peek_does_not_count", "abcdef", [](int fd) { send_all(fd, "abcdef"); },
     [](int fd) {
       char buffer[64];
       REQUIRE_OR_EXIT(recv(fd, buffer, sizeof(buffer), MSG_PEEK) == 6);
       receive_exactly(fd, 6);
     },
     true, true},
    {"sendfile_splice", "abcdef",
     [](int fd) {
       const int file = memfd_create("inferscope-test", MFD_CLOEXEC);
       REQUIRE_OR_EXIT(write(file, "abcdef", 6) == 6);
       off_t offset = 0;
       REQUIRE_OR_EXIT(sendfile(fd, file, &offset, 6) == 6);
     },
     [](int fd) {
       int ends[2];
       REQUIRE_OR_EXIT(pipe(ends) == 0);
       REQUIRE_OR_EXIT(splice(fd, nullptr, ends[1], nullptr, 64, 0) == 6);
     },
     false, false},
};

INSTANTIATE_TEST_SUITE_P(Each, SocketCalls, testing::ValuesIn(call_cases),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(SocketBpf, DupAndInheritanceAreTheSameConnection) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    const int copy = dup(pair.client);
    send_all(pair.client, "one");
    close(pair.client);
    send_all(copy, "two");
    const pid_t child = fork();
    if (child == 0) {
      send_all(copy, "three");
      _exit(0);
    }
    REQUIRE_OR_EXIT(waitpid(child, nullptr, 0) == child);
    receive_exactly(pair.server, 11);
  });
  ASSERT_EQ(traced.status(), 0);
  const auto sent = traced.transfers(Direction::sent);
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0]->connection, sent[1]->connection);
  EXPECT_EQ(sent[1]->connection, sent[2]->connection);
  EXPECT_EQ(sent[2]->position, 6u);
  EXPECT_NE(sent[2]->pid, traced.child());
  EXPECT_EQ(traced.all<ConnectionOpened>().size(), 2u);
}

TEST(SocketBpf, NonBlockingConnectIsAClient) {
  TracedProcess traced;
  traced.run([] {
    std::uint16_t port = 0;
    const int listener = listen_tcp(AF_INET, &port);
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const sockaddr_in address{
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    (void)connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    const int server = accept(listener, nullptr, nullptr);
    send_all(server, "x");
    close(server);
  });
  const auto opened = traced.all<ConnectionOpened>();
  ASSERT_EQ(opened.size(), 2u);
  EXPECT_EQ(opened[0]->connection.role, Role::client);
  EXPECT_NE(opened[0]->connection.local.port, 0);
}

TEST(SocketBpf, ResetIsToldFromClose) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    send_all(pair.client, "x");
    const linger reset{.l_onoff = 1, .l_linger = 0};
    setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(pair.client);
    char byte = 0;
    (void)!read(pair.server, &byte, 1);
    (void)!read(pair.server, &byte, 1);
    close(pair.server);
  });
  const auto closed = traced.all<ConnectionClosed>();
  ASSERT_EQ(closed.size(), 2u);
  EXPECT_EQ(closed[1]->reason, ConnectionClosed::Reason::reset);
}

TEST(SocketBpf, ShutdownEndsOneDirection) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    shutdown(pair.client, SHUT_WR);
    send_all(pair.server, "still here");
    receive_exactly(pair.client, 10);
  });
  const auto half = traced.all<ConnectionHalfClosed>();
  ASSERT_EQ(half.size(), 2u);
  EXPECT_EQ(half[0]->direction, Direction::sent);
  EXPECT_EQ(half[1]->direction, Direction::received);
  EXPECT_EQ(traced.content(Direction::received), "still here");
}

TEST(SocketBpf, LongTransferKeepsHeadAndTail) {
  source::LiveOptions options;
  options.transfer_head_bytes = 1000;
  options.transfer_tail_bytes = 100;
  TracedProcess traced(options);
  traced.run([] {
    const auto pair = tcp_pair();
    std::string text(20000, 'm');
    text.replace(0, 5, "BEGIN");
    text.replace(text.size() - 3, 3, "END");
    REQUIRE_OR_EXIT(write(pair.client, text.data(), text.size()) == 20000);
    iovec parts[] = {{text.data(), 10000}, {text.data() + 10000, 10000}};
    REQUIRE_OR_EXIT(writev(pair.client, parts, 2) == 20000);
  });
  const auto sent = traced.transfers(Direction::sent);
  ASSERT_EQ(sent.size(), 2u);
  for (const Transfer* transfer : sent) {
    EXPECT_EQ(transfer->length, 20000u);
    EXPECT_EQ(transfer->cut, Transfer::Cut::transfer_limit);
    EXPECT_EQ(transfer->head.size(), 1000u);
    EXPECT_EQ(transfer->tail.size(), 100u);
    EXPECT_TRUE(transfer->head.starts_with("BEGIN"));
    EXPECT_TRUE(transfer->tail.ends_with("END"));
  }
  EXPECT_EQ(sent[1]->position, 20000u);
}

TEST(SocketBpf, BudgetOfAConnectionIsPerMessage) {
  source::LiveOptions options;
  options.message_budget_bytes = 250;
  TracedProcess traced(options);
  traced.run([] {
    const auto pair = tcp_pair();
    const std::string text(100, 'x');
    for (int i = 0; i < 5; ++i) send_all(pair.client, text);
    receive_exactly(pair.server, 500);
    send_all(pair.server, "answer");
    receive_exactly(pair.client, 6);
    send_all(pair.client, text);
  });
  const auto sent = traced.transfers(Direction::sent);
  ASSERT_EQ(sent.size(), 7u);
  EXPECT_EQ(sent[2]->cut, Transfer::Cut::none);
  EXPECT_EQ(sent[3]->cut, Transfer::Cut::connection_limit);
  EXPECT_EQ(sent[3]->length, 100u);
  EXPECT_EQ(sent[4]->position, 400u);
  EXPECT_EQ(sent[6]->cut, Transfer::Cut::none);
}

TEST(SocketBpf, UnwatchedProcessIsInvisible) {
  TracedProcess traced;
  traced.run(
      [] {
        const auto pair = tcp_pair();
        send_all(pair.client, "secret");
        receive_exactly(pair.server, 6);
      },
      TracedProcess::Treatment::unknown);
  EXPECT_TRUE(traced.all<Transfer>().empty());
  EXPECT_TRUE(traced.all<ConnectionOpened>().empty());
}

TEST(SocketBpf, NothingIsLostSilentlyWhenTheRingIsTooSmall) {
  source::LiveOptions options;
  options.event_ring_bytes = 4096;
  TracedProcess traced(options);
  constexpr std::uint64_t rounds = 20000;
  traced.each_turn([] { usleep(10'000); });  // whoever is slow to read loses some
  traced.run([] {
    const auto pair = tcp_pair();
    for (std::uint64_t i = 0; i < rounds; ++i) {
      send_all(pair.client, "0123456789012345678901234567890123456789");
      receive_exactly(pair.server, 40);
    }
    close(pair.client);
    close(pair.server);
  });
  ASSERT_EQ(traced.status(), 0);
  const auto counters = traced.source().counters();
  EXPECT_EQ(counters.transfers, 2 * rounds);
  EXPECT_EQ(counters.transfers, counters.transfers_passed + counters.transfers_lost);
  EXPECT_GT(counters.transfers_lost, 0u);
  EXPECT_EQ(counters.controls_lost, 0u);
  EXPECT_EQ(traced.all<Transfer>().size(), counters.transfers_passed);
  // What is missing can be told for each connection and direction from sequence and position alone.
  std::uint64_t missing = 0;
  for (const ConnectionClosed* closed : traced.all<ConnectionClosed>()) {
    std::uint64_t seen = 0;
    for (const Transfer* transfer : traced.all<Transfer>()) {
      if (transfer->connection != closed->id) continue;
      EXPECT_EQ(transfer->position, transfer->sequence * 40);
      ++seen;
    }
    missing += closed->received_transfers + closed->sent_transfers - seen;
  }
  EXPECT_EQ(missing, counters.transfers_lost);
}

}  // namespace
}  // namespace inferscope::test
