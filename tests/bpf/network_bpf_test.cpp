// SPDX-License-Identifier: Apache-2.0
// What peers and networks do to who sends.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "tests/support/sockets.h"
#include "tests/support/thread_runs.h"

namespace inferscope::test {
namespace {

using namespace std::chrono_literals;

/// Sends until there is no room, and also none a while later; returns how much.
std::size_t fill(int fd) {
  const std::string much(65536, 'x');
  std::size_t sent = 0;
  for (int refused = 0; refused < 2;) {
    const ssize_t size = send(fd, much.data(), much.size(), MSG_DONTWAIT);
    REQUIRE_OR_EXIT(size > 0 || errno == EAGAIN);
    refused = size > 0 ? 0 : refused + 1;
    sent += size > 0 ? static_cast<std::size_t>(size) : 0;
    if (refused == 1) usleep(20000);
  }
  return sent;
}

TEST(NetworkBpf, ASendThatIsRefusedAndThenIsNot) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    receive_exactly(pair.server, fill(pair.client));
    send_all(pair.client, "x");
    fill(pair.client);
    close(pair.client);
  });
  ASSERT_EQ(traced.status(), 0);
  const auto stalls = traced.all<SendStall>();
  ASSERT_GE(stalls.size(), 2u) << "the kernel may find more room meanwhile";
  const auto opened = traced.all<ConnectionOpened>();
  ASSERT_FALSE(opened.empty());
  for (const SendStall* stall : stalls) {
    EXPECT_EQ(stall->connection, opened[0]->connection.id);
    EXPECT_EQ(stall->pid, traced.child());
  }
  EXPECT_GE(stalls.back()->end - stalls.back()->begin, 20ms) << "until it is closed";
  EXPECT_GE(stalls[stalls.size() - 2]->end - stalls[stalls.size() - 2]->begin, 20ms) << "from the first refusal on";
  for (std::size_t i = 1; i < stalls.size(); ++i) EXPECT_GE(stalls[i]->begin, stalls[i - 1]->end);
}

TEST(NetworkBpf, WhoWaitsForRoomIsSeenToWait) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    std::thread reader([&] {
      usleep(300000);
      receive_exactly(pair.server, 16u << 20);
    });
    send_all(pair.client, std::string(16u << 20, 'x'));
    reader.join();
  });
  ASSERT_EQ(traced.status(), 0);
  EXPECT_TRUE(traced.all<SendStall>().empty()) << "nothing was refused";
  Duration waited{};
  for (const ThreadRun* run : runs_of(traced, traced.child()))
    if (run->wait == ThreadRun::Wait::send) waited += run->woken - run->slept;
  EXPECT_GT(waited, 20ms);
}

TEST(NetworkBpf, ARefusedReceiveIsNoStall) {
  TracedProcess traced;
  traced.run([] {
    const auto pair = tcp_pair();
    char byte = 0;
    REQUIRE_OR_EXIT(recv(pair.server, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    usleep(5000);
    send_all(pair.server, "x");
  });
  ASSERT_EQ(traced.status(), 0);
  EXPECT_TRUE(traced.all<SendStall>().empty());
}

TEST(NetworkBpf, WhatIsSentAgain) {
  TracedProcess traced;
  traced.run([] {
    std::uint16_t port = 0;
    const int listener = listen_tcp(AF_INET, &port);
    REQUIRE_OR_EXIT(listen(listener, 0) == 0);
    sockaddr_in address{
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    for (int i = 0; i < 4; ++i) {  // nobody accepts them, so the last are not even answered
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      REQUIRE_OR_EXIT(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 || errno == EINPROGRESS);
    }
    usleep(1300000);
  });
  ASSERT_EQ(traced.status(), 0);
  const auto again = traced.all<Retransmit>();
  ASSERT_FALSE(again.empty());
  const auto opened = traced.all<ConnectionOpened>();
  for (const Retransmit* one : again) {
    EXPECT_EQ(one->pid, traced.child());
    EXPECT_TRUE(std::any_of(opened.begin(), opened.end(), [one](const ConnectionOpened* connection) {
      return connection->connection.id == one->connection;
    }));
  }
}

}  // namespace
}  // namespace inferscope::test
