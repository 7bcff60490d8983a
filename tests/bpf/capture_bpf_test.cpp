// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/sockets.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

/// The child goes on when the test lets it: a pipe, which the probes do not see.
class Gate {
 public:
  Gate() { REQUIRE_OR_EXIT(pipe(ends_) == 0); }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() {
    close(ends_[0]);
    close(ends_[1]);
  }
  void pass() const {
    char byte = 0;
    REQUIRE_OR_EXIT(read(ends_[0], &byte, 1) == 1);
  }
  void open() {
    if (std::exchange(opened_, true)) return;
    ASSERT_EQ(write(ends_[1], "x", 1), 1);
  }

 private:
  int ends_[2]{};
  bool opened_ = false;
};

/// Sends `before`, waits, and sends so many pieces of so many bytes; the test acts on the connection in between.
std::vector<const Transfer*> sent_around(TracedProcess& traced, const std::string& before, std::size_t pieces,
                                         std::size_t size, const std::function<void(ConnectionId)>& act) {
  Gate gate;
  bool acted = false;
  traced.forget();
  traced.each_turn([&] {
    const auto sent = traced.transfers(Direction::sent);
    if (acted || sent.empty()) return;
    acted = true;
    act(sent[0]->connection);
    gate.open();
  });
  traced.run([&] {
    const auto pair = tcp_pair();
    send_all(pair.client, before);
    gate.pass();
    for (std::size_t i = 0; i < pieces; ++i) send_all(pair.client, std::string(size, 'p'));
  });
  EXPECT_EQ(traced.status(), 0);
  return traced.transfers(Direction::sent);
}

TEST(CaptureBpf, StopPayload) {
  TracedProcess traced;
  const auto sent = sent_around(traced, "first", 40, 10, [&](ConnectionId id) { traced.source().stop_payload(id); });
  ASSERT_EQ(sent.size(), 41u);
  EXPECT_EQ(sent[0]->cut, Transfer::Cut::none);
  for (const Transfer* transfer : sent) {
    if (transfer->sequence < 16) continue;  // wishes are looked up now and then
    EXPECT_EQ(transfer->cut, Transfer::Cut::switched_off) << transfer->sequence;
    EXPECT_EQ(transfer->head, "");
    EXPECT_EQ(transfer->length, 10u) << "lengths go on";
    EXPECT_EQ(transfer->position, 5 + 10 * (transfer->sequence - 1));
  }
  // Another connection is none of it.
  const auto other = sent_around(traced, "first", 40, 10, [](ConnectionId) {});
  ASSERT_EQ(other.size(), 41u);
  for (const Transfer* transfer : other) EXPECT_EQ(transfer->cut, Transfer::Cut::none);
  traced.source().stop_payload(0xdead);  // nobody's: no harm
}

TEST(CaptureBpf, CaptureFromAPosition) {
  source::LiveOptions options;
  options.message_budget_bytes = 150;
  TracedProcess traced(options);
  const auto sent = sent_around(traced, std::string(100, 'b'), 20, 100,
                                [&](ConnectionId id) { traced.source().capture_from(id, Direction::sent, 1000); });
  ASSERT_EQ(sent.size(), 21u);
  for (const Transfer* transfer : sent) {
    const bool within_budget = transfer->position < 200;
    const bool asked_for = transfer->position + transfer->length > 1000;
    EXPECT_EQ(transfer->cut, within_budget || asked_for ? Transfer::Cut::none : Transfer::Cut::connection_limit)
        << transfer->position;
    EXPECT_EQ(transfer->head.size(), within_budget || asked_for ? 100u : 0u) << transfer->position;
  }
}

/// A stream of tokens that lasts is captured to its end: the budget of a message is one of each of its seconds.
TEST(CaptureBpf, TheBudgetRenewsEachSecondOfALongMessage) {
  source::LiveOptions options;
  options.message_budget_bytes = 250;
  TracedProcess traced(options);
  traced.run([&] {
    const auto pair = tcp_pair();
    for (int second = 0; second < 3; ++second) {
      for (int i = 0; i < 5; ++i) send_all(pair.client, std::string(100, 'p'));
      usleep(1'100'000);
    }
  });
  const auto sent = traced.transfers(Direction::sent);
  ASSERT_EQ(sent.size(), 15u);
  for (std::size_t i = 0; i < sent.size(); ++i)
    EXPECT_EQ(sent[i]->cut, i % 5 < 3 ? Transfer::Cut::none : Transfer::Cut::connection_limit) << i;
}

TEST(CaptureBpf, LimitsChangeWhileItRuns) {
  TracedProcess traced;
  const auto sent = sent_around(traced, std::string(100, 'b'), 2, 100,
                                [&](ConnectionId) { EXPECT_TRUE(traced.source().set_limits(10, 5, 1u << 20)); });
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0]->head.size(), 100u);
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_EQ(sent[i]->cut, Transfer::Cut::transfer_limit);
    EXPECT_EQ(sent[i]->head.size(), 10u);
    EXPECT_EQ(sent[i]->tail.size(), 5u);
    EXPECT_EQ(sent[i]->length, 100u);
  }
  for (const auto& [head, tail] : {std::pair(16385u, 0u), std::pair(0u, 4097u)}) {
    const auto refused = traced.source().set_limits(head, tail, 1);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Error::Kind::usage);
  }
  EXPECT_TRUE(traced.source().set_limits(16384, 4096, 0));
  const auto nothing = sent_around(traced, "x", 2, 100, [](ConnectionId) {});
  ASSERT_EQ(nothing.size(), 3u);
  for (const Transfer* transfer : nothing) EXPECT_EQ(transfer->cut, Transfer::Cut::connection_limit);
}

}  // namespace
}  // namespace inferscope::test
