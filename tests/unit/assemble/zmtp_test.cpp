// SPDX-License-Identifier: Apache-2.0
// Connections of message queues.
#include "model/peer_message.h"
#include "tests/support/zmtp_frames.h"
#include "tests/unit/assemble/redaction.h"

namespace inferscope::assemble {
namespace {

using namespace std::string_literals;
using test::packed_array;
using test::packed_number;
using test::packed_text;
using test::zmtp_frame;
using test::zmtp_greeting;
using test::zmtp_message;
using test::zmtp_ready;

const Direction in = Direction::received;
const Direction out = Direction::sent;

/// What an assembler tells of messages, written down.
class Listener {
 public:
  explicit Listener(Limits limits = {}) : assembler(limits, &control) {}

  Listener& feed(const std::vector<Event>& events) {
    for (const Event& event : events) {
      assembler.on(event, exchanges_, messages_);
      EXPECT_TRUE(assembler.stats().balanced());
    }
    return *this;
  }
  Listener& feed(const Script& script) { return feed(script.events()); }
  [[nodiscard]] std::uint64_t dropped(std::string_view why) const {
    const StageStats stats = assembler.stats();
    const auto found = stats.dropped.find(why);
    return found == stats.dropped.end() ? 0 : found->second;
  }

  std::vector<std::string> told{};
  std::vector<Time> times{};
  std::size_t exchanges = 0;
  FakeControl control{};
  Assembler assembler;

 private:
  void write(const PeerMessage& message) {
    std::string line = message.direction == Direction::received ? "<" : ">";
    for (const PeerMessage::Frame& frame : message.frames) {
      EXPECT_LE(frame.content.size(), frame.length);
      line += '[' + std::string(frame.content);
      if (!frame.whole()) line += "…" + std::to_string(frame.length);
      line += ']';
    }
    told.push_back(line);
    times.push_back(message.time);
    EXPECT_EQ(message.pid, 100);
    EXPECT_TRUE(message.connection);
  }

  Emit<ExchangeUpdate> exchanges_ = [this](const ExchangeUpdate&) { ++exchanges; };
  Emit<PeerMessage> messages_ = [this](const PeerMessage& message) { write(message); };
};

/// A connection behind its handshake.
struct Queue {
  Script script{};
  Script::Stream stream;

  Queue() : stream(script.open({.role = Role::server})) {
    stream.received(zmtp_greeting()).sent(zmtp_greeting()).received(zmtp_ready()).sent(zmtp_ready());
  }
};

using Lines = std::vector<std::string>;

const std::string proof = packed_array({packed_text("request"), packed_array({packed_number(1)})});

TEST(Zmtp, MessagesOfBothDirections) {
  Queue queue;
  queue.stream.received(zmtp_message({"a"})).sent(zmtp_message({"", "b", std::string(300, 'c')}));
  const Time end = queue.script.now();
  queue.stream.closed();
  Listener listener;
  listener.feed(queue.script);
  EXPECT_EQ(listener.told, (Lines{"<[a]", ">[][b][" + std::string(300, 'c') + "]"}));
  EXPECT_EQ(listener.times[1], end - std::chrono::milliseconds(1)) << "when it was handed over";
  EXPECT_EQ(listener.exchanges, 0U);
  EXPECT_EQ(listener.assembler.stats().dropped_total(), 0U);
  EXPECT_TRUE(listener.control.stopped.empty());
}

TEST(Zmtp, EveryDivisionGivesTheSameMessages) {
  const std::string bytes = zmtp_greeting() + zmtp_ready() + zmtp_message({"one", ""}) + zmtp_message({""}) +
                            zmtp_frame("\4PING\0\1"s, false, true) + zmtp_message({std::string(1000, 'l'), "x"});
  for (std::size_t step = 1; step < 80; ++step) {
    Script script;
    auto stream = script.open();
    for (std::size_t i = 0; i < bytes.size(); i += step) stream.received(std::string_view(bytes).substr(i, step));
    Listener listener;
    listener.feed(script);
    EXPECT_EQ(listener.told, (Lines{"<[one][]", "<[]", "<[" + std::string(1000, 'l') + "][x]"})) << step;
    EXPECT_EQ(listener.assembler.stats().held, 0U);
  }
}

TEST(Zmtp, AHoleInABodyCutsItsFrameOnly) {
  Queue queue;
  const std::string message = zmtp_message({"type", std::string(500, 'b'), "tail"});
  queue.stream.cut(in, message.substr(0, 50), message.size(), message.substr(300)).received(zmtp_message({"after"}));
  Listener listener;
  listener.feed(queue.script);
  ASSERT_EQ(listener.told.size(), 2U);
  EXPECT_EQ(listener.told[0], "<[type][" + std::string(35, 'b') + "…500][tail]");
  EXPECT_EQ(listener.told[1], "<[after]");
}

TEST(Zmtp, AHoleOutsideOfABodyIsTold) {
  Queue queue;
  queue.stream.lose(in, 20).received("rest of something" + zmtp_message({"unread"})).received(zmtp_message({"read"}));
  Listener listener;
  listener.feed(queue.script);
  EXPECT_EQ(listener.told, (Lines{"<", "<", "<[read]"}));
  EXPECT_EQ(listener.dropped("lost"), 20U);
  EXPECT_GT(listener.dropped("lost_framing"), 0U);
}

TEST(Zmtp, LongMessagesKeepTheirBeginning) {
  Limits limits;
  limits.peer_message = 10;
  Queue queue;
  queue.stream.received(zmtp_message({"1234", "567890ABCD", "E"})).received(zmtp_message({"next"}));
  Listener listener(limits);
  listener.feed(queue.script);
  EXPECT_EQ(listener.told, (Lines{"<[1234][567890…10][…1]", "<[next]"}));
}

TEST(Zmtp, AllThatIsHeldIsBounded) {
  Limits limits;
  limits.peer_messages = 25;
  Script script;
  std::vector<Script::Stream> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(script.open());
    streams.back().received(zmtp_greeting() + zmtp_message({"1234567890ab"}).substr(0, 12));
  }
  for (Script::Stream& stream : streams) stream.received("ab").received(zmtp_message({"next"}));
  for (Script::Stream& stream : streams) stream.received(zmtp_message({"never told"}).substr(0, 8)).closed();
  Listener listener(limits);
  listener.feed(script);
  EXPECT_EQ(listener.told,
            (Lines{"<[1234567890…12]", "<[next]", "<[1234567890ab]", "<[next]", "<[12345…12]", "<[next]"}));
  EXPECT_EQ(listener.assembler.stats().held, 0U);
}

TEST(Zmtp, TooManyFramesAreTold) {
  Queue queue;
  std::string many;
  for (int i = 0; i < 1000; ++i) many += zmtp_frame("f", true);
  queue.stream.received(many + zmtp_frame("last")).received(zmtp_message({"next"}));
  Listener listener;
  listener.feed(queue.script);
  EXPECT_EQ(listener.told, (Lines{"<", "<[next]"}));
}

TEST(Zmtp, WhatIsEncipheredIsLeftAlone) {
  for (const char* mechanism : {"CURVE", "GSSAPI", ""}) {
    Script script;
    script.open().received(zmtp_greeting(mechanism)).received("anything at all");
    Listener listener;
    listener.feed(script);
    EXPECT_TRUE(listener.told.empty() || listener.told == Lines{"<"});
    EXPECT_GT(listener.dropped("enciphered"), 0U) << mechanism;
    EXPECT_EQ(listener.control.stopped.size(), 1U);
  }
  Script script;
  script.open().received(zmtp_greeting("PLAIN")).received(zmtp_message({"read"}));
  Listener listener;
  listener.feed(script);
  EXPECT_EQ(listener.told, Lines{"<[read]"});
}

TEST(Zmtp, OtherVersionsAreLeftAlone) {
  Script script;
  script.open().received(zmtp_greeting("NULL", 1)).received("anything at all");
  Listener listener;
  listener.feed(script);
  EXPECT_EQ(listener.control.stopped.size(), 1U);
  EXPECT_GT(listener.dropped("not_recognised"), 0U);
}

TEST(Zmtp, WhatIsNoneIsMissed) {
  Queue queue;
  for (int i = 0; i < 20; ++i) queue.stream.received("\xffno frame"s + std::to_string(i));
  Listener listener;
  listener.feed(queue.script);
  EXPECT_GE(listener.told.size(), 20U);
  for (const std::string& line : listener.told) EXPECT_EQ(line, "<");
  EXPECT_GT(listener.dropped("malformed"), 0U);
}

TEST(Zmtp, LengthsThatNobodySendsAreNotBelieved) {
  for (const std::string& length : {"\x7f\0\0\0\0\0\0\0"s, "\0\0\0\1\0\0\0\0"s, "\0\0\0\0\x40\0\0\1"s, "SECRETSS"s}) {
    Queue queue;
    queue.stream.received("\2"s + length + "SECRET").received(zmtp_message({"next"}));
    Listener listener;
    listener.feed(queue.script);
    ASSERT_FALSE(listener.told.empty());
    EXPECT_EQ(listener.told.front(), "<");
    EXPECT_EQ(listener.told.back(), "<[next]");
    EXPECT_GT(listener.dropped("malformed"), 0U);
    std::deque<std::string> contents;
    const std::vector<Event> masked = redact(queue.script.events(), contents);
    for (const Event& event : masked) {
      const auto* transfer = std::get_if<Transfer>(&event.body);
      if (transfer == nullptr || !transfer->head.starts_with('\2')) continue;
      EXPECT_EQ(transfer->head.find_first_not_of("\2\0\x40x"s), std::string::npos);
    }
    Listener replayed;
    replayed.feed(masked);
    EXPECT_EQ(replayed.assembler.stats().dropped, listener.assembler.stats().dropped);
  }
  Queue queue;
  queue.stream.received("\2\0\0\0\0\x40\0\0\0"s).received("the beginning");
  Listener listener;
  listener.feed(queue.script);
  EXPECT_TRUE(listener.told.empty()) << "the rest may come";
  EXPECT_EQ(listener.dropped("malformed"), 0U);
}

TEST(Zmtp, WhatIsMalformedAgainAndAgainIsGivenUp) {
  for (const bool recovers : {false, true}) {
    Queue queue;
    for (int i = 0; i < 8; ++i) {
      if (recovers && i == 4) queue.stream.received(zmtp_message({"whole"}));
      queue.stream.received(zmtp_frame("part", true)).received("\xff");
    }
    Listener listener;
    listener.feed(queue.script);
    EXPECT_EQ(listener.control.stopped.size(), recovers ? 0U : 1U);
  }
}

TEST(Zmtp, WhatWentByBeforeItWasKnownIsMissed) {
  Script script;
  auto stream = script.open({.mid_stream = true});
  stream.received("rest of a message");
  const Time then = script.now();
  stream.sent(zmtp_message({proof})).received(zmtp_message({"more"}));
  Listener listener;
  listener.feed(script);
  EXPECT_EQ(listener.told, (Lines{"<", ">[" + proof + "]", "<[more]"}));
  EXPECT_LE(listener.times[0], then);
  Script lossy;
  lossy.open().lose(in, 90).received(zmtp_message({proof}));
  Listener loser;
  loser.feed(lossy);
  EXPECT_EQ(loser.told, (Lines{"<", "<[" + proof + "]"}));
  Script nothing;
  nothing.open({.mid_stream = true}).received(zmtp_message({proof})).sent(zmtp_message({"back"}));
  Listener all;
  all.feed(nothing);
  EXPECT_EQ(all.told, (Lines{"<[" + proof + "]", ">[back]"}));
}

TEST(Zmtp, IsFoundInMidStreamByWholeMessages) {
  for (const std::string& transfer :
       {zmtp_message({proof}), zmtp_message({"\0"s, proof}), zmtp_message({"\0"s, proof, "buffer"}),
        zmtp_frame("\4PING\0\1"s, false, true) + zmtp_message({proof}),
        zmtp_message({"first"}) + zmtp_message({proof})}) {
    Script script;
    auto stream = script.open({.mid_stream = true});
    stream.received("rest of a message")
        .received(transfer)
        .received(zmtp_message({"more"}))
        .sent(zmtp_message({"back"}));
    Listener listener;
    listener.feed(script);
    ASSERT_GE(listener.told.size(), 3U);
    EXPECT_EQ(listener.told[listener.told.size() - 2], "<[more]");
    EXPECT_EQ(listener.told.back(), ">[back]");
  }
}

TEST(Zmtp, IsFoundInMidStreamByTheBeginningOfALongMessage) {
  const std::string prompt =
      packed_array({packed_text("request"), packed_array(std::vector<std::string>(9000, packed_number(70000)))});
  for (const std::string& message : {zmtp_message({prompt}), zmtp_message({"\0"s, prompt})}) {
    const std::string beginning = message.substr(0, 16000);
    Script pieces;
    pieces.open({.mid_stream = true}).received(beginning).received(message.substr(16000));
    Listener listener;
    listener.feed(pieces);
    ASSERT_EQ(listener.told.size(), 1U);
    EXPECT_TRUE(listener.told[0].ends_with('[' + prompt + ']'));
    Script cut;
    cut.open({.mid_stream = true}).cut(in, beginning, message.size()).received(zmtp_message({"more"}));
    Listener of_cut;
    of_cut.feed(cut);
    ASSERT_EQ(of_cut.told.size(), 2U);
    EXPECT_TRUE(of_cut.told[0].ends_with("…" + std::to_string(prompt.size()) + "]"));
    EXPECT_EQ(of_cut.told[1], "<[more]");
  }
}

TEST(Zmtp, IsNotFoundInMidStreamByLess) {
  const std::string long_array = packed_array(std::vector<std::string>(300, packed_number(1)));
  const std::string long_text = packed_text(std::string(300, 't'));
  const std::string wrong = packed_array(std::vector<std::string>(300, "\xc1"));
  const std::string dns = "\0\x1d\x9a\x02\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1"s;
  for (const std::string& transfer :
       {dns, zmtp_message({"text"}), zmtp_message({proof}) + "x", zmtp_message({proof}).substr(0, 8),
        zmtp_message({proof + "x"}), zmtp_frame(proof, true), zmtp_message({"\x93\1\2\3"s}),
        zmtp_message({"ab", proof}), "\2\0\0\0\0\0\0\0"s + static_cast<char>(proof.size()) + proof,
        zmtp_message({long_array}).substr(0, 40), zmtp_message({"ab", long_array}).substr(0, 200),
        zmtp_message({long_text}).substr(0, 200), zmtp_message({wrong}).substr(0, 200),
        zmtp_frame(long_array, false, true).substr(0, 200), "GET / HTTP/1.0\r\n\r\n"s}) {
    Script script;
    auto stream = script.open({.mid_stream = true});
    stream.received(transfer).received(zmtp_message({"more"}));
    Listener listener;
    listener.feed(script);
    EXPECT_TRUE(listener.told.empty()) << transfer;
  }
  // Where the beginning was seen, nothing has to be guessed.
  Script script;
  script.open().received(zmtp_message({proof}));
  Listener listener;
  listener.feed(script);
  EXPECT_TRUE(listener.told.empty());
}

TEST(Zmtp, MaskedRecordingsKeepFramesAndNothingElse) {
  Queue queue;
  queue.stream.received(zmtp_message({"SECRET", proof, std::string(400, 'S')}))
      .sent(zmtp_frame("\5HELLO\6SECRET\6SECRET"s, false, true))
      .cut(in, zmtp_message({std::string(600, 'S')}).substr(0, 100), 609, std::string(20, 'S'))
      .received("SECRET SECRET, which begins no frame")
      .received(zmtp_message({"SECRET"}))
      .closed();
  Script mid_stream;
  mid_stream.open({.mid_stream = true}).received(zmtp_message({proof})).received(zmtp_message({"SECRET"}));
  std::deque<std::string> contents;
  std::vector<Event> events = queue.script.events();
  const std::vector<Event> masked = redact(events, contents);
  for (const auto& all : {masked, redact(mid_stream.events(), contents)})
    for (const Event& event : all)
      if (const auto* transfer = std::get_if<Transfer>(&event.body)) {
        EXPECT_EQ(transfer->head.find("SECRET"), std::string::npos);
        EXPECT_EQ(transfer->head.find("SSS"), std::string::npos);
        EXPECT_EQ(transfer->head.find("request"), std::string::npos);
        EXPECT_EQ(transfer->tail.find("SSS"), std::string::npos);
      }
  Listener original;
  Listener replayed;
  original.feed(events);
  replayed.feed(masked);
  ASSERT_EQ(replayed.told.size(), original.told.size());
  for (std::size_t i = 0; i < original.told.size(); ++i) EXPECT_EQ(replayed.told[i].size(), original.told[i].size());
  EXPECT_EQ(replayed.times, original.times);
  EXPECT_EQ(replayed.assembler.stats().dropped, original.assembler.stats().dropped);
}

TEST(Zmtp, ATextBehindASignatureIsNotKept) {
  Script script;
  script.open().received(zmtp_greeting().substr(0, 12) + "a SECRET of another protocol");
  std::deque<std::string> contents;
  for (const Event& event : redact(script.events(), contents)) {
    const auto* transfer = std::get_if<Transfer>(&event.body);
    EXPECT_TRUE(transfer == nullptr || transfer->head.find("SECRET") == std::string::npos);
  }
}

}  // namespace
}  // namespace inferscope::assemble
