// SPDX-License-Identifier: Apache-2.0
#include "assemble/redact.h"

#include <deque>
#include <random>

#include "tests/unit/assemble/redaction.h"

namespace inferscope::assemble {
namespace {

std::string content_of(const std::vector<Event>& events, Direction direction) {
  std::string all;
  for (const Event& event : events) {
    const auto* transfer = std::get_if<Transfer>(&event.body);
    if (transfer && transfer->direction == direction) all.append(transfer->head).append(transfer->tail);
  }
  return all;
}

/// What comes out of `bytes` in the direction of the request, sent in steps.
std::string masked_request(std::string_view bytes, std::size_t step = 1 << 20) {
  Script script;
  auto stream = script.open({.role = Role::server});
  for (std::size_t i = 0; i < bytes.size(); i += step) stream.received(bytes.substr(i, step));
  std::deque<std::string> contents;
  return content_of(redact(script.events(), contents), Direction::received);
}

std::string masked_body(std::string_view type, std::string_view body, std::size_t step = 1 << 20) {
  const std::string head = "POST / HTTP/1.1\r\nContent-Type: " + std::string(type) +
                           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  const std::string all = masked_request(head + std::string(body), step);
  EXPECT_EQ(all.substr(0, head.size()), head);
  return all.substr(head.size());
}

TEST(Redact, HeadsKeepTheirShape) {
  EXPECT_EQ(masked_request("GET /v1/x?key=secret&flag&n=1 HTTP/1.1\r\nAuthorization: Bearer abc\r\nHost: me\r\n"
                           "Cookie: a\r\n folded secret\r\nX-Prompt-Tokens: 12\r\nX-Weird-Time: soon\r\n\r\n"),
            "GET /v1/x?key=xxxxxx&xxxx&n=x HTTP/1.1\r\nAuthorization: xxxxxx xxx\r\nHost: me\r\n"
            "Cookie: x\r\n xxxxxx xxxxxx\r\nX-Prompt-Tokens: 12\r\nX-Weird-Time: xxxx\r\n\r\n");
}

TEST(Redact, HeadsByteByByte) {
  EXPECT_EQ(
      masked_request("GET /v1/x?key=secret HTTP/1.1\r\nAuthorization: Bearer abc\r\nContent-Type: a/b\r\n\r\n", 1),
      "GET /v1/x?xxx=xxxxxx HTTP/1.1\r\nAxxxxxxxxxxxx: xxxxxx xxx\r\nContent-Type: a/b\r\n\r\n");
}

TEST(Redact, JsonKeepsItsStructure) {
  EXPECT_EQ(masked_body(
                "application/json",
                R"({"model":"m-1","stream":true,"n":1.5e3,"messages":[{"role":"user","content":"hi \"you\" \u00e9"}],)"
                R"("empty":"","stop":["a","b"],"prompt":[101,7592],"x":null})"),
            R"({"model":"m-1","stream":true,"n":1.5e3,"messages":[{"role":"user","content":"xxxxxxxxxxxxxxxxx"}],)"
            R"("empty":"","stop":["x","x"],"prompt":[111,1111],"x":null})");
}

TEST(Redact, JsonOfTheUserIsMaskedAltogether) {
  EXPECT_EQ(
      masked_body("application/json",
                  R"({"arguments":{"id":"secret","n":42},"top_logprobs":[{"token":-0.5}],"id":"a b","my key":"v"})"),
      R"({"arguments":{"xx":"xxxxxx","x":11},"top_logprobs":[{"xxxxx":-1.1}],"id":"axx","myxxxx":"x"})");
}

TEST(Redact, WhatIsNotJsonIsMaskedFromThereOn) {
  EXPECT_EQ(masked_body("application/json", R"({"a":1,secret:"b"})"), R"({"a":1,xxxxxxxxxxx)");
  EXPECT_EQ(masked_body("application/json", "true story 42"), "true xxxxxxxx");
  EXPECT_EQ(masked_body("application/json", "42 [1] x"), "11 xxxxx");
  EXPECT_EQ(masked_body("text/plain", "{\"a\":1}"), "xxxxxxx");
  EXPECT_EQ(masked_body("application/x-www-form-urlencoded", "{\"a\":1}"), "{\"a\":1}");
  EXPECT_EQ(masked_body("application/x-www-form-urlencoded", "a=1"), "xxx");
}

TEST(Redact, DeepJsonIsBounded) {
  const std::string body(1000, '[');
  EXPECT_EQ(masked_body("application/json", body), std::string(64, '[') + std::string(936, 'x'));
}

TEST(Redact, DoesNotDependOnTheDivisionOfABody) {
  const std::string body = R"({"model":"m","messages":[{"role":"user","content":"h\\\"i"}],"n":[1,[2]],"t":true})";
  const std::string whole = masked_body("application/json", body);
  for (std::size_t step = 1; step < 40; ++step) {
    const std::string bytes =
        "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\n\r\n" + body;
    const std::string masked = masked_request(bytes, step);
    EXPECT_EQ(masked.substr(masked.size() - body.size()), whole) << step;
  }
}

TEST(Redact, EventStreams) {
  const std::string head = "HTTP/1.1 200 Secret reason\r\nContent-Type: text/event-stream\r\n\r\n";
  const std::string body =
      ": comment\r\nevent: response.output_text.delta\ndata: {\"delta\":{\"content\":\"Hi\"}}\r\n\r\nid: 7\n"
      "data: [DONE]\n\ndata: plain words\n\nretry: 10\nother: x\ndata:{\"a\":\ndata: 1}\n\n";
  const std::string expected =
      ": xxxxxxx\r\nevent: response.output_text.delta\ndata: {\"delta\":{\"content\":\"xx\"}}\r\n\r\nid: x\n"
      "data: [DONE]\n\ndata: xxxxxxxxxxx\n\nretry: 10\nxxxxxxxx\ndata:{\"a\":\ndata: 1}\n\n";
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
    Script script;
    auto stream = script.open({.role = Role::server});
    stream.received("GET / HTTP/1.1\r\n\r\n");
    const std::string all = head + body;
    for (std::size_t i = 0; i < all.size(); i += step) stream.sent(std::string_view(all).substr(i, step));
    std::deque<std::string> contents;
    const std::string masked = content_of(redact(script.events(), contents), Direction::sent);
    EXPECT_EQ(masked, "HTTP/1.1 200 xxxxxx xxxxxx\r\nContent-Type: text/event-stream\r\n\r\n" + expected);
  }
}

TEST(Redact, AfterAHoleABodyOfJsonIsMasked) {
  Script script;
  auto stream = script.open({.role = Role::server});
  const std::string head = "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n";
  stream.cut(Direction::received, head + "{\"a\":\"b", head.size() + 60, "secret\",\"model\":\"m\"}");
  std::deque<std::string> contents;
  const auto masked = redact(script.events(), contents);
  EXPECT_EQ(content_of(masked, Direction::received), head + "{\"a\":\"x" + std::string(20, 'x'));
}

TEST(Redact, UnknownProtocolsAreMasked) {
  EXPECT_EQ(masked_request("\x16\x03 some secret"), std::string(14, 'x'));
  EXPECT_EQ(masked_request("GET secret\r\n\r\n"), std::string(14, 'x'));
  EXPECT_EQ(masked_request("GET / HTTP/1.1\r\n\r\nleft over words\r\nmore: words"),
            "GET / HTTP/1.1\r\n\r\nxxxxxxxxxxxxxxx\r\nxxxxxxxxxxx");
}

TEST(Redact, ResponseWithoutItsRequestIsMaskedToo) {
  Script script;
  auto stream = script.open({.role = Role::server, .mid_stream = true});
  stream.sent("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"a\":\"secret\"}");
  std::deque<std::string> contents;
  const std::string masked = content_of(redact(script.events(), contents), Direction::sent);
  EXPECT_EQ(masked.find("secret"), std::string::npos);
  EXPECT_NE(masked.find("{\"a\":\"xxxxxx\"}"), std::string::npos);
}

/// The point of it all: what is made of the masked events has the same structure, sizes and times.
TEST(Redact, ReplayGivesTheSameExchanges) {
  std::mt19937 random(4);
  const std::vector<std::pair<Direction, std::string>> turns{
      {Direction::received,
       "POST /v1/chat/completions?api=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer SECRET\r\nContent-Type: "
       "application/json\r\nContent-Length: 58\r\n\r\n"
       "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"SECRET\"}]}"},
      {Direction::sent, sse_head + chunk("data: {\"content\":\"\"}\n\n") + chunk("data: {\"content\":\"SECRET\"}\n\n") +
                            chunk(": SECRET\n\ndata: [DONE]\n\n") + "0\r\nX: SECRET\r\n\r\n"},
      {Direction::received, "GET /metrics HTTP/1.1\r\nA: SECRET\r\n SECRET\r\n\r\n"},
      {Direction::sent, "HTTP/1.1 200 SECRET\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nSECRET"},
      {Direction::received, "POST /api HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6;SECRET\r\nSECRET\r\n0\r\n\r\n"},
      {Direction::sent, "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n" +
                            chunk("{\"response\":\"SECRET\"}\n{\"response") + chunk("\":\"SECRET\"}\n\n{}") +
                            "0\r\n\r\n"},
      {Direction::received, "BREW SECRET\r\n"},
      {Direction::received, "GET /last HTTP/1.1\r\nSECRET (no colon)\r\n\r\n"},
      {Direction::received, "GET /last HTTP/1.1\r\n\r\n"},
      {Direction::sent, "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: SECRET\n\ndata: SECRET"},
  };
  for (int round = 0; round < 2000; ++round) {
    const std::size_t longest = 1 + random() % 200;
    const bool lossy = round % 2 == 1;
    const Script script = divided(turns, random, longest, lossy, random() % 10 == 0);
    std::deque<std::string> contents;
    const std::vector<Event> masked = redact(script.events(), contents);
    for (const Direction direction : {Direction::received, Direction::sent})
      ASSERT_EQ(content_of(masked, direction).find("SECRET"), std::string::npos) << content_of(masked, direction);
    Trial original;
    Trial replayed;
    original.feed(script.events()).finish(script.now());
    replayed.feed(masked).finish(script.now());
    expect_same_shape(original, replayed);
  }
}

}  // namespace
}  // namespace inferscope::assemble
