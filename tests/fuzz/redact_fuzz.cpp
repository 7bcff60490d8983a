// stage: assemble
// SPDX-License-Identifier: Apache-2.0
// Two promises of the redactor: what it makes replays to the same updates, and content does not show, however the
// stream is divided and whatever of it is lost.
#include <algorithm>
#include <deque>
#include <string>

#include "assemble/assembler.h"
#include "assemble/http2/reader.h"
#include "assemble/redact.h"
#include "assemble/zmtp/reader.h"
#include "tests/fuzz/fuzz_events.h"
#include "tests/support/exchange_log.h"

using namespace inferscope;

namespace {

std::vector<Event> redact(const std::vector<Event>& events, std::deque<std::string>& contents) {
  assemble::Redactor redactor;
  std::vector<Event> masked = events;
  for (Event& event : masked) {
    redactor.on(event, contents.emplace_back());
    test::require(redactor.stats().balanced());
  }
  for (std::size_t i = 0; i < events.size(); ++i) {
    const auto* was = std::get_if<Transfer>(&events[i].body);
    const auto* is = std::get_if<Transfer>(&masked[i].body);
    if (was) test::require(was->head.size() == is->head.size() && was->tail.size() == is->tail.size());
  }
  return masked;
}

void assemble_all(const std::vector<Event>& events, Time end, test::ExchangeLog& log, StageStats& stats) {
  assemble::Assembler assembler;
  const Emit<ExchangeUpdate> emit = [&log](const ExchangeUpdate& update) { log.on(update); };
  for (const Event& event : events) assembler.on(event, emit);
  assembler.finish(end, emit);
  stats = assembler.stats();
}

bool has_content_encoding(const test::ExchangeLog& log) {
  for (const Exchange& exchange : log.closed())
    if (!find_header(exchange.request.headers, "content-encoding").empty() ||
        !find_header(exchange.response.headers, "content-encoding").empty() ||
        !find_header(exchange.response.headers, "sec-websocket-extensions").empty())
      return true;
  return false;
}

/// What the mask of HTTP/2 loses is told in http2_mask.h. Messages that prove what a connection without a beginning is
/// do not when they are masked.
bool may_differ(const std::vector<Event>& events) {
  constexpr auto no = assemble::Recognition::Answer::no;
  return std::any_of(events.begin(), events.end(), [](const Event& event) {
    const auto* transfer = std::get_if<Transfer>(&event.body);
    return transfer && (assemble::http2::recognise(transfer->head).answer != no ||
                        assemble::zmtp::recognise_mid_stream(transfer->head).answer != no);
  });
}

void replay_is_the_same(const test::Script& script) {
  std::deque<std::string> contents;
  const std::vector<Event> masked = redact(script.events(), contents);
  test::ExchangeLog was;
  test::ExchangeLog is;
  StageStats stats_was;
  StageStats stats_is;
  assemble_all(script.events(), script.now(), was, stats_was);
  assemble_all(masked, script.now(), is, stats_is);
  if (may_differ(script.events())) return;
  test::require(stats_was.dropped == stats_is.dropped && stats_was.out == stats_is.out);
  test::require(was.closed().size() == is.closed().size());
  for (std::size_t i = 0; i < was.closed().size(); ++i) {
    test::require(was.closed()[i].ending == is.closed()[i].ending);
    test::require(was.closed()[i].response.status == is.closed()[i].response.status);
    test::require(was.closed()[i].response.body_bytes == is.closed()[i].response.body_bytes);
  }
  if (has_content_encoding(was)) return;  // masked, such a body cannot be decoded
  test::require(was.entries().size() == is.entries().size());
  for (std::size_t i = 0; i < was.entries().size(); ++i) {
    test::require(was.entries()[i].kind == is.entries()[i].kind);
    test::require(was.entries()[i].time == is.entries()[i].time);
    test::require(was.entries()[i].data.size() == is.entries()[i].data.size());
    test::require(was.entries()[i].missing == is.entries()[i].missing);
  }
}

/// A fixed conversation, divided and lost as the input says.
void secret_does_not_show(test::FuzzInput input) {
  constexpr std::string_view secret = "SECRET";
  struct Turn {
    Direction direction;
    std::string_view bytes;
  };
  static constexpr Turn turns[] = {
      {Direction::received,
       "POST /v1/x?a=SECRET&SECRET HTTP/1.1\r\nAuthorization: SECRET\r\n SECRET\r\nContent-Type: application/json\r\n"
       "Content-Length: 86\r\n\r\n"
       "{\"model\":\"m\",\"content\":\"SECRET\",\"a\":[\"SECRET\",{\"b\":\"\\\"SECRET\\\\\"}],\"role\":\"x SECRET\"}   "
       "   "},
      {Direction::sent,
       "HTTP/1.1 200 SECRET\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
       "1f;SECRET\r\ndata: {\"content\":\"a SECRET\"}\n\n\r\n2d\r\n: SECRET\n\nid: SECRET\ndata: SECRET\n\nSECRET: "
       "x\n\n\r\n"
       "0\r\nX: SECRET\r\n\r\n"},
      {Direction::received, "POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nSECRET"},
      {Direction::sent,
       "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 33\r\n\r\n"
       "{\"response\":\"SECRET\"}\nSECRET\n\"a\"\n"},
      {Direction::received, "SECRET words\r\nmore SECRET"},
  };
  test::Script script;
  auto stream = script.open({.role = static_cast<Role>(input.byte() % 3), .mid_stream = input.byte() % 4 == 1});
  for (const Turn& turn : turns) {
    std::string_view rest = turn.bytes;
    while (!rest.empty()) {
      const std::uint8_t step = input.empty() ? 255 : input.byte();
      const std::string_view piece = rest.substr(0, 1 + step % 64);
      rest.remove_prefix(piece.size());
      if (step / 64 == 0) {
        stream.lose(turn.direction, piece.size());
      } else if (step / 64 == 1) {
        stream.cut(turn.direction, piece.substr(0, piece.size() / 3), piece.size(), piece.substr(piece.size() / 2));
      } else {
        stream.transfer(turn.direction, piece);
      }
    }
  }
  std::deque<std::string> contents;
  std::string joined[2];
  for (const Event& event : redact(script.events(), contents)) {
    const auto* transfer = std::get_if<Transfer>(&event.body);
    if (transfer) joined[index_of(transfer->direction)].append(transfer->head).append(transfer->tail);
  }
  for (const std::string& all : joined) test::require(all.find(secret) == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(data, size);
  if (input.byte() == 's') {
    secret_does_not_show(input);
  } else {
    replay_is_the_same(test::fuzz_script(input));
  }
  return 0;
}
