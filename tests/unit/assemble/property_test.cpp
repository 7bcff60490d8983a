// SPDX-License-Identifier: Apache-2.0
// What must hold for every division of a stream and for every loss.
#include <random>

#include "tests/unit/assemble/trial.h"

namespace inferscope::assemble {
namespace {

struct Turn {
  Direction direction;
  std::string bytes;
};
using Conversation = std::vector<Turn>;

const Direction in = Direction::received;
const Direction out = Direction::sent;

const std::vector<Conversation>& conversations() {
  static const std::vector<Conversation> all{
      {{in, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n{\"a\":\"b\\n\"}"},
       {out, sse_head + chunk("data: {\"x\":1}\n\n") + chunk("data: {\"y\":2}\r\n\r\n: c\n\ndata: z") +
                 chunk("\nevent: e\ndata: w\n\n") + "0\r\n\r\n"},
       {in, "GET /next HTTP/1.1\r\nA: b\r\n\r\n"},
       {out, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"}},
      {{in, "\r\nPOST / HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"},
       {out, "HTTP/1.1 100 Continue\r\n\r\n"},
       {in, "3;e=x\r\nabc\r\n1\r\nd\r\n0\r\nT: t\r\n\r\n"},
       {out, "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n" +
                 chunk("{\"a\":1}\n{\"b\"") + chunk(":2}\n\n{\"c\":3}") + "0\r\n\r\n"}},
      {{in, "GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\nX: 1\r\n 2\r\n\r\nGET /3 HTTP/1.0\r\n\r\n"},
       {out,
        "HTTP/1.1 200 OK\nContent-Length: 1\n\naHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        "HTTP/1.0 200 OK\r\n\r\nuntil the end"}},
      {{in, "POST /big HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"},
       {out, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"},
       {in, "cde"}},
      {{in, "GET /ws HTTP/1.1\r\nUpgrade: x\r\n\r\n"}, {out, "HTTP/1.1 101 Switching\r\n\r\nother words"}},
  };
  return all;
}

/// Each turn in transfers as `next_size` says.
template <class NextSize>
ExchangeLog play(const Conversation& conversation, Role role, NextSize next_size) {
  Script script;
  script.step(Duration::zero());
  auto stream = script.open({.role = role});
  for (const Turn& turn : conversation) {
    const Direction direction = role == Role::client ? opposite(turn.direction) : turn.direction;
    std::string_view rest = turn.bytes;
    while (!rest.empty()) {
      const std::size_t size = std::min(rest.size(), next_size());
      stream.transfer(direction, rest.substr(0, size));
      rest.remove_prefix(size);
    }
  }
  stream.half_closed(role == Role::client ? Direction::received : Direction::sent).closed();
  Trial run;
  run.feed(script).finish(script.now());
  EXPECT_GT(run.log.closed().size(), 0U);
  return run.log;
}

TEST(Property, EveryDivisionGivesTheSameUpdates) {
  std::mt19937 random(1);
  for (const Conversation& conversation : conversations()) {
    for (const Role role : {Role::server, Role::client, Role::unknown}) {
      const std::string expected = play(conversation, role, [] { return std::size_t{1} << 20; }).text();
      for (std::size_t step = 1; step < 200; ++step)
        ASSERT_EQ(play(conversation, role, [=] { return step; }).text(), expected) << "steps of " << step;
      for (int i = 0; i < 200; ++i)
        ASSERT_EQ(play(conversation, role, [&] { return std::size_t{1} + random() % 30; }).text(), expected);
    }
  }
}

TEST(Property, EverySplitInTwoGivesTheSameUpdates) {
  for (const Conversation& conversation : conversations()) {
    const std::string expected = play(conversation, Role::server, [] { return std::size_t{1} << 20; }).text();
    for (std::size_t at = 1; at < 400; ++at) {
      std::size_t call = 0;
      ASSERT_EQ(play(conversation, Role::server, [&] { return call++ % 2 == 0 ? at : 1000; }).text(), expected) << at;
    }
  }
}

/// Whatever is lost: no crash, an account that balances, one `closed` for each head, and the connection is understood
/// again afterwards.
TEST(Property, LossIsSurvivedAndRecoveredFrom) {
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    constexpr std::size_t usable[] = {0, 1, 3};  // the others end with the connection
    const Conversation& conversation = conversations()[usable[random() % 3]];
    Script script;
    auto stream = script.open({.role = round % 2 ? Role::server : Role::unknown, .mid_stream = random() % 8 == 0});
    for (const Turn& turn : conversation) {
      std::string_view rest = turn.bytes;
      while (!rest.empty()) {
        const std::string_view piece = rest.substr(0, 1 + random() % 60);
        rest.remove_prefix(piece.size());
        const std::size_t kept = random() % (piece.size() + 1);
        switch (random() % 8) {
          case 0:
            stream.lose(turn.direction, piece.size());
            break;
          case 1:
            stream.cut(turn.direction, piece.substr(0, kept), piece.size());
            break;
          case 2:
            stream.cut(turn.direction, piece.substr(0, kept / 2), piece.size(),
                       piece.substr(piece.size() - (piece.size() - kept) / 2));
            break;
          default:
            stream.transfer(turn.direction, piece);
        }
      }
    }
    // The first ones may still be taken for a part of what was lost.
    for (int i = 0; i < 3; ++i)
      stream.transfer(in, "GET /recovered HTTP/1.1\r\n\r\n").transfer(out, "HTTP/1.1 204 No\r\n\r\n");
    Trial run;
    run.feed(script).finish(script.now());
    ASSERT_FALSE(run.log.closed().empty()) << round;
    EXPECT_EQ(run.log.closed().back().request.target, "/recovered") << round;
    EXPECT_EQ(run.log.closed().back().ending, Ending::complete) << round;
    EXPECT_EQ(run.log.closed().back().response.status, 204) << round;
  }
}

TEST(Property, RandomBytesAreSurvived) {
  std::mt19937 random(3);
  const std::string alphabet = "GET /HTP1.\r\n: 0a5;data{}\"";
  for (int round = 0; round < 2000; ++round) {
    Script script;
    auto stream = script.open({.role = static_cast<Role>(random() % 3), .mid_stream = random() % 2 == 0});
    for (int i = 0; i < 30; ++i) {
      std::string bytes;
      if (random() % 3 == 0) bytes = random() % 2 ? "POST / HTTP/1.1\r\n" : "HTTP/1.1 200 OK\r\n";
      if (random() % 3 == 0) bytes += "Transfer-Encoding: chunked\r\n\r\n";
      if (random() % 3 == 0) bytes += "Content-Length: 7\r\n\r\n";
      for (std::size_t j = random() % 20; j > 0; --j) bytes.push_back(alphabet[random() % alphabet.size()]);
      const Direction direction = random() % 2 ? in : out;
      if (random() % 10 == 0) {
        stream.lose(direction, random() % 50);
      } else {
        stream.transfer(direction, bytes);
      }
    }
    if (random() % 2) stream.closed();
    Trial run;
    run.feed(script).finish(script.now());
  }
}

}  // namespace
}  // namespace inferscope::assemble
