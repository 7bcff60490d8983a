// SPDX-License-Identifier: Apache-2.0
// How fast one thread takes events from memory through all stages: small JSON exchanges, and streamed tokens.
// Prints one line of JSON per workload: items a second, as minimum, median and maximum of several rounds.
#include <fmt/format.h>

#include <chrono>
#include <string>
#include <vector>

#include "runtime/pipeline.h"
#include "tests/bench/statistics.h"
#include "tests/support/http2_peers.h"
#include "tests/support/zmtp_frames.h"

namespace inferscope {
namespace {

constexpr int rounds = 7;

/// Events with content of their own, made before the clock runs.
class Script {
 public:
  void open(ConnectionId id) {
    positions_[0] = positions_[1] = sequences_[0] = sequences_[1] = 0;
    id_ = id;
    // Known as a server, so that its requests are judged as well.
    add(ProcessStarted{.pid = 100, .start_time_ns = 1, .name = "server"});
    add(ConnectionOpened{.connection = {.id = id,
                                        .pid = 100,
                                        .fd = 5,
                                        .role = Role::server,
                                        .local = {Family::ipv4, "127.0.0.1", 8000},
                                        .remote = {Family::ipv4, "127.0.0.1", 40000}},
                         .tid = 100});
  }
  void move(Direction direction, const std::string& text) {
    const auto side = static_cast<std::size_t>(index_of(direction));
    const std::string& kept = *texts_.insert(texts_.end(), std::make_unique<std::string>(text))->get();
    now_ += std::chrono::microseconds(50);
    add(Transfer{.connection = id_,
                 .direction = direction,
                 .pid = 100,
                 .tid = 101,
                 .position = positions_[side],
                 .sequence = sequences_[side]++,
                 .length = kept.size(),
                 .begin = now_,
                 .end = now_,
                 .head = kept});
    positions_[side] += kept.size();
  }
  void close() {
    add(ConnectionClosed{.id = id_,
                         .received_bytes = positions_[0],
                         .sent_bytes = positions_[1],
                         .received_transfers = sequences_[0],
                         .sent_transfers = sequences_[1]});
  }
  [[nodiscard]] const std::vector<Event>& events() const { return events_; }
  [[nodiscard]] Time now() const { return now_; }

 private:
  template <class Body>
  void add(Body body) {
    events_.push_back({now_, std::move(body)});
  }

  std::vector<Event> events_{};
  std::vector<std::unique_ptr<std::string>> texts_{};
  Time now_ = time_from_ns(1'000'000'000);
  ConnectionId id_ = 0;
  std::uint64_t positions_[2]{};
  std::uint64_t sequences_[2]{};
};

std::string request_of(const std::string& body) {
  return fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: bench\r\nContent-Type: "
      "application/json\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body);
}

const std::string plain_body =
    R"({"model":"m","messages":[{"role":"user","content":"What is the answer to everything, and why?"}],"max_tokens":20})";
const std::string stream_body =
    R"({"model":"m","stream":true,"messages":[{"role":"user","content":"What is the answer?"}],"max_tokens":20})";

void add_exchanges(Script& script, int connections, int per_connection) {
  const std::string answer =
      R"({"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Forty-two, since that is what it comes to."}}],"usage":{"prompt_tokens":12,"completion_tokens":11,"total_tokens":23}})";
  const std::string response = fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", answer.size(), answer);
  const std::string request = request_of(plain_body);
  for (int i = 0; i < connections; ++i) {
    script.open(static_cast<ConnectionId>(i + 1));
    for (int j = 0; j < per_connection; ++j) {
      script.move(Direction::received, request);
      script.move(Direction::sent, response);
    }
    script.close();
  }
}

const std::string token_event =
    "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\" "
    "word\"}}],\"created\":1761000000,"
    "\"id\":\"chatcmpl-QBW30itbhqAKesb4BPNLW9xVSNM7HCmX\",\"model\":\"random-12x768\",\"system_fingerprint\":\"b6000-"
    "x\","
    "\"object\":\"chat.completion.chunk\"}\n\n";

void add_streams(Script& script, int streams, int tokens) {
  const std::string chunk = fmt::format("{:x}\r\n{}\r\n", token_event.size(), token_event);
  for (int i = 0; i < streams; ++i) {
    script.open(static_cast<ConnectionId>(i + 1));
    script.move(Direction::received, request_of(stream_body));
    script.move(Direction::sent,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int j = 0; j < tokens; ++j) script.move(Direction::sent, chunk);
    script.move(Direction::sent, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    script.close();
  }
}

/// Of a side of an HTTP/2 connection, behind its preface.
std::size_t frames_in(std::string_view bytes) {
  std::size_t frames = 0;
  constexpr std::size_t head = 9;
  if (bytes.starts_with("PRI ")) bytes.remove_prefix(24);
  for (; bytes.size() >= head; ++frames) {
    const auto at = [&](std::size_t i) { return std::size_t{static_cast<std::uint8_t>(bytes[i])}; };
    bytes.remove_prefix(std::min(bytes.size(), head + (at(0) << 16 | at(1) << 8 | at(2))));
  }
  return frames;
}

/// Tokens of several requests at once on each connection, in turns. Returns how many frames that is.
std::size_t add_http2_streams(Script& script, int connections, int at_once, int tokens) {
  std::size_t frames = 0;
  for (int i = 0; i < connections; ++i) {
    test::Http2Peers peers;
    std::vector<test::Http2Peers::StreamId> streams;
    for (int j = 0; j < at_once; ++j)
      streams.push_back(peers.request({{":method", "POST"},
                                       {":scheme", "http"},
                                       {":path", "/v1/chat/completions"},
                                       {":authority", "localhost:8000"},
                                       {"user-agent", "bench"},
                                       {"content-type", "application/json"}},
                                      stream_body));
    for (const auto stream : streams)
      peers.respond(stream, {{":status", "200"}, {"content-type", "text/event-stream"}}, token_event, false);
    for (int j = 1; j < tokens; ++j)
      for (const auto stream : streams) peers.more_response(stream, token_event);
    for (const auto stream : streams) peers.more_response(stream, "data: [DONE]\n\n", true);
    script.open(static_cast<ConnectionId>(i + 1));
    for (const auto& turn : peers.turns()) {
      script.move(turn.direction, turn.bytes);
      frames += frames_in(turn.bytes);
    }
    script.close();
  }
  return frames;
}

/// What vLLM's engine tells its server of each step: of so many requests at once, a token each.
void add_engine_steps(Script& script, int steps, int batch) {
  using namespace test;
  const std::string stats =
      packed_map({packed_text("num_running_reqs"), packed_number(32), packed_text("num_waiting_reqs"), packed_number(2),
                  packed_text("kv_cache_usage"), packed_real(0.5)});
  script.open(1);
  script.move(Direction::received, zmtp_greeting() + zmtp_ready());
  for (int i = 0; i < steps; ++i) {
    std::vector<std::string> outputs;
    for (int j = 0; j < batch; ++j) {
      const std::string id = fmt::format("chatcmpl-0123456789abcdef0123456789ab{:04x}", j);
      outputs.push_back(packed_array({packed_text(id), packed_array({packed_number(70000)})}));
    }
    script.move(Direction::received,
                zmtp_message({packed_array({packed_number(0), packed_array(outputs), stats, packed_real(1.0)})}));
  }
  script.close();
}

void measure(const char* what, const Script& script, double items, std::size_t traces_expected) {
  std::vector<double> rates;
  for (int round = 0; round < rounds; ++round) {
    std::size_t traces = 0;
    runtime::Pipeline pipeline(
        [&traces](const RequestTrace& trace) { traces += trace.outcome == Outcome::ok ? 1 : 0; });
    const auto begin = std::chrono::steady_clock::now();
    for (const Event& event : script.events()) pipeline.on(event);
    pipeline.finish(script.now());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (traces != traces_expected) {
      fmt::print(stderr, "{}: {} good traces instead of {}\n", what, traces, traces_expected);
      std::exit(1);
    }
    rates.push_back(items / took.count());
  }
  const double median = bench::quantile(rates, 0.5);
  fmt::print(
      "{{\"workload\":\"{}\",\"per_second\":{{\"min\":{:.0f},\"median\":{:.0f},\"max\":{:.0f}}},\"rounds\":{}}}\n",
      what, rates.front(), median, rates.back(), rounds);
}

}  // namespace
}  // namespace inferscope

int main() {
  using namespace inferscope;
  Script exchanges;
  add_exchanges(exchanges, 500, 100);
  measure("exchanges (JSON, keep-alive)", exchanges, 50'000, 50'000);
  Script streams;
  add_streams(streams, 500, 200);
  measure("streamed token events", streams, 100'000, 500);
  Script interleaved;
  const std::size_t frames = add_http2_streams(interleaved, 60, 8, 100);
  measure("HTTP/2 frames (8 streams of tokens a connection)", interleaved, static_cast<double>(frames), 480);
  Script engine;
  add_engine_steps(engine, 4'000, 32);
  measure("tokens in an engine's messages (32 requests in a step)", engine, 128'000, 0);
}
