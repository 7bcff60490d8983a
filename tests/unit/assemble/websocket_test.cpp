// SPDX-License-Identifier: Apache-2.0
// Connections that become a WebSocket.
#include <zlib.h>

#include <deque>
#include <random>

#include "tests/support/websocket_frames.h"
#include "tests/unit/assemble/redaction.h"

namespace inferscope::assemble {
namespace {

using namespace std::string_literals;
using Messages = std::vector<std::string>;
using Reason = ConnectionClosed::Reason;
using test::ws_client_text;
using test::ws_frame;
using test::ws_request;
using test::ws_response;
using test::ws_server_text;

const Direction in = Direction::received;
const Direction out = Direction::sent;
const std::string key = "\x01\x80zK";
const std::string server_close = ws_frame(test::ws_final | test::ws_close, "\x03\xe8");
const std::string client_close = ws_frame(test::ws_final | test::ws_close, "\x03\xe8", key);

/// A server's connection behind the handshake.
struct Upgraded {
  Script script{};
  Script::Stream stream;

  explicit Upgraded(std::string_view extensions = {}) : stream(script.open({.role = Role::server})) {
    stream.received(ws_request).sent(ws_response(extensions));
  }
};

Messages client_messages(const Trial& run) {
  return run.log.messages(0, Kind::request_message);
}

TEST(WebSocket, IsOneExchangeUntilItCloses) {
  Upgraded socket;
  socket.stream.sent(ws_server_text("hello"))
      .received(ws_client_text("{\"a\":1}"))
      .sent(ws_server_text(""))
      .sent(ws_frame(test::ws_final | test::ws_binary, "\1\2\3"));
  Trial run;
  run.feed(socket.script);
  EXPECT_EQ(run.log.open(), 1U);
  socket.stream.received(client_close).sent(server_close).closed();
  Trial whole;
  whole.feed(socket.script).finish(socket.script.now());
  ASSERT_EQ(whole.log.closed().size(), 1U);
  const Exchange& exchange = whole.closed();
  EXPECT_EQ(exchange.ending, Ending::complete);
  EXPECT_EQ(exchange.response.status, 101);
  EXPECT_EQ(whole.log.messages(), (Messages{"hello", ""}));
  EXPECT_EQ(client_messages(whole), Messages{"{\"a\":1}"});
  EXPECT_EQ(exchange.request.body_bytes, 7U + 2U);
  EXPECT_EQ(exchange.response.body_bytes, 5U + 3U + 2U);
  EXPECT_TRUE(exchange.gaps.empty());
  EXPECT_TRUE(exchange.response.first_body < exchange.response.end);
  EXPECT_TRUE(whole.control.stopped.empty());
  EXPECT_EQ(whole.stats().out, whole.stats().in);
}

TEST(WebSocket, EveryDivisionGivesTheSameUpdates) {
  const std::string long_text(300, 'l');
  const std::string server =
      ws_response() + ws_server_text("first") + ws_server_text(long_text) + ws_frame(test::ws_text, "frag") +
      ws_frame(test::ws_final | test::ws_ping, "are you") + ws_frame(test::ws_continuation, "") +
      ws_frame(test::ws_continuation, "men") + ws_frame(test::ws_final | test::ws_continuation, "ts") +
      ws_frame(test::ws_binary, "\1\2") + ws_frame(test::ws_final | test::ws_continuation, "\3") + server_close;
  const std::string client = ws_client_text("{\"x\":\"y\"}") +
                             ws_frame(test::ws_final | test::ws_pong, "are you", key) +
                             ws_frame(test::ws_text, "ab", key) +
                             ws_frame(test::ws_final | test::ws_continuation, "cde", "\xff\x01\x02\x03") + client_close;
  const auto play = [&](Role role, std::size_t step) {
    Script script;
    script.step(Duration::zero());
    auto stream = script.open({.role = role});
    const auto send = [&](Direction direction, std::string_view bytes) {
      for (std::size_t i = 0; i < bytes.size(); i += step)
        stream.transfer(role == Role::client ? opposite(direction) : direction, bytes.substr(i, step));
    };
    send(in, ws_request);
    send(out, server);
    send(in, client);
    stream.closed();
    Trial run;
    run.feed(script).finish(script.now());
    EXPECT_EQ(run.log.messages(), (Messages{"first", long_text, "fragments"}));
    EXPECT_EQ(client_messages(run), (Messages{"{\"x\":\"y\"}", "abcde"}));
    EXPECT_EQ(run.closed().ending, Ending::complete);
    return run.log.text();
  };
  for (const Role role : {Role::server, Role::client, Role::unknown}) {
    const std::string expected = play(role, 1 << 20);
    for (std::size_t step = 1; step < 40; ++step) ASSERT_EQ(play(role, step), expected) << step;
  }
}

TEST(WebSocket, LengthsOfEverySize) {
  for (const std::size_t size : {0U, 1U, 125U, 126U, 65535U, 65536U, 200000U}) {
    const std::string payload(size, 'p');
    Upgraded socket;
    socket.stream.sent(ws_server_text(payload)).received(ws_client_text(payload)).sent(ws_server_text("next"));
    Trial run;
    run.feed(socket.script);
    EXPECT_EQ(run.log.messages(), (Messages{payload, "next"})) << size;
    EXPECT_EQ(client_messages(run), Messages{payload}) << size;
  }
}

TEST(WebSocket, LongMessagesAreLeftOut) {
  Limits limits;
  limits.message = 10;
  Upgraded socket;
  socket.stream.sent(ws_server_text("12345678901"))
      .sent(ws_frame(test::ws_text, "123456") + ws_frame(test::ws_final | test::ws_continuation, "78901"))
      .sent(ws_server_text("1234567890"))
      .sent(server_close)
      .closed();
  Trial run(limits);
  run.feed(socket.script).finish(socket.script.now());
  EXPECT_EQ(run.log.messages(), Messages{"1234567890"});
  ASSERT_EQ(run.closed().gaps_total, 2U);
  EXPECT_EQ(run.closed().gaps[0].reason, Gap::Reason::limit);
  EXPECT_EQ(run.closed().response.body_bytes, 11U + 11U + 10U + 2U);
  EXPECT_EQ(run.log.count(Kind::response_hole), 2U);
}

TEST(WebSocket, HoleInAPayloadCostsItsMessage) {
  Upgraded socket;
  const std::string frame = ws_server_text(std::string(100, 'a'));
  socket.stream.sent(ws_frame(test::ws_text, "begin"))
      .cut(out, ws_frame(test::ws_continuation, "12345678").substr(0, 4), 10, "78")
      .sent(ws_frame(test::ws_final | test::ws_continuation, "end"))
      .cut(out, frame.substr(0, 12), frame.size(), frame.substr(82))
      .sent(ws_server_text("after"));
  const std::string masked = ws_client_text("0123456789");
  socket.stream.cut(in, masked.substr(0, 8), masked.size(), masked.substr(10))
      .received(ws_client_text("more"))
      .sent(server_close)
      .closed();
  Trial run;
  run.feed(socket.script).finish(socket.script.now());
  EXPECT_EQ(run.log.messages(), Messages{"after"});
  EXPECT_EQ(client_messages(run), Messages{"more"});
  const Exchange& exchange = run.closed();
  EXPECT_EQ(exchange.ending, Ending::complete);
  ASSERT_EQ(exchange.gaps.size(), 3U);
  EXPECT_EQ(exchange.gaps[1].reason, Gap::Reason::not_captured);
  EXPECT_EQ(exchange.gaps[1].bytes, 70U);
  EXPECT_EQ(exchange.gaps[2].direction, in);
  EXPECT_EQ(exchange.gaps[2].bytes, 2U);
  EXPECT_EQ(exchange.response.body_bytes, 5U + 8U + 3U + 100U + 5U + 2U);
  EXPECT_EQ(run.log.count(Kind::response_hole), 2U);
}

TEST(WebSocket, LostFramesAreFoundAgainWhereATransferBegins) {
  Upgraded socket;
  const std::uint64_t begin = socket.stream.sent(ws_server_text("one")).position(out);
  socket.stream.lose(out, 50)
      .sent("the middle of a long message")
      .sent(ws_server_text("two") + ws_frame(test::ws_final | test::ws_continuation, "the end of nothing"))
      .sent(ws_server_text("three"));
  socket.stream.lose(in, 9).received("\x01\x02").received(ws_client_text("four"));
  Trial open;
  open.feed(socket.script);
  EXPECT_EQ(open.log.messages(), (Messages{"one", "three"})) << "what follows the second is none of a WebSocket";
  EXPECT_EQ(client_messages(open), Messages{"four"});
  socket.stream.sent(server_close).closed();
  Trial run;
  run.feed(socket.script).finish(socket.script.now());
  EXPECT_EQ(run.closed().ending, Ending::complete);
  ASSERT_GE(run.closed().gaps.size(), 2U);
  EXPECT_EQ(run.closed().gaps[0].position, begin);
  EXPECT_EQ(run.closed().gaps[0].reason, Gap::Reason::lost);
  EXPECT_EQ(run.closed().gaps[0].direction, out);
}

TEST(WebSocket, FragmentsOfWhatWasLostAreNoMessage) {
  Upgraded socket;
  socket.stream.lose(out, 20)
      .sent(ws_frame(test::ws_continuation, "middle"))
      .sent(ws_frame(test::ws_final | test::ws_continuation, "end") + ws_server_text("whole"));
  Trial run;
  run.feed(socket.script);
  EXPECT_EQ(run.log.messages(), Messages{"whole"});
}

TEST(WebSocket, WhenItsEndWasLostNobodyKnowsHowItEnded) {
  Upgraded socket;
  socket.stream.sent(ws_server_text("one")).lose(out, 4).closed();
  Trial run;
  run.feed(socket.script).finish(socket.script.now());
  EXPECT_EQ(run.closed().ending, Ending::lost_track);
}

struct Refused {
  const char* what;
  std::string bytes;
  bool of_client = false;
};

class MalformedFrame : public testing::TestWithParam<Refused> {};

TEST_P(MalformedFrame, IsAGapAndTheNextTransferIsRead) {
  for (const bool bytewise : {false, true}) {
    Upgraded socket;
    const Direction from = GetParam().of_client ? in : out;
    if (bytewise) {
      socket.stream.bytewise(from, GetParam().bytes);
    } else {
      socket.stream.transfer(from, GetParam().bytes);
    }
    socket.stream.sent(ws_server_text("next")).received(ws_client_text("next")).sent(server_close).closed();
    Trial run;
    run.feed(socket.script).finish(socket.script.now());
    ASSERT_FALSE(run.closed().gaps.empty());
    EXPECT_EQ(run.closed().gaps[0].reason, Gap::Reason::malformed);
    EXPECT_EQ(run.closed().gaps[0].direction, from);
    EXPECT_EQ(run.log.messages(), Messages{"next"});
    EXPECT_EQ(client_messages(run), Messages{"next"});
    EXPECT_EQ(run.closed().ending, Ending::complete);
    EXPECT_GT(run.dropped("malformed"), 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, MalformedFrame,
    testing::Values(Refused{"rsv1_without_extension", "\xC1\x01x"s}, Refused{"rsv2", "\xA1\x01x"s},
                    Refused{"rsv3", "\x91\x01x"s}, Refused{"unknown_opcode", "\x83\x01x"s},
                    Refused{"unknown_control_opcode", "\x8B\x00"s}, Refused{"masked_server", "\x81\x81xxxxx"s},
                    Refused{"unmasked_client", "\x81\x01x"s, true}, Refused{"fragmented_ping", "\x09\x00"s},
                    Refused{"long_ping", "\x89\x7E\x00\x80"s}, Refused{"long_form_of_5", "\x81\x7E\x00\x05"s},
                    Refused{"long_form_of_65535", "\x81\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF"s},
                    Refused{"negative", "\x81\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s},
                    Refused{"continuation_of_nothing", "\x80\x00"s},
                    Refused{"message_in_a_message", "\x01\x00\x81\x00"s}),
    [](const auto& tested) { return std::string(tested.param.what); });

TEST(WebSocket, GarbageMakesTheConnectionOpaque) {
  Limits limits;
  limits.resync_transfers = 5;
  Upgraded socket;
  for (int i = 0; i < 8; ++i) socket.stream.sent("no frames");
  socket.stream.closed();
  Trial run(limits);
  run.feed(socket.script).finish(socket.script.now());
  EXPECT_EQ(run.control.stopped, std::vector<ConnectionId>{socket.stream.id()});
  EXPECT_EQ(run.closed().ending, Ending::lost_track);
}

struct End {
  const char* what;
  std::string server;
  std::string client;
  Reason reason;
  Ending ending;
};

class WebSocketEnds : public testing::TestWithParam<End> {};

TEST_P(WebSocketEnds, As) {
  Upgraded socket;
  socket.stream.sent(ws_server_text("a"));
  if (!GetParam().client.empty()) socket.stream.received(GetParam().client);
  if (!GetParam().server.empty()) socket.stream.sent(GetParam().server);
  socket.stream.closed(GetParam().reason);
  Trial run;
  run.feed(socket.script).finish(socket.script.now());
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, GetParam().ending);
  EXPECT_EQ(run.log.count(Kind::response_end), GetParam().ending == Ending::complete ? 1U : 0U);
}

INSTANTIATE_TEST_SUITE_P(
    All, WebSocketEnds,
    testing::Values(End{"both_say_so", server_close, client_close, Reason::closed, Ending::complete},
                    End{"server_says_so", server_close, "", Reason::closed, Ending::complete},
                    End{"client_says_so", "", client_close, Reason::reset, Ending::complete},
                    End{"said_before_the_process_ends", server_close, "", Reason::process_exited, Ending::complete},
                    End{"server_just_closes", "", "", Reason::closed, Ending::server_closed},
                    End{"client_resets", "", "", Reason::reset, Ending::client_closed},
                    End{"process_exits", "", "", Reason::process_exited, Ending::process_exited}),
    [](const auto& tested) { return std::string(tested.param.what); });

TEST(WebSocket, NothingBelongsToItBehindItsEnd) {
  Upgraded socket;
  socket.stream.sent(server_close + ws_server_text("late")).received(ws_client_text("still there"));
  socket.script.exited(100);
  socket.stream.sent(ws_server_text("later"));
  Trial run;
  run.feed(socket.script).finish(socket.script.now());
  EXPECT_EQ(run.log.messages(), Messages{});
  EXPECT_EQ(client_messages(run), Messages{"still there"});
  EXPECT_EQ(run.closed().ending, Ending::complete);
  EXPECT_EQ(run.dropped("after_end"), 6U + 7U);
}

TEST(WebSocket, ServerEndsItsSide) {
  Upgraded socket;
  socket.stream.sent(ws_server_text("a")).half_closed(out);
  Trial run;
  run.feed(socket.script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::server_closed);
}

TEST(WebSocket, ShutDownWhileOpen) {
  Upgraded socket;
  socket.stream.sent(ws_server_text("a") + "\x81\x7E");
  Trial run;
  run.feed(socket.script);
  EXPECT_EQ(run.stats().held, 2U);
  run.finish(socket.script.now());
  EXPECT_EQ(run.closed().ending, Ending::shut_down);
}

TEST(WebSocket, UnknownExtensionsAreNotRead) {
  for (const char* extensions : {"x-mux", "permessage-deflate, x-mux", "permessage-deflate, permessage-deflate"}) {
    Upgraded socket(extensions);
    socket.stream.sent(ws_server_text("a"));
    Trial run;
    run.feed(socket.script);
    ASSERT_EQ(run.log.closed().size(), 1U);
    EXPECT_EQ(run.closed().ending, Ending::upgraded);
    EXPECT_EQ(run.dropped("after_upgrade"), 3U);
  }
}

/// permessage-deflate as a sender does it.
class Deflater {
 public:
  Deflater() { EXPECT_EQ(deflateInit2(&stream_, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater() { deflateEnd(&stream_); }

  std::string operator()(const std::string& text) {
    std::string all(deflateBound(&stream_, text.size()) + 64, '\0');
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
    stream_.avail_in = static_cast<uInt>(text.size());
    stream_.next_out = reinterpret_cast<Bytef*>(all.data());
    stream_.avail_out = static_cast<uInt>(all.size());
    EXPECT_EQ(deflate(&stream_, Z_SYNC_FLUSH), Z_OK);
    all.resize(all.size() - stream_.avail_out);
    EXPECT_TRUE(all.ends_with("\x00\x00\xff\xff"s));
    all.resize(all.size() - 4);
    return all;
  }
  void forget() { deflateReset(&stream_); }

 private:
  z_stream stream_{};
};

constexpr unsigned char compressed_text = test::ws_final | test::ws_compressed | test::ws_text;
const std::string said = "the same words, which the second message refers to";

TEST(WebSocketDeflate, InEveryDivision) {
  Deflater of_server;
  Deflater of_client;
  const std::string first = of_server(said);
  const std::string second = of_server(said + "!");
  EXPECT_LT(second.size(), 10U) << "refers to the first";
  const std::string third = of_server("binary");
  const std::string fourth = of_server("binary again");
  const std::string server =
      ws_frame(compressed_text, first) + ws_frame(test::ws_compressed | test::ws_text, second.substr(0, 2)) +
      ws_frame(test::ws_final | test::ws_ping, "ping") +
      ws_frame(test::ws_final | test::ws_continuation, second.substr(2)) + ws_server_text("not compressed") +
      ws_frame(test::ws_final | test::ws_compressed | test::ws_binary, third) + ws_frame(compressed_text, fourth) +
      server_close;
  std::string client = ws_frame(compressed_text, of_client(said), key);
  client += ws_frame(compressed_text, of_client(said), key);
  for (std::size_t step = 1; step < 60; ++step) {
    Upgraded socket("permessage-deflate; server_max_window_bits=15");
    for (std::size_t i = 0; i < server.size(); i += step) socket.stream.sent(server.substr(i, step));
    for (std::size_t i = 0; i < client.size(); i += step) socket.stream.received(client.substr(i, step));
    socket.stream.closed();
    Trial run;
    run.feed(socket.script).finish(socket.script.now());
    EXPECT_EQ(run.log.messages(), (Messages{said, said + "!", "not compressed", "binary again"})) << step;
    EXPECT_EQ(client_messages(run), (Messages{said, said})) << step;
    EXPECT_EQ(run.closed().gaps_total, 0U);
  }
}

TEST(WebSocketDeflate, AHoleEndsItUnlessMessagesStandAlone) {
  for (const bool alone : {false, true}) {
    Deflater deflater;
    const std::string first = ws_frame(compressed_text, deflater(said));
    if (alone) deflater.forget();
    Upgraded socket(alone ? "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
                          : "permessage-deflate");
    socket.stream.cut(out, first.substr(0, 10), first.size(), first.substr(20))
        .sent(ws_frame(compressed_text, deflater(said)))
        .sent(ws_server_text("plain"))
        .sent(server_close)
        .closed();
    Trial run;
    run.feed(socket.script).finish(socket.script.now());
    EXPECT_EQ(run.log.messages(), alone ? (Messages{said, "plain"}) : Messages{"plain"});
    EXPECT_EQ(run.closed().gaps.back().reason, alone ? Gap::Reason::not_captured : Gap::Reason::limit);
    EXPECT_EQ(run.log.count(Kind::response_hole), alone ? 1U : 2U);
  }
}

TEST(WebSocketDeflate, BombsAndGarbageAreLeftAndTheConnectionGoesOn) {
  Limits limits;
  limits.decoded_floor = 10000;
  Deflater deflater;
  const std::string bomb = deflater(std::string(5'000'000, 'a'));
  for (const std::string& payload : {bomb, "xxxxxxxxxxxx"s}) {
    Upgraded socket("permessage-deflate");
    socket.stream.sent(ws_frame(compressed_text, payload)).sent(ws_server_text("plain")).sent(server_close).closed();
    Trial run(limits);
    run.feed(socket.script).finish(socket.script.now());
    EXPECT_EQ(run.log.messages(), Messages{"plain"});
    ASSERT_EQ(run.closed().gaps.size(), 1U);
    EXPECT_EQ(run.closed().gaps[0].reason, payload == bomb ? Gap::Reason::limit : Gap::Reason::malformed);
    EXPECT_EQ(run.closed().ending, Ending::complete);
  }
}

TEST(WebSocketDeflate, WhatIsTooLongIsStillReferredTo) {
  Limits limits;
  limits.message = 40;
  Deflater deflater;
  Upgraded socket("permessage-deflate");
  socket.stream.sent(ws_frame(compressed_text, deflater(said)))
      .sent(ws_frame(compressed_text, deflater("the same words")));
  Trial run(limits);
  run.feed(socket.script);
  EXPECT_EQ(run.log.messages(), Messages{"the same words"});
}

TEST(WebSocketRedact, MessagesKeepTheirStructure) {
  Upgraded socket;
  socket.stream.sent(ws_server_text(R"({"type":"response.text.delta","delta":"secret"})"))
      .received(ws_client_text(R"({"type":"session.update","session":{"model":"m","instructions":"secret"}})"))
      .received(ws_client_text("secret words"))
      .received(ws_frame(test::ws_final | test::ws_ping, "secret", key))
      .sent(ws_frame(test::ws_final | test::ws_binary, "secret") + server_close)
      .closed();
  std::deque<std::string> contents;
  const auto masked = redact(socket.script.events(), contents);
  for (const std::string& content : contents) EXPECT_EQ(content.find("secret"), std::string::npos);
  Trial run;
  run.feed(masked).finish(socket.script.now());
  EXPECT_EQ(run.log.messages(), Messages{R"({"type":"response.text.delta","delta":"xxxxxx"})"});
  EXPECT_EQ(client_messages(run),
            (Messages{R"({"type":"session.update","session":{"model":"m","instructions":"xxxxxx"}})", "xxxxxxxxxxxx"}));
  EXPECT_EQ(run.closed().ending, Ending::complete);
}

TEST(WebSocketRedact, CompressedMessagesAreUnreadable) {
  Deflater deflater;
  Upgraded socket("permessage-deflate");
  socket.stream.sent(ws_frame(compressed_text, deflater(said)))
      .received(ws_frame(compressed_text, Deflater{}(said), key))
      .sent(server_close)
      .closed();
  std::deque<std::string> contents;
  Trial run;
  run.feed(redact(socket.script.events(), contents)).finish(socket.script.now());
  EXPECT_EQ(run.log.messages(), Messages{});
  EXPECT_EQ(client_messages(run), Messages{});
  EXPECT_EQ(run.closed().gaps_total, 2U);
  EXPECT_EQ(run.closed().ending, Ending::complete);
}

/// However the stream is divided and whatever of it is lost.
TEST(WebSocketRedact, ReplayGivesTheSameExchange) {
  std::mt19937 random(5);
  const std::vector<std::pair<Direction, std::string>> turns{
      {in, ws_request},
      {out, ws_response() + ws_server_text(R"({"type":"session.created","text":"SECRET"})")},
      {in, ws_client_text(R"({"type":"input","audio":"SECRET"})") + ws_frame(test::ws_text, R"({"te)", key) +
               ws_frame(test::ws_final | test::ws_ping, "SECRET", key) +
               ws_frame(test::ws_final | test::ws_continuation, R"(xt":"SECRET"})", key)},
      {out, ws_server_text("SECRET") + ws_frame(test::ws_final | test::ws_binary, "SECRET \x81\x01x SECRET") +
                ws_frame(test::ws_text, R"({"delta":"SECRET)") +
                ws_frame(test::ws_final | test::ws_continuation, "\"}")},
      {in, ws_client_text(std::string(200, 's'))},
      {out, "\xC1\x06SECRET"s},
      {out, ws_server_text(R"({"delta":"SECRET"})") + server_close},
      {in, client_close + "SECRET"},
  };
  for (int round = 0; round < 2000; ++round) {
    const std::size_t longest = 1 + random() % 120;
    const bool lossy = round % 2 == 1;
    const Script script = divided(turns, random, longest, lossy);
    std::deque<std::string> contents;
    const std::vector<Event> masked = redact(script.events(), contents);
    for (const std::string& content : contents) ASSERT_EQ(content.find("SECRET"), std::string::npos);
    Trial original;
    Trial replayed;
    original.feed(script.events()).finish(script.now());
    replayed.feed(masked).finish(script.now());
    for (const auto& entry : replayed.log.entries()) ASSERT_EQ(entry.data.find("SECRET"), std::string::npos);
    expect_same_shape(original, replayed);
  }
}

}  // namespace
}  // namespace inferscope::assemble
