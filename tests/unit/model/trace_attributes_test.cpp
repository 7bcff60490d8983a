// SPDX-License-Identifier: Apache-2.0
#include "model/trace_attributes.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "model/attributes.h"
#include "model/text.h"

namespace inferscope {
namespace {

const AttributeValue* find(const Attributes& attributes, std::string_view name) {
  for (const Attribute& attribute : attributes)
    if (attribute.name == name) return &attribute.value;
  return nullptr;
}
template <class T>
T value(const Attributes& attributes, std::string_view name) {
  const AttributeValue* found = find(attributes, name);
  EXPECT_NE(found, nullptr) << name;
  return found != nullptr ? std::get<T>(*found) : T{};
}

RequestTrace chat_trace() {
  RequestTrace trace;
  trace.role = Role::server;
  trace.process = {42, 7, "llama-server", "/usr/bin/llama-server", "llama-server --api-key secret"};
  trace.connection.local = {Family::ipv4, "127.0.0.1", 8080};
  trace.connection.remote = {Family::ipv4, "10.0.0.9", 50000};
  trace.exchange.protocol = "http";
  trace.exchange.version = "1.1";
  trace.exchange.request.method = "POST";
  trace.exchange.request.target = "/v1/chat/completions?key=secret";
  trace.exchange.request.headers = {{"user-agent", "curl/8"}, {"authorization", "Bearer secret"}};
  trace.exchange.response.status = 200;
  trace.exchange.ending = Exchange::Ending::complete;
  trace.call.dialect = "openai";
  trace.call.operation = "chat";
  trace.call.provider = "llama.cpp";
  trace.call.request.model = "tiny";
  trace.call.request.choice_count = 1;
  trace.call.response.finish_reasons = {"stop"};
  trace.call.usage.output_tokens = 3;
  trace.call.usage.source = InferenceCall::CountSource::usage;
  trace.outcome = Outcome::ok;
  trace.time_to_first_token = std::chrono::microseconds(1500);
  return trace;
}

TEST(TraceAttributes, OfAServer) {
  const TraceAttributes attributes = attributes_of(chat_trace());
  EXPECT_EQ(value<std::int64_t>(attributes.process, "process.pid"), 42);
  EXPECT_EQ(value<std::string>(attributes.process, "process.executable.name"), "llama-server");
  EXPECT_EQ(value<std::string>(attributes.process, "process.command"), "llama-server");
  EXPECT_EQ(value<std::string>(attributes.http, "url.scheme"), "http");
  EXPECT_EQ(value<std::string>(attributes.http, "url.path"), "/v1/chat/completions");
  EXPECT_EQ(value<std::int64_t>(attributes.http, "http.response.status_code"), 200);
  EXPECT_EQ(value<std::string>(attributes.http, "server.address"), "127.0.0.1");
  EXPECT_EQ(value<std::int64_t>(attributes.http, "server.port"), 8080);
  EXPECT_EQ(value<std::string>(attributes.http, "client.address"), "10.0.0.9");
  EXPECT_EQ(value<std::string>(attributes.http, "user_agent.original"), "curl/8");
  EXPECT_EQ(value<std::string>(attributes.http, "inferscope.outcome"), "ok");
  EXPECT_EQ(value<bool>(attributes.http, "inferscope.complete"), true);
  EXPECT_EQ(find(attributes.http, "error.type"), nullptr);
  EXPECT_EQ(value<std::string>(attributes.call, "gen_ai.operation.name"), "chat");
  EXPECT_EQ(value<std::string>(attributes.call, "gen_ai.request.model"), "tiny");
  EXPECT_EQ(value<std::int64_t>(attributes.call, "gen_ai.usage.output_tokens"), 3);
  EXPECT_EQ(value<std::vector<std::string>>(attributes.call, "gen_ai.response.finish_reasons"),
            std::vector<std::string>{"stop"});
  EXPECT_EQ(value<double>(attributes.call, "inferscope.time_to_first_token"), 0.0015);
  EXPECT_EQ(value<std::string>(attributes.call, "inferscope.token_count_source"), "usage");
  EXPECT_EQ(find(attributes.call, "gen_ai.usage.input_tokens"), nullptr);
  EXPECT_EQ(find(attributes.call, "gen_ai.request.choice.count"), nullptr);
}

TEST(TraceAttributes, OfAnEngine) {
  RequestTrace trace = chat_trace();
  EXPECT_EQ(find(attributes_of(trace).call, "inferscope.engine.name"), nullptr);
  const auto at = [](std::int64_t ms) { return Time{std::chrono::milliseconds(ms)}; };
  trace.begin = at(1000);
  trace.engine = EngineTimes{.engine = "vllm", .request_id = "chatcmpl-1", .requests = 1};
  trace.engine->steps = 4;
  trace.engine->batch_sum = 10;
  trace.engine->batch_max = 3;
  trace.engine->queued = at(1001);
  trace.engine->scheduled = at(1011);
  trace.engine->preempted = {at(1500)};
  trace.engine->preemptions = 1;
  trace.engine->prompt_tokens = 7;
  const TraceAttributes attributes = attributes_of(trace);
  EXPECT_EQ(value<std::string>(attributes.call, "inferscope.engine.request_id"), "chatcmpl-1");
  EXPECT_EQ(value<double>(attributes.call, "inferscope.queue_time"), 0.01);
  EXPECT_EQ(value<double>(attributes.call, "inferscope.engine.queued"), 0.001);
  EXPECT_EQ(value<double>(attributes.call, "inferscope.engine.batch_size.mean"), 2.5);
  EXPECT_EQ(value<std::int64_t>(attributes.call, "inferscope.engine.batch_size.max"), 3);
  EXPECT_EQ(value<std::vector<double>>(attributes.call, "inferscope.engine.preempted"), std::vector<double>{0.5});
  EXPECT_EQ(value<bool>(attributes.call, "inferscope.engine.complete"), true);
  EXPECT_EQ(value<std::int64_t>(attributes.call, "inferscope.engine.prompt_tokens"), 7);
  for (const char* absent : {"inferscope.prefill_time", "inferscope.decode_time", "inferscope.engine.first_token",
                             "inferscope.engine.kv_cache_usage.max"})
    EXPECT_EQ(find(attributes.call, absent), nullptr) << absent;

  trace.call.engine = InferenceCall::EngineTimings{};
  trace.call.engine->prompt_tokens = 8;  // the API's own word
  EXPECT_EQ(value<std::int64_t>(attributes_of(trace).call, "inferscope.engine.prompt_tokens"), 8);
}

TEST(TraceAttributes, MappedAddressesArePlain) {
  RequestTrace trace = chat_trace();
  trace.connection.remote = {Family::ipv6, "::ffff:10.0.0.9", 50000};
  trace.connection.local = {Family::ipv6, "::ffff:1", 8080};
  const TraceAttributes attributes = attributes_of(trace);
  EXPECT_EQ(value<std::string>(attributes.http, "client.address"), "10.0.0.9");
  EXPECT_EQ(value<std::string>(attributes.http, "server.address"), "::ffff:1");
}

TEST(TraceAttributes, SecretsStayOut) {
  const TraceAttributes attributes = attributes_of(chat_trace());
  for (const auto* list : {&attributes.process, &attributes.http, &attributes.call}) {
    for (const Attribute& attribute : *list) {
      const auto* text = std::get_if<std::string>(&attribute.value);
      EXPECT_TRUE(text == nullptr || text->find("secret") == std::string::npos) << attribute.name;
    }
  }
}

TEST(TraceAttributes, NamesAreUniqueAndSharedOnesAgree) {
  RequestTrace trace = chat_trace();
  trace.outcome = Outcome::error;
  trace.call.failure = InferenceCall::Failure{};
  trace.call.failure->type = "overloaded";
  const TraceAttributes attributes = attributes_of(trace);
  for (const auto* list : {&attributes.process, &attributes.http, &attributes.call}) {
    std::set<std::string_view> names;
    for (const Attribute& attribute : *list) EXPECT_TRUE(names.insert(attribute.name).second) << attribute.name;
  }
  for (const Attribute& attribute : attributes.call) {
    const AttributeValue* other = find(attributes.http, attribute.name);
    EXPECT_TRUE(other == nullptr || *other == attribute.value) << attribute.name;
  }
  EXPECT_EQ(value<std::string>(attributes.call, "error.type"), "overloaded");
}

TEST(TraceAttributes, ClientEndsAreTurnedRound) {
  RequestTrace trace = chat_trace();
  trace.role = Role::client;
  const TraceAttributes attributes = attributes_of(trace);
  EXPECT_EQ(value<std::string>(attributes.http, "server.address"), "10.0.0.9");
  EXPECT_EQ(value<std::string>(attributes.http, "client.address"), "127.0.0.1");
  EXPECT_EQ(value<std::string>(attributes.http, "network.peer.address"), "10.0.0.9");
}

TEST(TraceAttributes, PlainHttpHasNoCall) {
  RequestTrace trace = chat_trace();
  trace.call = {};
  EXPECT_TRUE(attributes_of(trace).call.empty());
  EXPECT_EQ(http_span_name(trace), "POST");
}

TEST(TraceAttributes, HostileValues) {
  RequestTrace trace = chat_trace();
  trace.exchange.request.target = std::string(100'000, '\xff');
  trace.exchange.request.method = std::string(1000, 'M') + "\n";
  trace.call.request.temperature = std::numeric_limits<double>::infinity();
  trace.call.usage.output_tokens = std::numeric_limits<std::uint64_t>::max();
  const TraceAttributes attributes = attributes_of(trace);
  EXPECT_EQ(find(attributes.call, "gen_ai.request.temperature"), nullptr);
  EXPECT_EQ(find(attributes.call, "gen_ai.usage.output_tokens"), nullptr);
  EXPECT_TRUE(is_clean_text(value<std::string>(attributes.http, "url.path")));
  EXPECT_TRUE(is_clean_text(http_span_name(trace)));
}

TEST(TraceAttributes, ErrorTypes) {
  RequestTrace trace = chat_trace();
  EXPECT_EQ(error_type(trace), "");
  trace.outcome = Outcome::error;
  EXPECT_EQ(error_type(trace), "_OTHER");
  trace.exchange.ending = Exchange::Ending::server_closed;
  EXPECT_EQ(error_type(trace), "server_closed");
  trace.exchange.response.status = 503;
  EXPECT_EQ(error_type(trace), "503");
}

TEST(TraceAttributes, NamesAndHex) {
  EXPECT_EQ(call_span_name(chat_trace()), "chat tiny");
  EXPECT_EQ(name_of(Outcome::client_cancelled), "client_cancelled");
  EXPECT_EQ(name_of(Role::server), "server");
  EXPECT_EQ(hex(SpanId{0, 0x1f, 0xab, 0, 0, 0, 0, 0xff}), "001fab00000000ff");
}

}  // namespace
}  // namespace inferscope
