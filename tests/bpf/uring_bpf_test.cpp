// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <liburing.h>

#include "tests/support/sockets.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

/// Submits what `prepare` fills in and waits for its result.
int complete(io_uring& ring, const std::function<void(io_uring_sqe*)>& prepare) {
  prepare(io_uring_get_sqe(&ring));
  io_uring_cqe* done = nullptr;
  REQUIRE_OR_EXIT(io_uring_submit(&ring) == 1);
  REQUIRE_OR_EXIT(io_uring_wait_cqe(&ring, &done) == 0);
  const int result = done->res;
  io_uring_cqe_seen(&ring, done);
  return result;
}

TEST(UringBpf, TransfersAreCountedAndPositionsStayRight) {
  io_uring probe{};
  if (const int error = io_uring_queue_init(4, &probe, 0); error != 0)
    GTEST_SKIP() << "io_uring is switched off in this kernel: " << strerror(-error);
  io_uring_queue_exit(&probe);
  TracedProcess traced;
  traced.run([] {
    io_uring ring{};
    REQUIRE_OR_EXIT(io_uring_queue_init(8, &ring, 0) == 0);
    const auto pair = tcp_pair();
    char buffer[64];
    send_all(pair.client, "abc");
    receive_exactly(pair.server, 3);
    REQUIRE_OR_EXIT(
        complete(ring, [&](io_uring_sqe* entry) { io_uring_prep_send(entry, pair.client, "defgh", 5, 0); }) == 5);
    REQUIRE_OR_EXIT(complete(ring, [&](io_uring_sqe* entry) {
                      io_uring_prep_recv(entry, pair.server, buffer, sizeof(buffer), 0);
                    }) == 5);
    send_all(pair.client, "ij");
    receive_exactly(pair.server, 2);
  });
  ASSERT_EQ(traced.status(), 0);
  EXPECT_EQ(traced.source().counters().uring_transfers, 2u);
  for (const Direction direction : {Direction::sent, Direction::received}) {
    const auto transfers = traced.transfers(direction);
    ASSERT_EQ(transfers.size(), 3u);
    const std::uint64_t positions[] = {0, 3, 8}, lengths[] = {3, 5, 2};
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(transfers[i]->connection, transfers[0]->connection);
      EXPECT_EQ(transfers[i]->position, positions[i]);
      EXPECT_EQ(transfers[i]->sequence, i);
      EXPECT_EQ(transfers[i]->length, lengths[i]);
      EXPECT_EQ(transfers[i]->cut, i == 1 ? Transfer::Cut::unreadable : Transfer::Cut::none);
    }
    EXPECT_EQ(traced.content(direction), "abcij");
  }
}

}  // namespace
}  // namespace inferscope::test
