// SPDX-License-Identifier: Apache-2.0
// Whole conversations without loss.
#include "tests/unit/assemble/trial.h"

namespace inferscope::assemble {
namespace {

TEST(Http1, GetAndAnswer) {
  Script script;
  script.open({.role = Role::server})
      .tid(7)
      .received("GET /v1/models?x=1 HTTP/1.1\r\nHost: a\r\nX-Empty:\r\n\r\n")
      .sent("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-TYPE:  text/plain \r\n\r\nhello")
      .closed();
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  const Exchange& exchange = run.closed();
  EXPECT_EQ(exchange.ending, Ending::complete);
  EXPECT_EQ(exchange.role, Role::server);
  EXPECT_EQ(exchange.protocol, "http");
  EXPECT_EQ(exchange.version, "1.1");
  EXPECT_EQ(exchange.pid, 100);
  EXPECT_EQ(exchange.tid, 7);
  EXPECT_EQ(exchange.request.method, "GET");
  EXPECT_EQ(exchange.request.target, "/v1/models?x=1");
  EXPECT_EQ(exchange.path(), "/v1/models");
  ASSERT_EQ(exchange.request.headers.size(), 2U);
  EXPECT_EQ(exchange.request.headers[0].name, "host");
  EXPECT_EQ(exchange.request.headers[1].value, "");
  EXPECT_EQ(exchange.response.status, 200);
  EXPECT_EQ(find_header(exchange.response.headers, "content-type"), "text/plain");
  EXPECT_EQ(exchange.response.body_bytes, 5U);
  EXPECT_EQ(run.log.joined(Kind::response_body), "hello");
  EXPECT_TRUE(exchange.gaps.empty());
  EXPECT_EQ(run.stats().in, run.stats().out);
}

TEST(Http1, TimesAreThoseOfTheWatchedProcess) {
  for (const Role role : {Role::server, Role::client}) {
    Script script;
    const Direction in = role == Role::server ? Direction::received : Direction::sent;
    auto stream = script.open({.role = role});                            // 1.001 s
    stream.transfer(in, "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n");  // to 1.002
    stream.transfer(in, "abcd");                                          // to 1.003
    stream.transfer(opposite(in), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    stream.transfer(opposite(in), "ok");
    Trial run;
    run.feed(script);
    const Exchange& exchange = run.closed();
    // Received bytes count at the end of the call, sent ones at its beginning.
    const std::uint64_t ms = 1'000'000;
    const std::uint64_t base = role == Role::server ? 1002 : 1001;
    EXPECT_EQ(exchange.request.begin, time_from_ns(base * ms));
    EXPECT_EQ(exchange.request.head_end, time_from_ns(base * ms));
    EXPECT_EQ(exchange.request.end, time_from_ns((base + 1) * ms));
    const std::uint64_t answer = role == Role::server ? 1003 : 1004;
    EXPECT_EQ(exchange.response.begin, time_from_ns(answer * ms));
    EXPECT_EQ(exchange.response.first_body, time_from_ns((answer + 1) * ms));
    EXPECT_EQ(exchange.response.end, time_from_ns((answer + 1) * ms));
  }
}

TEST(Http1, RoleIsFoundFromTheFirstMessage) {
  Script script;
  script.open().received("GET / HTTP/1.0\r\n\r\n").sent("HTTP/1.0 204 No\r\n\r\n");
  script.open().sent("GET / HTTP/1.0\r\n\r\n").received("HTTP/1.0 204 No\r\n\r\n");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 2U);
  EXPECT_EQ(run.closed(0).role, Role::server);
  EXPECT_EQ(run.closed(1).role, Role::client);
}

TEST(Http1, KeepAliveReusesTheConnection) {
  Script script;
  auto stream = script.open({.role = Role::server});
  for (int i = 0; i < 3; ++i)
    stream.received("POST /" + std::to_string(i) + " HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
        .sent("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 3U);
  EXPECT_EQ(run.closed(2).request.target, "/2");
  EXPECT_EQ(run.closed(2).sequence, 2U);
  EXPECT_EQ(run.closed(2).request.body_bytes, 2U);
  EXPECT_EQ(run.closed(0).request.body_hash, run.closed(2).request.body_hash);
  EXPECT_NE(run.closed(0).request.body_hash, 0U);
}

TEST(Http1, PipelinedRequestsAreAnsweredInOrder) {
  Script script;
  script.open({.role = Role::server})
      .received("GET /a HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n")
      .sent(
          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
          "HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nc");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 3U);
  EXPECT_EQ(run.closed(0).request.target, "/a");
  EXPECT_EQ(run.closed(1).response.body_bytes, 0U);
  EXPECT_EQ(run.closed(2).response.status, 404);
  EXPECT_EQ(run.log.joined(Kind::response_body, 2), "c");
}

TEST(Http1, InformationalResponsesComeBeforeTheFinalOne) {
  Script script;
  script.open({.role = Role::server})
      .received("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
      .sent("HTTP/1.1 100 Continue\r\n\r\n")
      .received("abc")
      .sent("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
      .sent("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().response.informational, 2U);
  EXPECT_EQ(run.closed().response.status, 200);
  EXPECT_EQ(run.closed().response.headers.size(), 1U);
  EXPECT_GT(run.closed().response.begin, run.closed().request.end);
  EXPECT_EQ(run.log.count(Kind::response_head), 1U);
}

TEST(Http1, ResponsesWithoutABody) {
  for (const std::string status : {"204 No Content", "304 Not Modified"}) {
    Script script;
    script.open({.role = Role::server})
        .received("GET /1 HTTP/1.1\r\n\r\n")
        .sent("HTTP/1.1 " + status + "\r\nContent-Length: 10\r\n\r\n")
        .received("GET /2 HTTP/1.1\r\n\r\n")
        .sent("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    Trial run;
    run.feed(script);
    ASSERT_EQ(run.log.closed().size(), 2U) << status;
    EXPECT_EQ(run.closed(1).response.status, 200);
  }
}

TEST(Http1, ChunkedWithExtensionsAndTrailers) {
  Script script;
  script.open({.role = Role::server})
      .received(
          "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, CHUNKED\r\n\r\n5;a=b\r\nhello\r\n0A \r\n0123456789\r\n"
          "000;x\r\nTrailer: t\r\n\r\n")
      .sent("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + chunk("abc") +
            chunk("defg") + "0\r\n\r\n");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.log.joined(Kind::request_body), "hello0123456789");
  EXPECT_EQ(run.closed().request.body_bytes, 15U);
  EXPECT_EQ(run.log.joined(Kind::response_body), "abcdefg");
  EXPECT_EQ(run.closed().ending, Ending::complete);
}

TEST(Http1, BodyUntilClose) {
  Script server;
  server.open({.role = Role::server})
      .received("GET / HTTP/1.0\r\n\r\n")
      .sent("HTTP/1.0 200 OK\r\n\r\nabc")
      .sent("def")
      .closed();
  Script client;
  client.open({.role = Role::client})
      .sent("GET / HTTP/1.0\r\n\r\n")
      .received("HTTP/1.0 200 OK\r\n\r\nabcdef")
      .half_closed(Direction::received)
      .closed();
  for (const Script* script : {&server, &client}) {
    Trial run;
    run.feed(*script);
    ASSERT_EQ(run.log.closed().size(), 1U);
    EXPECT_EQ(run.closed().ending, Ending::complete);
    EXPECT_EQ(run.log.joined(Kind::response_body), "abcdef");
    EXPECT_EQ(run.log.count(Kind::response_end), 1U);
  }
}

TEST(Http1, ResponseBeforeTheRequestIsComplete) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("POST /big HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
      .sent("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.log.closed().size(), 0U);
  EXPECT_EQ(run.log.count(Kind::response_end), 1U);
  Script rest;
  Trial other;
  stream.received("defghij").received("GET /next HTTP/1.1\r\n\r\n").sent("HTTP/1.1 204 No\r\n\r\n");
  other.feed(script);
  ASSERT_EQ(other.log.closed().size(), 2U);
  EXPECT_EQ(other.closed(0).response.status, 413);
  EXPECT_EQ(other.closed(0).ending, Ending::complete);
  EXPECT_EQ(other.closed(1).response.status, 204);
}

TEST(Http1, EarlyResponseAndThenTheEnd) {
  Script script;
  script.open({.role = Role::server})
      .received("POST /big HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
      .sent("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
      .closed();
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::complete);
  EXPECT_FALSE(run.closed().request.end.has_value());
}

TEST(Http1, FoldedFieldsBareLineFeedsAndBlankLines) {
  Script script;
  script.open({.role = Role::server})
      .received("\r\n\nGET http://host/x HTTP/1.1\nA: one\n\ttwo\n  three\nB:b\n\n")
      .sent("HTTP/1.1 200\nContent-Length: 2, 2\nContent-Length: 2\n\nok");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().request.target, "http://host/x");
  EXPECT_EQ(find_header(run.closed().request.headers, "a"), "one two three");
  EXPECT_EQ(find_header(run.closed().request.headers, "b"), "b");
  EXPECT_EQ(run.log.joined(Kind::response_body), "ok");
}

TEST(Http1, UpgradeMakesTheConnectionOpaque) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET /spoken HTTP/1.1\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n")
      .sent("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n\x81\x05hello")
      .received("GET / HTTP/1.1\r\n\r\n")
      .closed();
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::upgraded);
  EXPECT_EQ(run.control.stopped, std::vector<ConnectionId>{stream.id()});
  EXPECT_EQ(run.dropped("after_upgrade"), 7U + 18U);
}

TEST(Http1, ConnectMakesTheConnectionOpaque) {
  Script script;
  auto stream = script.open({.role = Role::client});
  stream.sent("CONNECT host:443 HTTP/1.1\r\n\r\n")
      .received("HTTP/1.1 200 Connection established\r\n\r\n")
      .sent("\x16\x03\x01");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::upgraded);
  EXPECT_EQ(run.dropped("after_upgrade"), 3U);
  EXPECT_EQ(run.control.stopped.size(), 1U);
}

TEST(Http1, RefusedConnectGoesOn) {
  Script script;
  script.open({.role = Role::client})
      .sent("CONNECT host:443 HTTP/1.1\r\n\r\n")
      .received("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
      .sent("GET / HTTP/1.1\r\n\r\n")
      .received("HTTP/1.1 204 No\r\n\r\n");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 2U);
  EXPECT_EQ(run.closed(0).ending, Ending::complete);
}

struct Refused {
  const char* what;
  const char* request;
};

class MalformedRequest : public testing::TestWithParam<Refused> {};

TEST_P(MalformedRequest, IsRefusedAndTheNextOneIsRead) {
  Script script;
  script.open({.role = Role::server})
      .received("GET /first HTTP/1.1\r\n\r\n")
      .sent("HTTP/1.1 204 No\r\n\r\n")
      .received(GetParam().request)
      .sent("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
      .received("GET /last HTTP/1.1\r\n\r\n")
      .sent("HTTP/1.1 205 Fine\r\nContent-Length: 0\r\n\r\n");
  Trial run;
  run.feed(script);
  ASSERT_GE(run.log.closed().size(), 2U);
  const Exchange& last = run.log.closed().back();
  EXPECT_EQ(last.request.target, "/last");
  EXPECT_EQ(last.response.status, 205);
  EXPECT_EQ(last.ending, Ending::complete);
  for (std::size_t i = 1; i + 1 < run.log.closed().size(); ++i) {
    EXPECT_EQ(run.closed(i).ending, Ending::lost_track);
    ASSERT_EQ(run.closed(i).gaps.size(), 1U);
    EXPECT_EQ(run.closed(i).gaps[0].reason, Gap::Reason::malformed);
  }
  EXPECT_GT(run.dropped("malformed"), 0U);
}

INSTANTIATE_TEST_SUITE_P(
    All, MalformedRequest,
    testing::Values(
        Refused{"negative length", "POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n"},
        Refused{"huge length", "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"},
        Refused{"no number", "POST / HTTP/1.1\r\nContent-Length: 5x\r\n\r\n"},
        Refused{"empty length", "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n"},
        Refused{"two lengths", "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"},
        Refused{"list of lengths", "POST / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\nhello!"},
        Refused{"folded length", "POST / HTTP/1.1\r\nContent-Length: 5\r\n 5\r\n\r\nhello!"},
        Refused{"blank before colon", "POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello"},
        Refused{"no colon", "POST / HTTP/1.1\r\nhello\r\n\r\n"},
        Refused{"no name", "POST / HTTP/1.1\r\n: hello\r\n\r\n"},
        Refused{"blank in target", "POST /a b HTTP/1.1\r\n\r\n"}, Refused{"version", "POST / HTTP/3.1\r\n\r\n"},
        Refused{"no version", "POST /\r\n\r\n"},
        Refused{"chunk size", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n"},
        Refused{"chunk size overflow", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n"},
        Refused{"largest chunk", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"},
        Refused{"chunk without end", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"}),
    [](const auto& tested) {
      std::string name = tested.param.what;
      for (char& c : name)
        if (c == ' ') c = '_';
      return name;
    });

TEST(Http1, MalformedResponseClosesItsExchange) {
  Script script;
  script.open({.role = Role::server})
      .received("GET /a HTTP/1.1\r\n\r\n")
      .sent("HTTP/1.1 abc\r\n\r\n")
      .received("GET /b HTTP/1.1\r\n\r\n")
      .sent("HTTP/1.1 204 No\r\n\r\n");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 2U);
  EXPECT_EQ(run.closed(0).ending, Ending::lost_track);
  EXPECT_EQ(run.closed(0).gaps.at(0).reason, Gap::Reason::malformed);
  EXPECT_EQ(run.closed(0).gaps.at(0).direction, Direction::sent);
  EXPECT_EQ(run.closed(1).ending, Ending::complete);
}

TEST(Http1, BytesThatAreNotHttpAreLeftAlone) {
  Script script;
  auto stream = script.open({.role = Role::server});
  for (int i = 0; i < 5; ++i) stream.received("\x16\x03\x01 hello").sent("nothing");
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.control.stopped, std::vector<ConnectionId>{stream.id()});
  EXPECT_EQ(run.log.entries().size(), 0U);
  EXPECT_EQ(run.dropped("not_recognised"), run.stats().in);
}

TEST(Http1, GarbageInARowMakesTheConnectionOpaque) {
  Script script;
  auto stream = script.open({.role = Role::server});
  for (int i = 0; i < 20; ++i) stream.received("GET /\x01 nonsense\r\n");
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.control.stopped, std::vector<ConnectionId>{stream.id()});
}

TEST(Http1, AnnouncedRoleIsBelieved) {
  Script script;
  script.open({.role = Role::server}).sent("GET / HTTP/1.1\r\n\r\n").sent("GET / HTTP/1.1\r\n\r\n").sent("x");
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.log.entries().size(), 0U);
}

TEST(Http1, LongBodiesHaveTheirTailAskedFor) {
  Script script;
  auto stream = script.open({.role = Role::server});
  const std::string head = "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n";
  stream.received(head);
  Trial run;
  run.feed(script);
  const Limits limits;
  const std::vector<FakeControl::Ask> expected{
      {stream.id(), Direction::received, head.size() + 1000000 - limits.body_tail}};
  EXPECT_EQ(run.control.asked, expected);
}

TEST(Http1, FieldsBeyondTheLimitAreAGap) {
  Limits limits;
  limits.headers = 3;
  Script script;
  script.open({.role = Role::server})
      .received("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n folded\r\nContent-Length: 2\r\n\r\nhi")
      .sent("HTTP/1.1 204 No\r\n\r\n");
  Trial run(limits);
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().request.headers.size(), 3U);
  EXPECT_EQ(run.closed().gaps.at(0).reason, Gap::Reason::limit);
  EXPECT_EQ(run.log.joined(Kind::request_body), "hi");  // framing is read all the same
}

TEST(Http1, EndlessHeadsAreRefused) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\nA: ");
  for (int i = 0; i < 40; ++i) stream.received(std::string(32768, 'a'));
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.stats().held, 0U);
  EXPECT_GT(run.dropped("malformed"), 0U);
}

TEST(Http1, TooManyOpenExchangesAreGivenUp) {
  Limits limits;
  limits.open_exchanges = 4;
  Script script;
  auto stream = script.open({.role = Role::server});
  for (int i = 0; i < 6; ++i) stream.received("GET / HTTP/1.1\r\n\r\n");
  Trial run(limits);
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 4U);
  EXPECT_EQ(run.closed(3).ending, Ending::lost_track);
  EXPECT_EQ(run.closed(3).gaps.at(0).reason, Gap::Reason::limit);
}

}  // namespace
}  // namespace inferscope::assemble
