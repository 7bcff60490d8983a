// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>

#include "model/request_trace.h"

namespace inferscope::test {

/// A finished streamed chat request as the correlator would tell it; `number` makes its ids.
inline RequestTrace chat_trace(std::uint8_t number = 1, Pid pid = 100) {
  const auto at = [](std::int64_t ms) { return Time{std::chrono::milliseconds(1000 + ms)}; };
  RequestTrace trace;
  trace.trace_id.fill(0x10);
  trace.trace_id[15] = number;
  trace.span_id.fill(0x20);
  trace.span_id[7] = number;
  trace.call_span_id = SpanId{0x30, 0, 0, 0, 0, 0, 0, number};
  trace.role = Role::server;
  trace.process = {pid, 5'000'000'000, "llama-server", "/opt/llama-server", "llama-server -m x.gguf"};
  trace.tid = pid + 1;
  trace.connection = {.id = number,
                      .pid = pid,
                      .fd = 7,
                      .role = Role::server,
                      .local = {Family::ipv4, "127.0.0.1", 8080},
                      .remote = {Family::ipv4, "127.0.0.1", 40000}};
  trace.unix_minus_kernel_ns = 1'700'000'000'000'000'000;
  trace.begin = at(0);
  trace.end = at(100);
  trace.exchange.connection = std::make_shared<const Connection>(trace.connection);
  trace.exchange.role = Role::server;
  trace.exchange.pid = pid;
  trace.exchange.protocol = "http";
  trace.exchange.version = "1.1";
  trace.exchange.request = {.begin = at(0),
                            .head_end = at(0),
                            .end = at(1),
                            .method = "POST",
                            .target = "/v1/chat/completions?key=secret",
                            .headers = {{"authorization", "Bearer secret"}},
                            .head_bytes = 200,
                            .body_bytes = 300};
  trace.exchange.response.begin = at(10);
  trace.exchange.response.end = at(100);
  trace.exchange.response.status = 200;
  trace.exchange.ending = Exchange::Ending::complete;
  trace.call.dialect = "openai";
  trace.call.operation = "chat";
  trace.call.provider = "llama.cpp";
  trace.call.request.model = "tiny";
  trace.call.request.stream = true;
  trace.call.request.temperature = 0.5;
  trace.call.response.finish_reasons = {"stop"};
  trace.call.usage.input_tokens = 11;
  trace.call.usage.output_tokens = 3;
  trace.call.usage.source = InferenceCall::CountSource::usage;
  trace.call.first_token = at(20);
  trace.call.last_token = at(60);
  trace.call.token_times = {at(20), at(40), at(60)};
  trace.outcome = Outcome::ok;
  trace.time_to_first_token = std::chrono::milliseconds(20);
  trace.time_per_output_token = std::chrono::milliseconds(20);
  return trace;
}

/// The same with an account of where its time went.
inline RequestTrace explained_trace() {
  const auto at = [](std::int64_t ms) { return Time{std::chrono::milliseconds(1000 + ms)}; };
  const auto ms = [](std::int64_t count) { return Duration{std::chrono::milliseconds(count)}; };
  RequestTrace trace = chat_trace();
  RequestName other;
  other.trace_id.fill(0x7f);
  other.span_id.fill(0x3a);
  const TimePart blocked{.kind = TimeKind::head_of_line, .time = ms(30), .request = other, .tokens = 8192};
  trace.explanation = Explanation{.handed_over = at(2),
                                  .started = at(5),
                                  .first_token = at(19),
                                  .last_token = at(59),
                                  .parts = {{.kind = TimeKind::decode, .time = ms(60)},
                                            blocked,
                                            {.kind = TimeKind::run_queue, .time = ms(10), .pid = 17, .name = "hog"}},
                                  .blockers = {blocked},
                                  .steps_total = 3,
                                  .steps = {{EngineStep::Kind::mixed, at(5), at(19), 2, ms(7)},
                                            {EngineStep::Kind::decode, at(19), at(39), 1, ms(9)}},
                                  .marks = {{TimeKind::run_queue, at(20), at(30), 17, "hog"}},
                                  .shared = true,
                                  .gpu_time = ms(12),
                                  .cpu_time = ms(40),
                                  .run_queue_delay = ms(10)};
  return trace;
}

/// A health check: no inference.
inline RequestTrace plain_trace(std::uint8_t number = 1) {
  RequestTrace trace = chat_trace(number);
  trace.call_span_id.reset();
  trace.call = {};
  trace.exchange.request.method = "GET";
  trace.exchange.request.target = "/health";
  trace.time_to_first_token.reset();
  trace.time_per_output_token.reset();
  return trace;
}

}  // namespace inferscope::test
