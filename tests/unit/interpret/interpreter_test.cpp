// SPDX-License-Identifier: Apache-2.0
#include "interpret/interpreter.h"

#include <gtest/gtest.h>

#include <set>

#include "interpret/inference_paths.h"
#include "model/text.h"
#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

using Kind = CallUpdate::Kind;
using Kinds = std::vector<Kind>;
using namespace std::string_view_literals;

constexpr std::string_view chat = "/v1/chat/completions";
constexpr std::string_view small_request = R"({"model":"m","stream":true,"messages":[]})";

std::string repeat(std::string_view text, std::size_t count) {
  std::string all;
  all.reserve(text.size() * count);
  for (std::size_t i = 0; i < count; ++i) all += text;
  return all;
}

TEST(Interpreter, PlainHttpIsACallWithoutDialect) {
  RecordedCalls calls;
  for (const std::string_view target : {"/health", "/v1/models", "/props", "/slots", "/metrics", "/"}) {
    calls.kinds.clear();
    auto script = calls.script();
    script.request_head("GET", target).request_end().respond(R"({"object":"list"})");
    EXPECT_EQ(calls.kinds, (Kinds{Kind::opened, Kind::request, Kind::closed})) << target;
    EXPECT_EQ(calls.closed.back().dialect, "");
    EXPECT_EQ(calls.closed.back().operation, "");
    EXPECT_FALSE(calls.closed.back().failure);
  }
  calls.script().request("/tokenize", R"({"content":"x"})").respond("{}", 500);
  EXPECT_EQ(calls.closed.back().dialect, "");
  calls.script().request_head("GET", chat).request_end().respond("", 405);
  EXPECT_EQ(calls.closed.back().dialect, "");
  EXPECT_TRUE(calls.interpreter.stats().balanced());
}

TEST(Interpreter, WhatIsAskedLast) {
  RecordedCalls calls;
  const auto asked = [&](std::string_view path, std::string_view request) {
    calls.script().request(path, request).respond("{}").close();
    return calls.asked;
  };
  EXPECT_EQ(asked(chat, R"({"messages":[{"content":"one"},{"content":[{"text":"two"},{"image":1}]}],"user":"u"})"),
            "two");
  EXPECT_EQ(asked("/v1/completions", R"({"prompt":["one","two"]})"), "two");
  EXPECT_EQ(asked("/completion", R"({"prompt":"<|user|>two","n_predict":1})"), "<|user|>two");
  EXPECT_EQ(asked("/api/chat", R"({"messages":[{"content":"two"}],"system":"be brief"})"), "two");
  EXPECT_EQ(asked("/v1/messages", R"({"system":"be brief","messages":[{"content":"two"}]})"), "two");
  EXPECT_EQ(asked("/v1/responses", R"({"instructions":"be brief","input":"two"})"), "two");
  EXPECT_EQ(asked("/generate", R"({"inputs":"two"})"), "two");
  EXPECT_EQ(asked(chat, R"({"messages":[]})"), "");
  const std::string long_text = repeat("x", 5000) + "end";
  EXPECT_EQ(asked("/v1/completions", R"({"prompt":")" + long_text + R"("})"),
            long_text.substr(long_text.size() - 1024));
}

TEST(Interpreter, HoleInALargeRequestWithTheParametersBehindIt) {
  RecordedCalls calls;
  auto script = calls.script();
  script.request_head("POST", chat);
  script.request_body(
      R"({"user":"u","n":2,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":")" +
      repeat("iVBORw0KGgo", 1000));
  script.request_hole(2'000'000);
  script.request_body(repeat("QmFzZTY0+/==", 500) + R"("}}]}],"model":"late","stream":true,"max_tokens":9})");
  script.request_end().response_head().response_end().close();
  const auto& request = calls.call().request;
  EXPECT_EQ(request.choice_count, 2);
  EXPECT_EQ(request.model, "late");
  EXPECT_EQ(request.stream, true);
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_FALSE(request.message_count);
  EXPECT_FALSE(request.prompt_bytes);
  EXPECT_TRUE(request.incomplete);
}

TEST(Interpreter, LargeRequestWithoutAHoleIsBoundedByItself) {
  RecordedCalls calls;
  auto script = calls.script();
  script.request_head("POST", chat).request_body(R"({"n":2,"messages":[{"role":"user","content":")");
  for (int i = 0; i < 2000; ++i) script.request_body(repeat("a \\\"b\\\" {,", 100));
  script.request_body(R"("}],"model":"late"})").request_end().response_head().response_end().close();
  EXPECT_EQ(calls.call().request.choice_count, 2);
  EXPECT_EQ(calls.call().request.model, "late");
  EXPECT_TRUE(calls.call().request.incomplete);
}

TEST(Interpreter, RequestBetweenHeadAndTailLimitIsWhole) {
  RecordedCalls calls({.body_head_bytes = 64, .body_tail_bytes = 64});
  const std::string body = R"({"messages":[{"role":"user","content":")" + repeat("x", 50) + R"("}],"model":"m"})";
  ASSERT_GT(body.size(), 64U);
  auto script = calls.script();
  script.request_head("POST", chat);
  for (const char c : body) script.request_body(std::string_view(&c, 1));
  script.request_end().response_head().response_end().close();
  EXPECT_FALSE(calls.call().request.incomplete);
  EXPECT_EQ(calls.call().request.prompt_bytes, 50U);
  EXPECT_EQ(calls.call().request.model, "m");
}

TEST(Interpreter, RequestThatEndsEarly) {
  RecordedCalls calls;
  calls.script()
      .request_head("POST", chat)
      .request_body(R"({"model":"m","stream":tr)")
      .close(Exchange::Ending::client_closed);
  EXPECT_EQ(calls.kinds, (Kinds{Kind::opened, Kind::closed}));
  EXPECT_EQ(calls.call().request.model, "m");
  EXPECT_FALSE(calls.call().request.stream);
  EXPECT_TRUE(calls.call().request.incomplete);
}

TEST(Interpreter, BrokenRequest) {
  for (const std::string_view body : {""sv, "not json"sv, "{"sv, R"({"model":"m",})"sv, "{\"model\":\"m\"}\0x"sv}) {
    RecordedCalls calls;
    calls.script().request(chat, body).respond("", 400);
    EXPECT_TRUE(calls.call().request.incomplete) << body;
    EXPECT_EQ(calls.call().operation, "chat");
  }
}

TEST(Interpreter, DeepNesting) {
  const std::string deep = repeat("[", 100'000) + repeat("]", 100'000);
  RecordedCalls calls;
  calls.script()
      .request(chat, R"({"model":"m","x":)" + deep + "}")
      .response_head()
      .message(R"({"choices":[{"delta":{"content":)" + deep + R"(}}],"id":"i"})")
      .message(repeat(R"({"choices":[)", 100'000))
      .message(deep)
      .message(repeat("{\"a\":", 100'000))
      .message(repeat("[", 1024))
      .response_end()
      .close();
  EXPECT_EQ(calls.call().request.model, "m");
  EXPECT_FALSE(calls.call().request.incomplete);
  EXPECT_EQ(calls.call().response.id, "i");
  EXPECT_EQ(calls.call().response.content_events, 0U);
  EXPECT_TRUE(calls.call().response.incomplete);
  EXPECT_EQ(calls.interpreter.counters().broken_bodies, 3U);
}

TEST(Interpreter, StringsThatAreNotUnicode) {
  RecordedCalls calls;
  calls.script()
      .request(chat,
               "{\"model\":\"a\xff\\u001b\xc2\x9b"
               "b\",\"stream\":true,\"messages\":[{\"content\":\"\xc3\\ud800\\\\ud800\"}]}")
      .response_head()
      .message("{\"model\":\"\\udfff!\",\"choices\":[{\"delta\":{\"content\":\"\xf0\x9f\"}}]}")
      .response_end()
      .close();
  EXPECT_FALSE(calls.call().request.incomplete);
  EXPECT_EQ(calls.call().request.stream, true);
  EXPECT_EQ(calls.call().request.model,
            "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(calls.call().response.model, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD!");  // three bytes of a lone surrogate
  EXPECT_EQ(calls.call().response.content_events, 1U);
}

TEST(Interpreter, LongNamesAreCut) {
  RecordedCalls calls;
  calls.script().request(chat, R"({"model":")" + repeat("x", 5000) + "\"}").response_head().response_end().close();
  EXPECT_EQ(calls.call().request.model->size(), text_limit_bytes);
}

TEST(Interpreter, ResponseCutShort) {
  RecordedCalls calls;
  calls.script()
      .request(chat, small_request)
      .response_head(200, "application/json; charset=utf-8")
      .response_body(R"({"id":"i","model":"m","choices":[{"message":{"content":"hal)")
      .close(Exchange::Ending::server_closed);
  EXPECT_EQ(calls.call().response.id, "i");
  EXPECT_EQ(calls.call().response.model, "m");
  EXPECT_TRUE(calls.call().response.incomplete);
}

TEST(Interpreter, ResponseWithAHole) {
  RecordedCalls calls;
  calls.script()
      .request(chat, small_request)
      .response_head(200, "application/json")
      .response_body(R"({"id":"i","choices":[{"message":{"content":"hal)")
      .response_hole(318)
      .response_body(R"(f"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}})")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().response.id, "i");
  EXPECT_EQ(calls.call().usage.output_tokens, 2U);
  EXPECT_TRUE(calls.call().response.incomplete);
}

TEST(Interpreter, BrokenMessageIsNoToken) {
  RecordedCalls calls;
  calls.script()
      .request(chat, small_request)
      .response_head()
      .message(R"({"choices":[{"delta":{"content":"x")")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().response.content_events, 0U);
  EXPECT_TRUE(calls.call().response.incomplete);
}

TEST(Interpreter, WhatArrivesDecidesNotWhatWasAsked) {
  RecordedCalls calls;
  calls.script()
      .request(chat, R"({"model":"m","stream":false})")
      .response_head()
      .message(chunk(delta(R"("content":"x")")))
      .response_end()
      .close();
  EXPECT_EQ(calls.call().response.content_events, 1U);
}

TEST(Interpreter, ResponseThatBeginsBeforeTheRequestEnds) {
  RecordedCalls calls;
  calls.script()
      .request_head("POST", chat)
      .request_body("{")
      .response_head(400, "application/json")
      .response_body(R"({"error":{"type":"t"}})")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().failure->type, "t");
  EXPECT_TRUE(calls.call().request.incomplete);
}

TEST(Interpreter, ExchangeWhoseBeginningWasNotSeen) {
  RecordedCalls calls;
  calls.script().response_head(200, "text/event-stream").message("{}").close(Exchange::Ending::lost_track);
  EXPECT_EQ(calls.kinds, (Kinds{Kind::opened, Kind::closed}));
  EXPECT_EQ(calls.call().dialect, "");
  calls.script(1).close(Exchange::Ending::shut_down);
  EXPECT_EQ(calls.interpreter.stats().out, 2U);
  EXPECT_TRUE(calls.interpreter.stats().balanced());
}

TEST(Interpreter, OpenCallsAreBounded) {
  RecordedCalls calls({.open_calls = 2});
  std::vector<test::ExchangeScript> scripts;
  for (std::uint64_t i = 0; i < 4; ++i) scripts.push_back(calls.script(i));
  for (auto& script : scripts) script.request(chat, small_request);
  EXPECT_EQ(calls.interpreter.stats().held, 2U);
  EXPECT_TRUE(calls.interpreter.stats().balanced());
  scripts[0].response_head().response_end().close();
  for (std::size_t i = 1; i < 4; ++i) scripts[i].response_head().response_end().close();
  const StageStats stats = calls.interpreter.stats();
  EXPECT_EQ(stats.in, 4U);
  EXPECT_EQ(stats.out, 2U);
  EXPECT_EQ(stats.dropped.at("open call limit"), 2U);
  EXPECT_TRUE(stats.balanced());
  EXPECT_EQ(calls.kinds.size(), 6U);
}

TEST(Interpreter, BodiesTogetherAreBounded) {
  RecordedCalls calls({.held_bytes = 100});
  auto first = calls.script(0);
  first.request_head("POST", chat).request_body(R"({"model":"m",)" + repeat(" ", 80));
  auto second = calls.script(1);
  second.request(chat, small_request).response_head().response_end().close();
  EXPECT_TRUE(calls.closed.at(0).request.incomplete);
  EXPECT_FALSE(calls.closed.at(0).request.model);
  EXPECT_EQ(calls.interpreter.counters().bodies_cut, 1U);
  first.request_body(R"("n":2})").request_end().response_head().response_end().close();
  EXPECT_FALSE(calls.closed.at(1).request.incomplete);
  auto third = calls.script(2);
  third.request(chat, small_request).response_head().response_end().close();
  EXPECT_FALSE(calls.closed.at(2).request.incomplete);
}

TEST(Interpreter, TokenTimesAreBounded) {
  RecordedCalls calls({.token_times = 3});
  auto script = calls.script();
  script.request(chat, small_request).response_head();
  for (int i = 0; i < 10; ++i) script.at(i).message(chunk(delta(R"("content":"x")")));
  script.response_end().close();
  EXPECT_EQ(calls.call().token_times.size(), 3U);
  EXPECT_EQ(calls.call().response.content_events, 10U);
  EXPECT_EQ(calls.call().last_token, test::at_ms(9));
  EXPECT_EQ(calls.interpreter.counters().token_times_cut, 7U);
}

TEST(InferencePaths, FitTheKernelsTable) {
  const auto paths = inference_paths();
  EXPECT_LE(paths.size(), inference_path_limit);
  for (const std::string& path : paths) {
    EXPECT_LE(path.size(), inference_path_bytes) << path;
    EXPECT_TRUE(path.starts_with('/')) << path;
  }
  const std::set<std::string> unique(paths.begin(), paths.end());
  EXPECT_EQ(unique.size(), paths.size());
  for (const char* path :
       {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/completion", "/infill", "/embedding",
        "/v1/responses", "/v1/messages", "/api/chat", "/api/generate", "/generate", "/v2/models/", "/v1/rerank"})
    EXPECT_TRUE(unique.contains(path)) << path;
}

}  // namespace
}  // namespace inferscope::interpret
