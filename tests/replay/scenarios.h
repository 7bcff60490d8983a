// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/script.h"
#include "tests/support/zmtp_frames.h"

namespace inferscope::test {

/// What tests/data is made from.
struct Scenario {
  std::string name{};
  std::string description{};
  void (*play)(Script& script) = nullptr;
};

namespace scenario {

inline const Endpoint server_end{Family::ipv4, "127.0.0.1", 8080};
inline const Endpoint client_end{Family::ipv4, "127.0.0.1", 40000};

inline Connection served(bool mid_stream = false) {
  return {
      .pid = 100, .fd = 7, .role = Role::server, .local = server_end, .remote = client_end, .mid_stream = mid_stream};
}

inline void begin(Script& script) {
  script.clock(1'700'000'000'000'000'000)
      .started({.pid = 100,
                .parent = 1,
                .start_time_ns = 500'000'000,
                .name = "llama-server",
                .executable = "/opt/llama-server",
                .command_line = "llama-server -m tiny.gguf",
                .reason = "is known as llama.cpp server"});
}

inline std::string post(std::string_view path, std::string_view body, std::string_view headers = {}) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{}",
      path, headers, body.size(), body);
}

inline std::string answer(int status, std::string_view body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", status,
                     body.size(), body);
}

inline std::string chunk(std::string_view text) {
  return fmt::format("{:x}\r\n{}\r\n", text.size(), text);
}

inline constexpr std::string_view stream_head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
inline constexpr std::string_view stream_request =
    R"({"model":"tiny","stream":true,"max_tokens":8,"temperature":0.5,"messages":[{"role":"user","content":"xxxx"}]})";

inline std::string token(std::string_view text) {
  return chunk(fmt::format(
      "data: {{\"id\":\"chatcmpl-1\",\"model\":\"tiny\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}},"
      "\"finish_reason\":null}}]}}\n\n",
      text));
}

inline std::string last_tokens() {
  return chunk(
             "data: {\"id\":\"chatcmpl-1\",\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
             "\"stop\"}],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":4,\"total_tokens\":15}}\n\n") +
         chunk("data: [DONE]\n\n") + "0\r\n\r\n";
}

inline void stream(Script::Stream& connection, int tokens) {
  connection.received(post("/v1/chat/completions", stream_request)).wait(std::chrono::milliseconds(20));
  connection.sent(stream_head);
  for (int i = 0; i < tokens; ++i) connection.wait(std::chrono::milliseconds(5)).sent(token("xx"));
}

inline void chat_stream(Script& script) {
  begin(script);
  auto connection = script.open(served());
  stream(connection, 4);
  connection.sent(last_tokens()).half_closed(Direction::received).closed();
  script.exited(100);
}

inline void keep_alive(Script& script) {
  begin(script);
  auto connection = script.open(served());
  connection.received("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").sent(answer(200, R"({"status":"ok"})"));
  connection.received(post("/v1/chat/completions", R"({"model":"tiny","messages":[{"role":"user","content":"xx"}]})"))
      .wait(std::chrono::milliseconds(40))
      .sent(answer(200, R"({"id":"chatcmpl-2","model":"tiny","choices":[{"index":0,"finish_reason":"length",)"
                        R"("message":{"content":"xxxx"}}],"usage":{"prompt_tokens":5,"completion_tokens":2}})"));
  connection.received(post("/v1/chat/completions", R"({"model":)"))
      .sent(answer(400, R"({"error":{"type":"invalid_request_error","message":"x"}})"))
      .closed();
}

inline void proxy_hop(Script& script) {
  begin(script);
  script.started(
      {.pid = 200, .start_time_ns = 600'000'000, .name = "gateway", .executable = "/opt/gateway", .reason = "named"});
  const std::string parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
  auto outside = script.open({.pid = 200,
                              .fd = 4,
                              .role = Role::server,
                              .local = {Family::ipv4, "10.0.0.1", 80},
                              .remote = {Family::ipv4, "10.0.0.9", 5555}});
  outside.received(post("/v1/chat/completions", stream_request, parent));
  auto to_server = script.open({.pid = 200, .fd = 5, .role = Role::client, .local = client_end, .remote = server_end});
  auto inside = script.open(served());
  to_server.sent(post("/v1/chat/completions", stream_request, parent));
  inside.received(post("/v1/chat/completions", stream_request, parent)).wait(std::chrono::milliseconds(15));
  for (const std::string& part : {std::string(stream_head), token("xx"), token("xx"), last_tokens()}) {
    inside.wait(std::chrono::milliseconds(3)).sent(part);
    to_server.received(part);
    outside.sent(part);
  }
  inside.closed();
  to_server.closed();
  outside.closed();
}

inline void lost_events(Script& script) {
  begin(script);
  auto connection = script.open(served());
  stream(connection, 2);
  connection.lose(Direction::sent, token("xx").size()).lose(Direction::sent, token("xx").size());
  script.lost("event ring full", 2);
  connection.sent(last_tokens()).closed();
}

inline void cancelled(Script& script) {
  begin(script);
  auto connection = script.open(served());
  stream(connection, 3);
  connection.half_closed(Direction::received).closed(ConnectionClosed::Reason::reset);
}

inline void killed_server(Script& script) {
  begin(script);
  auto connection = script.open(served());
  stream(connection, 3);
  connection.closed(ConnectionClosed::Reason::process_exited);
  script.exited(100, 0, 9);
}

inline void mid_stream(Script& script) {
  begin(script);
  auto connection = script.open(served(true));
  connection.sent(token("xx")).sent(last_tokens());
  stream(connection, 2);
  connection.sent(last_tokens()).closed();
}

inline void cut_content(Script& script) {
  begin(script);
  auto connection = script.open(served());
  const std::string body(40'000, ' ');
  const std::string request = post("/v1/chat/completions", body);
  connection.cut(Direction::received, std::string_view(request).substr(0, 16384), request.size(),
                 std::string_view(request).substr(request.size() - 4096));
  connection.sent(answer(503, R"({"error":{"type":"unavailable_error"}})")).closed();
}

inline void in_flight_at_the_end(Script& script) {
  begin(script);
  auto connection = script.open(served());
  stream(connection, 2);
}

/// What the engine says of one request in a step, by the kernel's clock in seconds.
inline std::string step_event(std::uint32_t type, double at) {
  return packed_map({packed_text("type"), packed_number(type), packed_text("timestamp"), packed_real(at)});
}
inline std::string output(std::string_view id, const std::vector<std::string>& events, const std::string& finish) {
  return packed_array({packed_text(id), packed_array({packed_number(7)}), packed_nil, packed_nil, packed_nil, finish,
                       packed_nil, packed_array(events)});
}

inline void engine_steps(Script& script) {
  begin(script);
  auto to_engine = script.open({.pid = 100, .fd = 8, .role = Role::server, .local = {.family = Family::unix_stream}});
  auto from_engine = script.open({.pid = 100, .fd = 9, .role = Role::server, .local = {.family = Family::unix_stream}});
  for (auto* connection : {&to_engine, &from_engine})
    connection->sent(zmtp_greeting()).received(zmtp_greeting() + zmtp_ready());
  auto connection = script.open(served());
  connection.received(post("/v1/chat/completions", stream_request)).sent(stream_head);
  const std::string id = "chatcmpl-1-0123abcd";
  to_engine.sent(
      zmtp_message({std::string(1, '\0'), packed_array({packed_text(id), packed_array({packed_number(1)})})}));
  const auto now = [&script] { return static_cast<double>(to_ns(script.now())) * 1e-9; };
  const auto step = [&](const std::vector<std::string>& outputs) {
    const std::string stats =
        packed_map({packed_text("num_running_reqs"), packed_number(2), packed_text("num_waiting_reqs"),
                    packed_number(1), packed_text("kv_cache_usage"), packed_real(0.5)});
    from_engine.received(
        zmtp_message({packed_array({packed_number(0), packed_array(outputs), stats, packed_real(now())})}));
  };
  const double begun = now();
  connection.wait(std::chrono::milliseconds(60));
  step({output("chatcmpl-2", {}, packed_nil),
        output(id, {step_event(1, begun + 0.002), step_event(2, begun + 0.022)}, packed_nil)});
  connection.sent(token("xx")).wait(std::chrono::milliseconds(30));
  step({output("chatcmpl-2", {}, packed_number(1)),
        output(id, {step_event(3, begun + 0.07), step_event(2, begun + 0.08)}, packed_nil)});
  connection.sent(token("xx")).wait(std::chrono::milliseconds(10));
  step({output(id, {}, packed_number(0))});
  connection.sent(token("xx") + chunk("data: [DONE]\n\n") + "0\r\n\r\n").closed();
  script.exited(100);
}

}  // namespace scenario

inline const std::vector<Scenario>& scenarios() {
  using namespace scenario;
  static const std::vector<Scenario> all{
      {"chat_stream", "One streamed chat request, whole, with usage; then the server ends.", chat_stream},
      {"keep_alive", "A health check, a chat and a malformed request on one connection.", keep_alive},
      {"proxy_hop", "A request through a gateway to a server, both watched, with a traceparent from outside.",
       proxy_hop},
      {"lost_events", "Two transfers in the middle of a stream were lost: the trace is incomplete and says so.",
       lost_events},
      {"cancelled", "The client goes away in the middle of a stream.", cancelled},
      {"killed_server", "The server is killed in the middle of a stream.", killed_server},
      {"mid_stream", "The agent starts in the middle of a response; the next request is whole.", mid_stream},
      {"cut_content", "A long prompt of which only the ends were captured, answered by 503.", cut_content},
      {"engine_steps", "A request and what the engine behind the server said of it: queued, scheduled, preempted.",
       engine_steps},
      {"in_flight_at_the_end", "The recording ends before the stream does.", in_flight_at_the_end},
  };
  return all;
}

}  // namespace inferscope::test
