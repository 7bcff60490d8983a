// stage: assemble
// SPDX-License-Identifier: Apache-2.0
// Connections of message queues, with and without their beginning: any bytes, the same whole and in pieces, and with a
// hole; what the redactor keeps of them shows no body. The first byte says whether the beginning is there, the second
// the division, the third where a hole is.
#include <deque>
#include <string>

#include "assemble/assembler.h"
#include "assemble/redact.h"
#include "assemble/zmtp/reader.h"
#include "tests/fuzz/fuzz_events.h"
#include "tests/support/zmtp_frames.h"

using namespace inferscope;

namespace {

constexpr std::size_t longest_message = 512;

struct Play {
  std::string bytes{};
  std::size_t step = 1;
  std::size_t hole = ~std::size_t{0};  ///< in place of this piece

  [[nodiscard]] test::Script script() const {
    test::Script script;
    script.step(Duration::zero());
    auto stream = script.open();
    for (std::size_t i = 0; i < bytes.size(); i += step) {
      const std::string_view piece = std::string_view(bytes).substr(i, step);
      if (hole == i / step) {
        stream.cut(Direction::received, {}, piece.size());
      } else {
        stream.received(piece);
      }
    }
    return script;
  }
};

/// What is told, until something is missed: from there on it matters where transfers begin.
std::string told(const std::vector<Event>& events) {
  assemble::Limits limits;
  limits.peer_message = longest_message;
  assemble::Assembler assembler(limits);
  std::string log;
  bool missed = false;
  const Emit<ExchangeUpdate> none = [](const ExchangeUpdate&) {};
  for (const Event& event : events) {
    assembler.on(event, none, [&](const PeerMessage& message) {
      missed = missed || message.frames.empty();
      std::size_t kept = 0;
      for (const PeerMessage::Frame& frame : message.frames) {
        test::require(frame.content.size() <= frame.length);
        kept += frame.content.size();
        if (!missed) log.append(frame.content).append("/" + std::to_string(frame.length) + " ");
      }
      test::require(kept <= longest_message);
      if (!missed) log += '\n';
    });
    test::require(assembler.stats().balanced());
  }
  assembler.finish({}, none);
  test::require(assembler.stats().balanced() && assembler.stats().held == 0);
  return log;
}

void nothing_of_bodies_is_kept(const Play& play) {
  constexpr std::string_view secret = "SECRET";
  assemble::Redactor redactor;
  std::string scratch;
  const test::Script script = play.script();
  for (Event event : script.events()) {
    redactor.on(event, scratch);
    test::require(redactor.stats().balanced());
    const auto* transfer = std::get_if<Transfer>(&event.body);
    // Of a header, no six bytes are letters.
    test::require(transfer == nullptr || transfer->head.find(secret) == std::string_view::npos);
  }
}

/// Where there is no beginning, a transfer proves itself or is nothing.
void what_proves_itself_is_read(std::string_view transfer) {
  test::Script script;
  script.open({.mid_stream = true}).received(transfer);
  assemble::Assembler assembler;
  const Emit<ExchangeUpdate> none = [](const ExchangeUpdate&) {};
  for (const Event& event : script.events()) assembler.on(event, none);
  test::require(assembler.stats().out > 0 && assembler.stats().dropped_total() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(data, size);
  const bool greeted = input.byte() % 2 == 0;
  Play play;
  play.step = 1 + input.byte() % 64;
  const std::size_t hole = input.byte();
  const std::string rest(input.rest());
  play.bytes = greeted ? test::zmtp_greeting() + rest : rest;
  Play whole{.bytes = play.bytes, .step = play.bytes.size() + 1};
  if (greeted) test::require(told(play.script().events()) == told(whole.script().events()));
  play.hole = hole;
  told(play.script().events());
  nothing_of_bodies_is_kept({.bytes = test::zmtp_greeting() + test::zmtp_message({"SECRET", rest}), .step = play.step});
  if (assemble::zmtp::recognise_mid_stream(rest).answer == assemble::Recognition::Answer::peer)
    what_proves_itself_is_read(rest);
  return 0;
}
