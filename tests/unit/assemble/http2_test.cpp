// SPDX-License-Identifier: Apache-2.0
// HTTP/2 and gRPC, as nghttp2's client and server say it to each other.
#include <zlib.h>

#include <deque>
#include <random>

#include "assemble/http2/hpack.h"
#include "tests/support/http2_peers.h"
#include "tests/unit/assemble/redaction.h"

namespace inferscope::assemble {
namespace {

using http2::HpackDecoder;
using http2::HpackField;
using http2::mask_string;
using test::Http2Peers;
using Turns = std::vector<Http2Peers::Turn>;

Headers post(const std::string& path, const std::string& type = "application/json", Headers more = {}) {
  Headers headers{{":method", "POST"},
                  {":scheme", "http"},
                  {":path", path},
                  {":authority", "models.example:8000"},
                  {"content-type", type}};
  headers.insert(headers.end(), more.begin(), more.end());
  return headers;
}
Headers answer(const std::string& type = "application/json", const std::string& status = "200") {
  return {{":status", status}, {"content-type", type}};
}

/// A message of gRPC.
std::string framed(std::string_view message, bool compressed = false) {
  const auto size = static_cast<std::uint32_t>(message.size());
  std::string bytes(1, compressed ? '\1' : '\0');
  for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>((size >> shift) & 0xffU);
  return bytes.append(message);
}

Script script_of(const Turns& turns, std::size_t step = 1 << 20, Connection connection = {.role = Role::server}) {
  Script script;
  script.step(Duration::zero());
  const bool is_client = connection.role == Role::client;
  auto stream = script.open(std::move(connection));
  for (const auto& turn : turns)
    for (std::size_t i = 0; i < turn.bytes.size(); i += step)
      stream.transfer(is_client ? opposite(turn.direction) : turn.direction,
                      std::string_view(turn.bytes).substr(i, step));
  stream.closed();
  return script;
}

std::string text_of(const Turns& turns, std::size_t step, Role role = Role::server) {
  const Script script = script_of(turns, step, {.role = role});
  Trial trial;
  trial.feed(script).finish(script.now());
  return trial.log.text();
}

/// Two requests at once, of which the first is answered as a stream and last.
Turns interleaved() {
  Http2Peers peers;
  const auto first = peers.request(post("/v1/chat/completions"), R"({"stream":true})");
  const auto second = peers.request(post("/v1/embeddings", "application/json", {{"x-long", std::string(300, 'v')}}),
                                    R"({"input":)", false);
  peers.respond(first, answer("text/event-stream"), "data: {\"a\":1}\n\n", false);
  peers.more_request(second, "1}", true);
  peers.more_response(first, "data: {\"b\"");
  peers.respond(second, answer(), R"({"data":[]})");
  peers.more_response(first, ":2}\n\ndata: [DONE]\n\n", true);
  return peers.take();
}

TEST(Http2, StreamsAreExchangesWhicheverEndsFirst) {
  const Turns turns = interleaved();
  Trial trial;
  trial.feed(script_of(turns)).finish();
  ASSERT_EQ(trial.log.closed().size(), 2U);
  const Exchange& second = trial.closed(0);
  const Exchange& first = trial.closed(1);
  EXPECT_EQ(first.version, "2");
  EXPECT_EQ(first.sequence, 0U);
  EXPECT_EQ(second.sequence, 1U);
  EXPECT_EQ(first.request.method, "POST");
  EXPECT_EQ(first.request.target, "/v1/chat/completions");
  EXPECT_EQ(find_header(first.request.headers, "host"), "models.example:8000");
  EXPECT_EQ(find_header(second.request.headers, "x-long"), std::string(300, 'v'));
  EXPECT_EQ(first.response.status, 200);
  EXPECT_EQ(first.ending, Ending::complete);
  EXPECT_EQ(second.ending, Ending::complete);
  EXPECT_EQ(trial.log.joined(Kind::request_body, 0), R"({"stream":true})");
  EXPECT_EQ(trial.log.joined(Kind::request_body, 1), R"({"input":1})");
  EXPECT_EQ(trial.log.messages(0), (std::vector<std::string>{R"({"a":1})", R"({"b":2})", "[DONE]"}));
  EXPECT_EQ(trial.log.joined(Kind::response_body, 1), R"({"data":[]})");
  EXPECT_EQ(first.request.body_bytes, 15U);
  EXPECT_TRUE(first.gaps.empty() && second.gaps.empty());
}

TEST(Http2, AnyDivisionGivesTheSame) {
  const Turns turns = interleaved();
  for (const Role role : {Role::server, Role::client}) {
    const std::string whole = text_of(turns, 1 << 20, role);
    for (const std::size_t step : {1, 2, 3, 5, 8, 9, 10, 17, 64}) EXPECT_EQ(text_of(turns, step, role), whole) << step;
  }
}

/// As `curl --http2` asks for it: one request over HTTP/1.1, answered over HTTP/2, and then another one.
Turns upgraded() {
  Turns turns{{Direction::received,
               "POST /v1/completions HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
               "HTTP2-Settings: AAMAAABk\r\nContent-Length: 12\r\n\r\n{\"prompt\":1}"}};
  Http2Peers peers = Http2Peers::upgraded();
  const Turns greetings = peers.take();
  peers.respond(1, answer(), R"({"choices":[]})");
  const auto next = peers.request(post("/v1/embeddings"), R"({"input":2})");
  peers.respond(next, answer(), R"({"data":[]})");
  std::string switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
  for (const auto& turn : greetings)
    if (turn.direction == Direction::sent) switched += turn.bytes;
  turns.push_back({Direction::sent, switched});
  for (const auto& turn : greetings)
    if (turn.direction == Direction::received) turns.push_back(turn);
  for (auto& turn : peers.take()) turns.push_back(std::move(turn));
  return turns;
}

TEST(Http2, AnUpgradesRequestIsAnsweredByTheFirstStream) {
  const Turns turns = upgraded();
  Trial trial;
  trial.feed(script_of(turns)).finish();
  ASSERT_EQ(trial.log.closed().size(), 2U);
  for (const std::size_t i : {0U, 1U}) {
    const Exchange& exchange = trial.closed(i);
    EXPECT_EQ(exchange.sequence, i);
    EXPECT_EQ(exchange.version, "2");
    EXPECT_EQ(exchange.response.status, 200);
    EXPECT_EQ(exchange.ending, Ending::complete);
    EXPECT_TRUE(exchange.gaps.empty());
  }
  EXPECT_EQ(trial.closed(0).request.target, "/v1/completions");
  EXPECT_EQ(trial.closed(0).response.informational, 1U);
  EXPECT_EQ(trial.log.joined(Kind::request_body, 0), R"({"prompt":1})");
  EXPECT_EQ(trial.log.joined(Kind::response_body, 0), R"({"choices":[]})");
  EXPECT_EQ(trial.closed(1).request.target, "/v1/embeddings");
  for (const Role role : {Role::server, Role::client}) {
    const std::string whole = text_of(turns, 1 << 20, role);
    for (const std::size_t step : {1, 2, 3, 7, 64}) EXPECT_EQ(text_of(turns, step, role), whole) << step;
  }
}

TEST(Http2, AnUpgradeBehindAnotherRequest) {
  Turns turns{{Direction::received, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"},
              {Direction::sent, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}};
  for (auto& turn : upgraded()) turns.push_back(std::move(turn));
  Trial trial;
  trial.feed(script_of(turns)).finish();
  ASSERT_EQ(trial.log.closed().size(), 3U);
  for (const std::size_t i : {0U, 1U, 2U}) EXPECT_EQ(trial.closed(i).sequence, i);
}

TEST(Http2, AnUpgradeThatBreaksOffEndsWithItsConnection) {
  Turns turns = upgraded();
  turns.resize(2);
  Trial trial;
  trial.feed(script_of(turns)).finish();
  ASSERT_EQ(trial.log.closed().size(), 1U);
  EXPECT_EQ(trial.closed().ending, Ending::server_closed);
}

TEST(Http2, AServerThatSpeaksFirstIsKnownByItsSettings) {
  Turns turns = interleaved();
  const auto settings =
      std::find_if(turns.begin(), turns.end(), [](const auto& turn) { return turn.direction == Direction::sent; });
  std::rotate(turns.begin(), settings, settings + 1);
  Trial trial;
  trial.feed(script_of(turns, 1 << 20, {})).finish();
  EXPECT_EQ(trial.log.closed().size(), 2U);
  EXPECT_EQ(trial.closed().role, Role::server);
}

TEST(Http2, InformationalHeadsTrailersAndPushesAreTakenInStride) {
  Http2Peers peers;
  const auto stream = peers.request(post("/a"), "x");
  peers.inform(stream);
  peers.push(stream, {{":method", "GET"}, {":scheme", "http"}, {":path", "/pushed"}, {":authority", "a"}, {"k", "v"}});
  peers.respond(stream, answer(), "body", true, {{"x-total-time", "12"}});
  const auto next = peers.request(post("/a"), "y");
  peers.respond(next, answer());
  Trial trial;
  trial.feed(script_of(peers.take())).finish();
  ASSERT_EQ(trial.log.closed().size(), 2U);
  EXPECT_EQ(trial.closed().response.informational, 1U);
  EXPECT_EQ(find_header(trial.closed().response.headers, "x-total-time"), "12");
  EXPECT_EQ(trial.closed(1).ending, Ending::complete);
}

TEST(Http2, AResetEndsOneStreamAlone) {
  Http2Peers peers;
  const auto cancelled = peers.request(post("/a"), "x");
  const auto refused = peers.request(post("/b"), "x");
  const auto answered_early = peers.request(post("/c"), "x", false);
  peers.respond(cancelled, answer("text/event-stream"), "data: 1\n\n", false);
  peers.reset(cancelled, true);
  peers.reset(refused, false, NGHTTP2_REFUSED_STREAM);
  peers.respond(answered_early, answer("application/json", "413"), "{}");
  peers.reset(answered_early, false, NGHTTP2_NO_ERROR);
  Trial trial;
  trial.feed(script_of(peers.take())).finish();
  ASSERT_EQ(trial.log.closed().size(), 3U);
  EXPECT_EQ(trial.closed(0).ending, Ending::client_closed);
  EXPECT_EQ(trial.closed(1).ending, Ending::server_closed);
  EXPECT_EQ(trial.closed(2).ending, Ending::complete);
  EXPECT_EQ(trial.closed(2).response.status, 413);
}

TEST(Http2, WhatIsOpenEndsWithTheConnection) {
  Http2Peers peers;
  peers.request(post("/a"), "x");
  Trial trial;
  trial.feed(script_of(peers.take())).finish();
  ASSERT_EQ(trial.log.closed().size(), 1U);
  EXPECT_EQ(trial.closed().ending, Ending::server_closed);
}

TEST(Http2, AHoleInDataIsAHoleInItsBody) {
  Http2Peers peers;
  const auto stream = peers.request(post("/a"), "x");
  peers.take();
  Http2Peers again;
  const auto same = again.request(post("/a"), "x");
  ASSERT_EQ(stream, same);
  const Turns before = again.take();
  again.respond(same, answer(), std::string(3000, 'b'), false);
  const Turns response = again.take();
  again.more_response(same, "end", true);
  const Turns rest = again.take();

  Script script;
  auto connection = script.open({.role = Role::server});
  for (const auto& turn : before) connection.transfer(turn.direction, turn.bytes);
  for (const auto& turn : response) {
    if (turn.direction == Direction::received || turn.bytes.size() < 3000)
      connection.transfer(turn.direction, turn.bytes);
    else
      connection.cut(Direction::sent, std::string_view(turn.bytes).substr(0, 500), turn.bytes.size(),
                     std::string_view(turn.bytes).substr(turn.bytes.size() - 20));
  }
  for (const auto& turn : rest) connection.transfer(turn.direction, turn.bytes);
  connection.closed();
  Trial trial;
  trial.feed(script).finish();
  ASSERT_EQ(trial.log.closed().size(), 1U);
  EXPECT_EQ(trial.closed().ending, Ending::complete);
  EXPECT_EQ(trial.closed().response.body_bytes, 3003U);
  ASSERT_EQ(trial.closed().gaps.size(), 1U);
  EXPECT_EQ(trial.closed().gaps[0].reason, Gap::Reason::not_captured);
}

TEST(Http2, AfterLostFramesTheNextRequestIsSeen) {
  Http2Peers peers;
  const auto first = peers.request(post("/a"), "x");
  peers.respond(first, answer("text/event-stream"), "data: 1\n\n", false);
  const Turns before = peers.take();
  peers.more_response(first, "data: 2\n\n", true);
  const Turns lost = peers.take();
  const auto second = peers.request(post("/b"), "y");
  peers.respond(second, answer());
  const Turns after = peers.take();

  Script script;
  auto connection = script.open({.role = Role::server});
  for (const auto& turn : before) connection.transfer(turn.direction, turn.bytes);
  for (const auto& turn : lost) connection.lose(turn.direction, turn.bytes.size());
  for (const auto& turn : after) connection.transfer(turn.direction, turn.bytes);
  connection.closed();
  Trial trial;
  trial.feed(script).finish();
  ASSERT_EQ(trial.log.closed().size(), 2U);
  EXPECT_EQ(trial.closed(0).ending, Ending::lost_track);
  EXPECT_EQ(trial.closed(1).request.target, "/b");
  EXPECT_EQ(trial.closed(1).ending, Ending::complete);
  // The response's head refers to the table, of which a part may have been in what was lost.
  EXPECT_EQ(trial.closed(1).response.status, 200);
}

TEST(Http2, JoinedInTheMiddleWhatIsKnowableIsKnown) {
  Http2Peers peers;
  const auto before = peers.request(post("/v1/completions", "application/json", {{"x-tenant", "blue"}}), "x");
  peers.respond(before, answer());
  peers.take();
  const auto stream =
      peers.request(post("/v1/completions", "application/json", {{"x-tenant", "blue"}, {"n", "1"}}), "x");
  peers.respond(stream, answer(), "body");
  const auto last = peers.request(post("/v1/new", "application/json", {{"n", "1"}}), "x");
  peers.respond(last, answer());
  Trial trial;
  trial.feed(script_of(peers.take(), 1 << 20, {.role = Role::server, .mid_stream = true})).finish();
  ASSERT_EQ(trial.log.closed().size(), 2U);
  const Exchange& exchange = trial.closed(0);
  EXPECT_EQ(exchange.request.method, "POST");
  EXPECT_EQ(exchange.request.target, "/v1/completions") << "nghttp2 never puts a path in the table";
  EXPECT_EQ(find_header(exchange.request.headers, "x-tenant"), "") << "it was said before anybody listened";
  EXPECT_EQ(find_header(exchange.request.headers, "n"), "1");
  EXPECT_EQ(exchange.response.status, 200);
  EXPECT_EQ(exchange.ending, Ending::complete);
  ASSERT_FALSE(exchange.gaps.empty());
  EXPECT_EQ(exchange.gaps[0].reason, Gap::Reason::mid_stream);
  EXPECT_EQ(trial.closed(1).request.target, "/v1/new");
  EXPECT_EQ(find_header(trial.closed(1).request.headers, "n"), "1") << "said since, and referred to by its place";
}

TEST(Http2, TooManyStreamsAtOnceCostTheOldest) {
  Limits limits;
  limits.open_streams = 2;
  Http2Peers peers;
  for (int i = 0; i < 3; ++i) peers.request(post("/" + std::to_string(i)), "x");
  Trial trial(limits);
  trial.feed(script_of(peers.take())).finish();
  ASSERT_EQ(trial.log.closed().size(), 3U);
  EXPECT_EQ(trial.closed(0).request.target, "/0");
  EXPECT_EQ(trial.closed(0).ending, Ending::lost_track);
  ASSERT_EQ(trial.closed(0).gaps.size(), 1U);
  EXPECT_EQ(trial.closed(0).gaps[0].reason, Gap::Reason::limit);
}

TEST(Http2, WhatIsNoFrameEndsIt) {
  Turns turns = interleaved();
  std::mt19937 random(7);
  for (int i = 0; i < 40; ++i) {
    std::string noise(64, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    turns.push_back({Direction::received, std::move(noise)});
  }
  Limits limits;
  limits.resync_transfers = 20;
  Trial trial(limits);
  trial.feed(script_of(turns)).finish();
  EXPECT_EQ(trial.log.closed().size(), 2U);
  EXPECT_GT(trial.dropped("malformed"), 0U);
  EXPECT_EQ(trial.control.stopped.size(), 1U);
}

TEST(Grpc, MessagesOfBothSides) {
  std::string deflated(200, '\0');
  const std::string long_message(1000, 'm');
  z_stream zip{};
  ASSERT_EQ(deflateInit2(&zip, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  zip.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(long_message.data()));
  zip.avail_in = static_cast<uInt>(long_message.size());
  zip.next_out = reinterpret_cast<Bytef*>(deflated.data());
  zip.avail_out = static_cast<uInt>(deflated.size());
  ASSERT_EQ(deflate(&zip, Z_FINISH), Z_STREAM_END);
  deflated.resize(zip.total_out);
  deflateEnd(&zip);

  Http2Peers peers;
  const auto stream = peers.request(post("/inference.GRPCInferenceService/ModelStreamInfer", "application/grpc"),
                                    framed("one") + framed("two"), false);
  Headers head = answer("application/grpc");
  head.push_back({"grpc-encoding", "gzip"});
  peers.respond(stream, head, framed("first"), false);
  peers.more_request(stream, framed(""), true);
  peers.more_response(stream, framed(deflated, true) + framed("not gzip", true), true, {{"grpc-status", "14"}});
  for (const std::size_t step : {1UL, 7UL, 1UL << 20}) {
    Trial trial;
    trial.feed(script_of(peers.turns(), step)).finish();
    ASSERT_EQ(trial.log.closed().size(), 1U);
    std::vector<std::string> requests;
    for (const auto& entry : trial.log.entries())
      if (entry.kind == Kind::request_message) requests.push_back(entry.data);
    EXPECT_EQ(requests, (std::vector<std::string>{"one", "two", ""}));
    EXPECT_EQ(trial.log.messages(), (std::vector<std::string>{"first", long_message}));
    EXPECT_EQ(find_header(trial.closed().response.headers, "grpc-status"), "14");
    ASSERT_EQ(trial.closed().gaps.size(), 1U);
    EXPECT_EQ(trial.closed().gaps[0].reason, Gap::Reason::limit);
  }
}

/// What is made of a masked copy. `bytes`: all that it says, fields of its heads decoded.
std::string redacted_text(const Script& script, std::string& bytes) {
  std::deque<std::string> contents;
  const std::vector<Event> masked = redact(script.events(), contents);
  for (const std::string& content : contents) bytes += content;
  Trial trial;
  trial.feed(masked).finish(script.now());
  for (const Exchange& exchange : trial.log.closed())
    for (const Header& header : exchange.request.headers) bytes += header.value;
  return trial.log.text(false);
}

TEST(Http2, ARedactedCopyHasTheSameShapeAndNoSecrets) {
  Http2Peers peers;
  for (int i = 0; i < 40; ++i) {  // enough for the table to run over
    const std::string tag = std::to_string(i);
    const auto stream = peers.request(
        post(
            "/v1/chat/completions", "application/json",
            {{"authorization", "Bearer sk-very-secret-" + tag}, {"x-api-key", "{~^`|}" + tag + std::string(150, 's')}}),
        R"({"model":"m","stream":true,"messages":[{"role":"user","content":"a private matter"}]})");
    if (i % 7 == 0) peers.inform(stream);
    if (i % 11 == 0)
      peers.push(stream, {{":method", "GET"}, {":scheme", "http"}, {":path", "/p"}, {":authority", "a"}, {"k", tag}});
    peers.respond(stream, answer("text/event-stream"), "data: {\"choices\":[{\"delta\":{\"content\":\"hush\"}}]}\n\n");
  }
  const Script script = script_of(peers.take());
  Trial trial;
  trial.feed(script).finish(script.now());
  std::string bytes;
  EXPECT_EQ(redacted_text(script, bytes), trial.log.text(false));
  for (const char* secret : {"private", "hush", "very-secret", "{~^`|}"})
    EXPECT_EQ(bytes.find(secret), std::string::npos) << secret;
  EXPECT_NE(bytes.find(R"("model":"m")"), std::string::npos);
}

TEST(Http2, ARedactedUpgradeHasTheSameShape) {
  const Script script = script_of(upgraded());
  Trial trial;
  trial.feed(script).finish(script.now());
  std::string bytes;
  EXPECT_EQ(redacted_text(script, bytes), trial.log.text(false));
}

TEST(Grpc, ARedactedCopyKeepsLengthsAlone) {
  Http2Peers peers;
  std::string messages;
  for (const std::size_t size : {0UL, 1UL, 2UL, 3UL, 129UL, 130UL, 131UL, 20000UL})
    messages += framed(std::string(size, 's'), size == 3);
  const auto stream = peers.request(post("/a", "application/grpc"), messages);
  peers.respond(stream, answer("application/grpc"), framed("secret"));
  for (const std::size_t step : {1UL << 20, 3UL}) {
    std::string bytes;
    redacted_text(script_of(peers.turns(), step), bytes);
    EXPECT_EQ(bytes.find("secret"), std::string::npos);
    EXPECT_EQ(bytes.find("sss"), std::string::npos);
  }
  const Script script = script_of(peers.turns());
  std::deque<std::string> contents;
  Trial trial;
  trial.feed(redact(script.events(), contents)).finish();
  std::vector<std::string> found;
  for (const auto& entry : trial.log.entries())
    if (entry.kind == Kind::request_message) found.push_back(entry.data);
  ASSERT_EQ(found.size(), 8U);
  EXPECT_EQ(found[2], std::string("\x7a\0", 2));
  EXPECT_EQ(found[3], std::string("\x7a\1x", 3));
  EXPECT_EQ(found[5].substr(0, 3), std::string("\x7a\xff\0", 3));
  EXPECT_EQ(found[7].size(), 20000U);
}

TEST(Hpack, AMaskedStringDecodesToAsManyBytes) {
  std::mt19937 random(11);
  for (int i = 0; i < 2000; ++i) {
    std::string value(random() % 60, '\0');
    for (char& c : value) c = static_cast<char>(' ' + random() % 90);
    nghttp2_hd_deflater* deflater = nullptr;
    ASSERT_EQ(nghttp2_hd_deflate_new(&deflater, 4096), 0);
    std::string name = "authorization";
    nghttp2_nv pair{reinterpret_cast<std::uint8_t*>(name.data()), reinterpret_cast<std::uint8_t*>(value.data()),
                    name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
    std::string block(200, '\0');
    const auto size =
        nghttp2_hd_deflate_hd(deflater, reinterpret_cast<std::uint8_t*>(block.data()), block.size(), &pair, 1);
    nghttp2_hd_deflate_del(deflater);
    ASSERT_GT(size, 0);
    block.resize(static_cast<std::size_t>(size));
    std::string masked = block;
    HpackDecoder decoder;
    ASSERT_TRUE(decoder.decode(block, [&](const HpackField& field) {
      ASSERT_EQ(field.value, value);
      const std::size_t at = static_cast<std::size_t>(field.wire_value->bytes.data() - block.data());
      mask_string(*field.wire_value, field.value.size(), [&](std::size_t j, char byte) { masked[at + j] = byte; });
    }));
    HpackDecoder again;
    bool seen = false;
    ASSERT_TRUE(again.decode(masked, [&](const HpackField& field) {
      seen = true;
      EXPECT_EQ(field.name, name);
      EXPECT_EQ(field.value.size(), value.size());
      EXPECT_EQ(field.value.find_first_not_of("0-xX!|#]^<\\"), std::string::npos) << field.value;
    }));
    EXPECT_TRUE(seen);
  }
}

TEST(Hpack, WhatIsNotHpackIsRefusedAndForgotten) {
  HpackDecoder decoder;
  const auto nothing = [](const HpackField&) {};
  for (const std::string_view bad :
       {std::string_view("\x80", 1), std::string_view("\x40", 1),
        std::string_view("\x40\x0a"
                         "ab",
                         4),
        std::string_view("\xff\xff\xff\xff\xff\xff", 6), std::string_view("\x00\x81\xff\x00", 4)})
    EXPECT_FALSE(decoder.decode(bad, nothing));
  std::string name;
  EXPECT_TRUE(decoder.decode("\x82", [&](const HpackField& field) { name = field.name; }));
  EXPECT_EQ(name, ":method");
}

}  // namespace
}  // namespace inferscope::assemble
