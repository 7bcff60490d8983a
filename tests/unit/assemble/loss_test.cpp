// SPDX-License-Identifier: Apache-2.0
// Holes, lost transfers and connections found in the middle.
#include "tests/unit/assemble/trial.h"

namespace inferscope::assemble {
namespace {

const std::string no_content = "HTTP/1.1 204 No\r\n\r\n";

/// One more request and response, which must be read whatever was lost before.
void expect_recovery(Script& script, Script::Stream& stream, Trial& run, std::size_t closed_before) {
  stream.received("GET /recovered HTTP/1.1\r\n\r\n").sent(no_content);
  run.feed(script);
  ASSERT_GT(run.log.closed().size(), closed_before);
  const Exchange& last = run.log.closed().back();
  EXPECT_EQ(last.request.target, "/recovered");
  EXPECT_EQ(last.response.status, 204);
  EXPECT_EQ(last.ending, Ending::complete);
  EXPECT_TRUE(last.gaps.empty());
}

TEST(Loss, HoleInABodyWithALength) {
  Script script;
  auto stream = script.open({.role = Role::server});
  const std::string head = "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
  stream.cut(Direction::received, head + "abc", head.size() + 1000, "xyz");
  stream.sent(no_content);
  Trial run;
  expect_recovery(script, stream, run, 1);
  const Exchange& exchange = run.closed();
  EXPECT_EQ(exchange.ending, Ending::complete);
  ASSERT_EQ(exchange.gaps.size(), 1U);
  EXPECT_EQ(exchange.gaps[0].reason, Gap::Reason::not_captured);
  EXPECT_EQ(exchange.gaps[0].position, head.size() + 3);
  EXPECT_EQ(exchange.gaps[0].bytes, 994U);
  EXPECT_EQ(exchange.request.body_bytes, 1000U);
  EXPECT_EQ(exchange.request.body_hash, 0U);
  EXPECT_EQ(run.log.joined(Kind::request_body), "abcxyz");
  EXPECT_EQ(run.log.count(Kind::request_hole), 1U);
  EXPECT_EQ(run.dropped("not_captured"), 994U);
}

TEST(Loss, LostTransfersOfABodyAreOneGap) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n0123456789")
      .lose(Direction::received, 10)
      .received("0123456789")
      .sent(no_content);
  Trial run;
  expect_recovery(script, stream, run, 1);
  ASSERT_EQ(run.closed().gaps.size(), 1U);
  EXPECT_EQ(run.closed().gaps[0].reason, Gap::Reason::lost);
  EXPECT_EQ(run.closed().gaps[0].bytes, 10U);
  EXPECT_TRUE(run.closed().request.end.has_value());
  EXPECT_EQ(run.dropped("lost"), 10U);
}

TEST(Loss, EveryCutHasItsReason) {
  using Cut = Transfer::Cut;
  for (const Cut cut : {Cut::transfer_limit, Cut::connection_limit, Cut::switched_off, Cut::unreadable, Cut::fault}) {
    Script script;
    auto stream = script.open({.role = Role::server});
    stream.received("POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n").cut(Direction::received, {}, 30, {}, cut);
    Trial run;
    run.feed(script).finish(script.now());
    ASSERT_EQ(run.closed().gaps.size(), 1U);
    EXPECT_EQ(run.closed().gaps[0].reason,
              cut == Cut::unreadable || cut == Cut::fault ? Gap::Reason::unreadable : Gap::Reason::not_captured);
  }
}

TEST(Loss, HoleWithinAChunkLeavesTheFramingAlone) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\n\r\n").sent("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n01234");
  stream.lose(Direction::sent, 10).sent("56789\r\n").sent("0\r\n\r\n");
  Trial run;
  expect_recovery(script, stream, run, 1);
  EXPECT_EQ(run.closed().ending, Ending::complete);
  EXPECT_EQ(run.closed().response.body_bytes, 20U);
  ASSERT_EQ(run.closed().gaps.size(), 1U);
  EXPECT_EQ(run.closed().gaps[0].bytes, 10U);
}

TEST(Loss, HoleOverAChunksEndIsFoundAgain) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\n\r\n").sent("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n01234");
  stream.cut(Direction::sent, {}, 7).sent("3\r\nabc\r\n0\r\n\r\n");
  Trial run;
  expect_recovery(script, stream, run, 1);
  EXPECT_EQ(run.closed().ending, Ending::complete);
  EXPECT_EQ(run.log.joined(Kind::response_body), "01234abc");
}

TEST(Loss, EventStreamGoesOnAfterLostChunks) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\n\r\n").sent(sse_head);
  const auto event = [](int i) { return chunk("data: " + std::to_string(i) + "\n\n"); };
  stream.sent(event(1)).sent(event(2));
  const std::string lost = event(3) + event(4);
  stream.lose(Direction::sent, lost.size());
  stream.sent(event(5)).sent(event(6)).sent(event(7)).sent("0\r\n\r\n");
  Trial run;
  expect_recovery(script, stream, run, 1);
  EXPECT_EQ(run.closed().ending, Ending::complete);
  // The event behind a hole may be the rest of another: only after a blank line is it certain.
  EXPECT_EQ(run.log.messages(), (std::vector<std::string>{"1", "2", "6", "7"}));
  ASSERT_EQ(run.closed().gaps.size(), 1U);
  EXPECT_EQ(run.closed().gaps[0].reason, Gap::Reason::lost);
  EXPECT_EQ(run.closed().gaps[0].bytes, lost.size());
  EXPECT_EQ(run.log.count(Kind::response_hole), 1U);
}

TEST(Loss, WhatLooksLikeAChunkMustEndLikeOne) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\n\r\n").sent(sse_head);
  stream.lose(Direction::sent, 100);
  stream.sent("5\r\nwrong size\r\n")
      .sent("add this\n")
      .sent(chunk("\n\n"))
      .sent(chunk("data: x\n\n"))
      .sent("0\r\n\r\n");
  Trial run;
  expect_recovery(script, stream, run, 1);
  EXPECT_EQ(run.closed().ending, Ending::complete);
  EXPECT_EQ(run.log.messages(), (std::vector<std::string>{"x"}));
  EXPECT_EQ(run.dropped("lost_framing"), 24U);
}

TEST(Loss, StreamWhoseEndWasLostEndsWithTheNextRequest) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\n\r\n").sent(sse_head).sent(chunk("data: 1\n\n")).lose(Direction::sent, 20);
  Trial run;
  expect_recovery(script, stream, run, 1);
  EXPECT_EQ(run.closed().ending, Ending::lost_track);
}

TEST(Loss, LostRequestTakesItsResponseAlong) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.lose(Direction::received, 100).sent("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nGET ");
  Trial run;
  expect_recovery(script, stream, run, 0);
  EXPECT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.dropped("lost"), 100U);
}

TEST(Loss, HoleInARequestHead) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET /a HTTP/1.1\r\n\r\n").sent(no_content);
  stream.received("GET /b HTTP/1.1\r\nHalf").lose(Direction::received, 20).received("rest\r\n\r\n").sent(no_content);
  Trial run;
  expect_recovery(script, stream, run, 1);
  EXPECT_EQ(run.log.closed().size(), 2U);
  EXPECT_EQ(run.dropped("lost_framing"), 4U);
  EXPECT_EQ(run.dropped("before_boundary"), 8U + no_content.size());
}

TEST(Loss, LostResponseHeadLeavesTheExchangeOpenForItsResponse) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET /a HTTP/1.1\r\n\r\n").lose(Direction::sent, 25).sent(no_content);
  Trial run;
  expect_recovery(script, stream, run, 1);
  EXPECT_EQ(run.closed().response.status, 204);  // what was lost may have been a 100 Continue
  ASSERT_EQ(run.closed().gaps.size(), 1U);
  EXPECT_EQ(run.closed().gaps[0].bytes, 25U);
}

TEST(Loss, WholeResponseLost) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET /a HTTP/1.1\r\n\r\n").lose(Direction::sent, 250);
  stream.received("GET /b HTTP/1.1\r\n\r\n").sent(no_content);
  Trial run;
  expect_recovery(script, stream, run, 2);
  ASSERT_EQ(run.log.closed().size(), 3U);
  // The loss shows only with the response to the second request, which is therefore not certain to be its own.
  EXPECT_EQ(run.closed(0).ending, Ending::lost_track);
  EXPECT_EQ(run.closed(1).ending, Ending::complete);
  EXPECT_EQ(run.closed(1).response.status, 204);
  EXPECT_EQ(run.closed(1).gaps.size(), 1U);
}

TEST(Loss, ShowsWhenTheConnectionCloses) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET /a HTTP/1.1\r\n\r\n").sent("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  stream.lose(Direction::sent, 7).closed();
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::complete);
  ASSERT_EQ(run.closed().gaps.size(), 1U);
  EXPECT_EQ(run.closed().gaps[0].bytes, 7U);
  EXPECT_EQ(run.dropped("lost"), 7U);
}

TEST(Loss, LostStreamIsNotTakenForAClientThatLeft) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET /a HTTP/1.1\r\n\r\n").sent(sse_head).lose(Direction::sent, 7).half_closed(Direction::received);
  stream.closed();
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.closed().ending, Ending::lost_track);
}

TEST(Loss, ChunkedRequestThatLostItsFramingIsAnsweredAllTheSame) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("abc"));
  stream.lose(Direction::received, 50).sent(no_content);
  stream.received("GET /b HTTP/1.1\r\n\r\n").sent(no_content);
  Trial run;
  expect_recovery(script, stream, run, 2);
  EXPECT_EQ(run.closed(0).response.status, 204);
  EXPECT_EQ(run.closed(0).ending, Ending::complete);
  EXPECT_EQ(run.closed(0).gaps.size(), 1U);
  EXPECT_FALSE(run.closed(0).request.end.has_value());
  EXPECT_EQ(run.closed(1).ending, Ending::complete);
}

TEST(Loss, RepeatedAndOverlappingTransfersAreReadOnce) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd");
  std::vector<Event> events = script.events();
  Event again = events.back();
  events.push_back(again);
  auto& overlap = std::get<Transfer>(events.back().body);
  overlap.position += overlap.length - 2;
  overlap.length = 2 + 18;
  overlap.head = "cdGET /2 HTTP/1.1\r\n\r\n";
  overlap.length = overlap.head.size();
  events.insert(events.end() - 1, again);
  Trial run;
  run.feed(events).finish();
  ASSERT_EQ(run.log.closed().size(), 2U);
  EXPECT_EQ(run.log.joined(Kind::request_body), "abcd");
  EXPECT_EQ(run.closed(1).request.target, "/2");
  EXPECT_EQ(run.dropped("duplicate"), again.body.index() ? std::get<Transfer>(again.body).length + 2 : 0);
}

TEST(Loss, ImpossibleTransfersDoNoHarm) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n");
  std::vector<Event> events = script.events();
  Event hostile = events.back();
  auto& transfer = std::get<Transfer>(hostile.body);
  for (const std::uint64_t position : {std::uint64_t{0}, std::uint64_t{1} << 40, ~std::uint64_t{0} - 3}) {
    for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{3}, ~std::uint64_t{0}}) {
      transfer.position = position;
      transfer.length = length;
      transfer.head = transfer.tail = "more than length";
      events.push_back(hostile);
    }
  }
  Trial run;
  run.feed(events).finish();
}

TEST(Loss, TransfersAfterTheEndOpenNothing) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\n\r\n").sent(no_content).closed().received("GET / HTTP/1.1\r\n\r\n");
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.assembler().connections(), 0U);
  EXPECT_EQ(run.dropped("after_end"), 18U);
}

TEST(MidStream, LostResponseDoesNotShiftTheNextOnes) {
  Script script;
  auto stream = script.open({.role = Role::server, .mid_stream = true});
  stream.sent("rest").received("GET /lost HTTP/1.1\r\n\r\n").lose(Direction::sent, 40);
  for (int i = 1; i <= 3; ++i)
    stream.received("GET /" + std::to_string(i) + " HTTP/1.1\r\n\r\n")
        .sent("HTTP/1.1 20" + std::to_string(i) + " OK\r\nContent-Length: 0\r\n\r\n");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 4U);
  EXPECT_EQ(run.closed(0).ending, Ending::lost_track);
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(run.closed(static_cast<std::size_t>(i)).response.status, 200 + i);
}

TEST(MidStream, WaitsForAMessage) {
  Script script;
  auto stream = script.open({.role = Role::server, .mid_stream = true});
  stream.lose(Direction::received, 12345).lose(Direction::sent, 999);
  stream.received("half of a body").sent("half of a response").sent("data: x\n\n");
  Trial run;
  expect_recovery(script, stream, run, 0);
  EXPECT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.dropped("before_boundary"), 14U + 18U + 9U);
  EXPECT_EQ(run.dropped("lost"), 0U);  // what was before the agent is not lost
}

TEST(MidStream, AMessageReadByteByByteBeginsWhereTheTurnDoes) {
  Script script;
  auto stream = script.open({.role = Role::server, .mid_stream = true});
  // As from a server that was waiting for the first byte when it came to be watched.
  stream.bytewise(Direction::received, "OST /lost HTTP/1.1\r\nContent-Length: 1\r\n\r\nP").sent(no_content);
  stream.bytewise(Direction::received, "POST /seen HTTP/1.1\r\nContent-Length: 5\r\n\r\nPOST ").sent(no_content);
  Trial run;
  run.feed(script).finish(script.now());
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().request.target, "/seen");
  EXPECT_EQ(run.closed().response.status, 204);
  EXPECT_EQ(run.closed().ending, Ending::complete);
}

TEST(MidStream, SkipsTheResponseToARequestNotSeen) {
  Script script;
  auto stream = script.open({.role = Role::server, .mid_stream = true});
  stream.sent("HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n").sent(no_content + no_content);
  Trial run;
  expect_recovery(script, stream, run, 0);
  EXPECT_EQ(run.log.closed().size(), 1U);
}

TEST(MidStream, UnansweredRequestIsNotLost) {
  Script script;
  script.open({.role = Role::server, .mid_stream = true}).received("GET / HTTP/1.1\r\n\r\n").closed();
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.closed().ending, Ending::server_closed);
}

TEST(MidStream, TransfersOfAnUnknownConnectionOpenIt) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\n\r\n").sent(no_content);
  std::vector<Event> events = script.events();
  events.erase(events.begin());
  Trial run;
  run.feed(events);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().role, Role::server);
  EXPECT_TRUE(run.closed().connection->mid_stream);
}

}  // namespace
}  // namespace inferscope::assemble
