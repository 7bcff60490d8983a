// SPDX-License-Identifier: Apache-2.0
#include "model/trace_json.h"

#include <gtest/gtest.h>

#include "tests/unit/correlate/recorded_traces.h"

namespace inferscope::correlate {
namespace {

RequestTrace chat_trace() {
  RequestTrace trace;
  trace.trace_id[15] = 0xab;
  trace.span_id[7] = 0xcd;
  trace.role = Role::server;
  trace.process.pid = 42;
  trace.process.name = "llama-server";
  trace.connection.local = {Family::ipv4, "127.0.0.1", 8080};
  trace.connection.remote = {Family::ipv4, "127.0.0.1", 50000};
  trace.exchange.protocol = "http";
  trace.exchange.version = "1.1";
  trace.exchange.request.method = "POST";
  trace.exchange.request.target = "/v1/chat/completions?q";
  trace.exchange.request.begin = test::at_ms(1000);
  trace.exchange.response.status = 200;
  trace.exchange.ending = Exchange::Ending::complete;
  trace.unix_minus_kernel_ns = 1'700'000'000'000'000'000;
  trace.begin = test::at_ms(1000);
  trace.end = test::at_ms(1500);
  trace.call.dialect = "openai";
  trace.call.operation = "chat";
  trace.call.provider = "llama.cpp";
  trace.call.request.model = "tiny";
  trace.call.request.stream = true;
  trace.call.response.finish_reasons = {"stop", "length"};
  trace.call.response.content_events = 2;
  trace.call.token_times = {test::at_ms(1100), Time{std::chrono::nanoseconds{1200000001}}};
  trace.call.usage.output_tokens = 2;
  trace.call.usage.source = InferenceCall::CountSource::events;
  trace.outcome = Outcome::ok;
  trace.time_to_first_byte = std::chrono::nanoseconds(100000001);
  return trace;
}

TEST(TraceJson, OneLine) {
  EXPECT_EQ(to_json(chat_trace()),
            R"({"trace_id":"000000000000000000000000000000ab","span_id":"00000000000000cd",)"
            R"("start_time_unix_nano":1700000001000000000,"end_time_unix_nano":1700000001500000000,)"
            R"("process.pid":42,"process.executable.name":"llama-server","http.request.method":"POST",)"
            R"("url.scheme":"http","url.path":"/v1/chat/completions","http.response.status_code":200,)"
            R"("network.protocol.name":"http",)"
            R"("network.protocol.version":"1.1","network.transport":"tcp","server.address":"127.0.0.1",)"
            R"("server.port":8080,"client.address":"127.0.0.1","client.port":50000,)"
            R"("network.peer.address":"127.0.0.1","network.peer.port":50000,"inferscope.role":"server",)"
            R"("inferscope.outcome":"ok","inferscope.complete":true,"inferscope.time_to_first_byte":0.100000001,)"
            R"("gen_ai.operation.name":"chat","gen_ai.provider.name":"llama.cpp","inferscope.dialect":"openai",)"
            R"("gen_ai.request.model":"tiny","gen_ai.request.stream":true,)"
            R"("gen_ai.response.finish_reasons":["stop","length"],"inferscope.content_events":2,)"
            R"("gen_ai.usage.output_tokens":2,"inferscope.token_count_source":"events"})");
}

TEST(TraceJson, TokenTimesOnRequest) {
  EXPECT_EQ(to_json(chat_trace()).find("token_times"), std::string::npos);
  EXPECT_NE(to_json(chat_trace(), true).find(R"("inferscope.token_times":[0.1,0.200000001]})"), std::string::npos);
}

TEST(TraceJson, ParentLossAndError) {
  RequestTrace trace = chat_trace();
  trace.parent_span_id = SpanId{1};
  trace.outcome = Outcome::error;
  trace.complete = false;
  trace.lost = "a \"quoted\" reason";
  trace.exchange.response.status = 500;
  const std::string json = to_json(trace);
  EXPECT_NE(json.find(R"("parent_span_id":"0100000000000000")"), std::string::npos);
  EXPECT_NE(json.find(R"("inferscope.complete":false,"inferscope.lost":"a \"quoted\" reason")"), std::string::npos);
  EXPECT_NE(json.find(R"("error.type":"500")"), std::string::npos);
  EXPECT_EQ(json.find(R"("error.type")"), json.rfind(R"("error.type")"));
}

TEST(TraceJson, HostileTextStaysOneLineOfUtf8) {
  RequestTrace trace = chat_trace();
  trace.exchange.request.target = "/\xff\n\x1b[31m\"";
  trace.call.request.model = "\xc3(";
  const std::string json = to_json(trace);
  EXPECT_NE(json.find("\"url.path\":\"/\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD[31m\\\"\""), std::string::npos);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_EQ(json.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace inferscope::correlate
