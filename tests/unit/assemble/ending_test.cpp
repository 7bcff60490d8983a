// SPDX-License-Identifier: Apache-2.0
// How exchanges end when their response does not.
#include "tests/unit/assemble/trial.h"

namespace inferscope::assemble {
namespace {

using Reason = ConnectionClosed::Reason;

const std::string request = "GET / HTTP/1.1\r\n\r\n";
const std::string half_response = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";

struct Case {
  const char* name;
  Role role;
  bool peer_ended;
  Reason reason;
  Ending ending;
};

class Endings : public testing::TestWithParam<Case> {};

TEST_P(Endings, OfAnUnfinishedResponse) {
  for (const bool answered : {false, true}) {
    Script script;
    auto stream = script.open({.role = GetParam().role});
    const Direction in = GetParam().role == Role::server ? Direction::received : Direction::sent;
    stream.transfer(in, request);
    if (answered) stream.transfer(opposite(in), half_response);
    if (GetParam().peer_ended) stream.half_closed(Direction::received);
    stream.closed(GetParam().reason);
    Trial run;
    run.feed(script);
    ASSERT_EQ(run.log.closed().size(), 1U);
    EXPECT_EQ(run.closed().ending, GetParam().ending);
    EXPECT_TRUE(run.closed().gaps.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Endings,
    testing::Values(Case{"server_closes", Role::server, false, Reason::closed, Ending::server_closed},
                    Case{"client_gone", Role::server, true, Reason::closed, Ending::client_closed},
                    Case{"client_resets", Role::server, false, Reason::reset, Ending::client_closed},
                    Case{"server_dies", Role::server, false, Reason::process_exited, Ending::process_exited},
                    Case{"client_closes", Role::client, false, Reason::closed, Ending::client_closed},
                    Case{"server_gone", Role::client, true, Reason::closed, Ending::server_closed},
                    Case{"server_resets", Role::client, false, Reason::reset, Ending::server_closed},
                    Case{"client_dies", Role::client, false, Reason::process_exited, Ending::process_exited},
                    Case{"forgotten", Role::server, false, Reason::forgotten, Ending::lost_track}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(Ending, ClientMayEndItsSideAndStillRead) {
  Script script;
  script.open({.role = Role::server})
      .received(request)
      .half_closed(Direction::received)
      .sent("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      .closed();
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::complete);
}

TEST(Ending, ServerEndsItsSideEarly) {
  Script script;
  auto stream = script.open({.role = Role::client});
  stream.sent(request).received(half_response).half_closed(Direction::received);
  Trial open;
  open.feed(script);
  EXPECT_TRUE(open.log.closed().empty());  // the rest may have arrived and not been read yet
  stream.closed(Reason::closed);
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::server_closed);
}

TEST(Ending, BodyUntilCloseIsNotCompleteWhenTheClientLeft) {
  Script script;
  script.open({.role = Role::server})
      .received("GET / HTTP/1.0\r\n\r\n")
      .sent("HTTP/1.0 200 OK\r\n\r\nabc")
      .closed(Reason::reset);
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.closed().ending, Ending::client_closed);
}

TEST(Ending, ProcessExits) {
  Script script;
  auto first = script.open({.pid = 5, .role = Role::server});
  auto second = script.open({.pid = 6, .role = Role::server});
  first.received(request);
  second.received(request);
  script.exited(5);
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().connection->id, first.id());
  EXPECT_EQ(run.closed().ending, Ending::process_exited);
}

TEST(Ending, ShutDown) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received(request + "GET /2 HTTP/1.1\r\nHalf: a line");
  Trial run;
  run.feed(script);
  EXPECT_GT(run.stats().held, 0U);
  run.finish(script.now());
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::shut_down);
  EXPECT_EQ(run.assembler().connections(), 0U);
}

TEST(Ending, IdleConnectionsAreForgotten) {
  Script script;
  script.open({.role = Role::server}).received(request);
  script.open({.role = Role::server});
  Trial run;
  run.feed(script);
  const Limits limits;
  run.tick(script.now() + limits.idle + std::chrono::minutes(1));
  EXPECT_EQ(run.assembler().connections(), 1U);
  run.tick(script.now() + limits.idle_exchange + std::chrono::minutes(2));
  EXPECT_EQ(run.assembler().connections(), 0U);
  EXPECT_EQ(run.assembler().connections_forgotten(), 2U);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::lost_track);
}

TEST(Ending, TheOldestIdleConnectionsMakeRoom) {
  Limits limits;
  limits.connections = 4;
  Script script;
  auto busy = script.open({.role = Role::server});
  busy.received(request);
  for (int i = 0; i < 10; ++i) script.open({.role = Role::server});
  busy.sent("HTTP/1.1 204 No\r\n\r\n");
  Trial run(limits);
  run.feed(script);
  EXPECT_LE(run.assembler().connections(), 4U);
  EXPECT_EQ(run.assembler().connections_forgotten(), 7U);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::complete);
}

}  // namespace
}  // namespace inferscope::assemble
