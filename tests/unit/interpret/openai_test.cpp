// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

using Kind = CallUpdate::Kind;
using Source = InferenceCall::CountSource;
using Strings = std::vector<std::string>;

constexpr std::string_view chat = "/v1/chat/completions";
constexpr std::string_view small_request =
    R"({"model":"tiny","stream":true,"messages":[{"role":"user","content":"hi"}]})";
const std::string role_only = chunk(delta(R"("role":"assistant","content":null)"));
const std::string hello = chunk(delta(R"("content":"hello")"));
const std::string finish = chunk(delta("", 0, R"("length")"));

TEST(OpenAi, StreamOfLlamaServer) {
  RecordedCalls calls;
  auto script = calls.script();
  script.at(0).request(chat, small_request).at(5).response_head();
  script.at(10).message(role_only).at(20).message(hello).at(30).message(hello).at(40).message(hello);
  script.at(45).message(finish);
  script.message(chunk("", R"(,"usage":{"completion_tokens":3,"prompt_tokens":20,"total_tokens":23,)"
                           R"("prompt_tokens_details":{"cached_tokens":4}},"timings":{"cache_n":4,"prompt_n":16,)"
                           R"("prompt_ms":12.3,"prompt_per_token_ms":0.6,"predicted_n":3,"predicted_ms":9.9})"));
  script.message("[DONE]").response_end().close();

  const std::vector<Kind> kinds{Kind::opened, Kind::request, Kind::token, Kind::token, Kind::token, Kind::closed};
  EXPECT_EQ(calls.kinds, kinds);
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "openai");
  EXPECT_EQ(call.operation, "chat");
  EXPECT_EQ(call.request.model, "tiny");
  EXPECT_EQ(call.request.stream, true);
  EXPECT_EQ(call.request.message_count, 1U);
  EXPECT_EQ(call.request.prompt_bytes, 2U);
  EXPECT_FALSE(call.request.incomplete);
  EXPECT_EQ(call.response.id, "chatcmpl-abc");
  EXPECT_EQ(call.response.model, "tiny");
  EXPECT_EQ(call.response.finish_reasons, Strings{"length"});
  EXPECT_EQ(call.response.content_events, 3U);
  EXPECT_FALSE(call.failure);
  EXPECT_EQ(call.first_event, test::at_ms(10));
  EXPECT_EQ(call.first_token, test::at_ms(20));
  EXPECT_EQ(call.last_token, test::at_ms(40));
  EXPECT_EQ(call.token_times, (std::vector{test::at_ms(20), test::at_ms(30), test::at_ms(40)}));
  EXPECT_TRUE(calls.interpreter.stats().balanced());
  EXPECT_EQ(calls.interpreter.stats().out, 1U);
}

TEST(OpenAi, UsageAndTimingsOfTheLastChunk) {
  RecordedCalls calls;
  calls.script()
      .request(chat, small_request)
      .response_head()
      .message(hello)
      .message(chunk("",
                     R"(,"usage":{"completion_tokens":3,"prompt_tokens":20,"total_tokens":23,)"
                     R"("prompt_tokens_details":{"cached_tokens":4},)"
                     R"("completion_tokens_details":{"reasoning_tokens":2}},)"
                     R"("timings":{"cache_n":4,"prompt_n":16,"prompt_ms":12.3,"predicted_n":3,"predicted_ms":9.9})"))
      .message("[DONE]")
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.usage.input_tokens, 20U);
  EXPECT_EQ(call.usage.output_tokens, 3U);
  EXPECT_EQ(call.usage.cached_input_tokens, 4U);
  EXPECT_EQ(call.usage.reasoning_tokens, 2U);
  EXPECT_EQ(call.usage.source, Source::usage);
  ASSERT_TRUE(call.engine);
  EXPECT_EQ(call.engine->prompt_ms, 12.3);
  EXPECT_EQ(call.engine->prompt_tokens, 16U);
  EXPECT_EQ(call.engine->predicted_ms, 9.9);
  EXPECT_EQ(call.engine->predicted_tokens, 3U);
  EXPECT_EQ(call.engine->cached_tokens, 4U);
  EXPECT_EQ(call.provider, "llama.cpp");
}

TEST(OpenAi, WithoutUsageContentEventsAreCounted) {
  RecordedCalls calls;
  calls.script()
      .request(chat, small_request)
      .response_head()
      .message(role_only)
      .message(hello)
      .message(hello)
      .message(finish)
      .message("[DONE]")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().usage.output_tokens, 2U);
  EXPECT_EQ(calls.call().usage.source, Source::events);
  EXPECT_FALSE(calls.call().usage.input_tokens);
}

TEST(OpenAi, UsageNullOnEveryChunkIsNone) {
  RecordedCalls calls;
  const std::string with_null = chunk(delta(R"("content":"x")"), R"(,"usage":null)");
  calls.script()
      .request(chat, small_request)
      .response_head()
      .message(with_null)
      .message(with_null)
      .message("[DONE]")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().usage.output_tokens, 2U);
  EXPECT_EQ(calls.call().usage.source, Source::events);
}

TEST(OpenAi, UsageOnEveryChunkTakesTheLast) {
  RecordedCalls calls;
  auto script = calls.script();
  script.request(chat, small_request).response_head();
  for (int i = 1; i <= 3; ++i)
    script.message(chunk(delta(R"("content":"xy")"),
                         R"(,"usage":{"prompt_tokens":7,"completion_tokens":)" + std::to_string(2 * i) + "}"));
  script.close(Exchange::Ending::client_closed);
  EXPECT_EQ(calls.call().usage.output_tokens, 6U);
  EXPECT_EQ(calls.call().usage.input_tokens, 7U);
  EXPECT_EQ(calls.call().usage.source, Source::usage);
}

TEST(OpenAi, UsageOfZeroInABrokenStreamIsNotBelieved) {
  RecordedCalls calls;
  calls.script()
      .request(chat, small_request)
      .response_head()
      .message(chunk(delta(R"("content":"x")"), R"(,"usage":{"prompt_tokens":7,"completion_tokens":0})"))
      .close(Exchange::Ending::client_closed);
  EXPECT_EQ(calls.call().usage.output_tokens, 1U);
  EXPECT_EQ(calls.call().usage.source, Source::events);
}

TEST(OpenAi, TimingsWithoutUsageAreTheEnginesCount) {
  RecordedCalls calls;
  calls.script()
      .request(chat, small_request)
      .response_head()
      .message(hello)
      .message(chunk(delta("", 0, R"("stop")"), R"(,"timings":{"cache_n":2,"prompt_n":5,"predicted_n":9})"))
      .response_end()
      .close();
  EXPECT_EQ(calls.call().usage.output_tokens, 9U);
  EXPECT_EQ(calls.call().usage.input_tokens, 7U);
  EXPECT_EQ(calls.call().usage.cached_input_tokens, 2U);
  EXPECT_EQ(calls.call().usage.source, Source::engine);
}

TEST(OpenAi, RoleEmptyContentPingAndDoneAreNoTokens) {
  RecordedCalls calls;
  calls.script()
      .request(chat, small_request)
      .response_head()
      .at(1)
      .message("{}", "ping")
      .at(2)
      .message(role_only)
      .at(3)
      .message(chunk(delta(R"("role":"assistant","content":"")")))
      .at(4)
      .message("[DONE]")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().response.content_events, 0U);
  EXPECT_EQ(calls.call().first_event, test::at_ms(2));
  EXPECT_FALSE(calls.call().first_token);
  EXPECT_FALSE(calls.call().usage.output_tokens);
  EXPECT_EQ(calls.call().usage.source, Source::none);
}

TEST(OpenAi, ReasoningRefusalAndPartsAreContent) {
  RecordedCalls calls;
  auto script = calls.script();
  script.request(chat, small_request).response_head();
  for (const std::string_view fields : {R"("content":null,"reasoning_content":"hm")", R"("reasoning":"hm")",
                                        R"("refusal":"no")", R"("content":[{"type":"text","text":"x"}])"})
    script.message(chunk(delta(fields)));
  script.message(chunk(delta(R"("content":[])"))).response_end().close();
  EXPECT_EQ(calls.call().response.content_events, 4U);
}

TEST(OpenAi, ToolCallsAreCountedByChoiceAndIndex) {
  RecordedCalls calls;
  const auto piece = [](int index, std::string_view function) {
    return chunk(delta(R"("tool_calls":[{"index":)" + std::to_string(index) + R"(,"function":{)" +
                       std::string(function) + "}}]"));
  };
  calls.script()
      .request(chat, small_request)
      .response_head()
      .message(piece(0, R"("name":"f","arguments":"")"))
      .message(piece(0, R"("arguments":"{\"a\"")"))
      .message(piece(0, R"("arguments":"")"))
      .message(piece(1, R"("name":"g","arguments":"{}")"))
      .message(chunk(delta("", 0, R"("tool_calls")")))
      .response_end()
      .close();
  EXPECT_EQ(calls.call().response.tool_calls, 2U);
  EXPECT_EQ(calls.call().response.content_events, 3U);
  EXPECT_EQ(calls.call().response.finish_reasons, Strings{"tool_calls"});
}

TEST(OpenAi, SeveralChoices) {
  RecordedCalls calls;
  calls.script()
      .request(chat, R"({"model":"m","n":3,"stream":true,"messages":[]})")
      .response_head()
      .message(chunk(delta(R"("content":"a")", 1)))
      .message(chunk(delta(R"("content":"b")", 0)))
      .message(chunk(delta("", 2, R"("length")")))
      .message(chunk(delta("", 0, R"("stop")")))
      .response_end()
      .close();
  EXPECT_EQ(calls.call().request.choice_count, 3);
  EXPECT_EQ(calls.call().response.finish_reasons, (Strings{"stop", "", "length"}));
}

TEST(OpenAi, WholeResponse) {
  RecordedCalls calls;
  calls.script()
      .request("/proxy/v1/chat/completions?x=1", R"({"messages":[],"model":"m","temperature":0.5,"top_p":1,
      "max_tokens":5,"max_completion_tokens":6,"seed":42,"frequency_penalty":-1,"presence_penalty":2,"top_k":3,
      "tools":[{},{}]})")
      .respond(
          R"({"id":"x","object":"chat.completion","model":"real","choices":[{"index":0,"message":{"role":"assistant",
        "content":"hi","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}},
        {"id":"2","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}})");
  const InferenceCall& call = calls.call();
  EXPECT_EQ(calls.kinds, (std::vector{Kind::opened, Kind::request, Kind::closed}));
  EXPECT_EQ(call.request.max_tokens, 6);
  EXPECT_EQ(call.request.temperature, 0.5);
  EXPECT_EQ(call.request.top_p, 1.0);
  EXPECT_EQ(call.request.top_k, 3);
  EXPECT_EQ(call.request.seed, 42);
  EXPECT_EQ(call.request.frequency_penalty, -1.0);
  EXPECT_EQ(call.request.presence_penalty, 2.0);
  EXPECT_EQ(call.request.tool_count, 2U);
  EXPECT_FALSE(call.request.stream);
  EXPECT_EQ(call.response.model, "real");
  EXPECT_EQ(call.response.finish_reasons, Strings{"stop"});
  EXPECT_EQ(call.response.tool_calls, 2U);
  EXPECT_EQ(call.response.content_events, 0U);
  EXPECT_FALSE(call.first_token);
  EXPECT_EQ(call.usage.output_tokens, 1U);
  EXPECT_EQ(call.usage.source, Source::usage);
}

TEST(OpenAi, CompletionsAndEmbeddings) {
  RecordedCalls calls;
  calls.script(0)
      .request("/v1/completions", R"({"model":"m","prompt":["ab","c"],"stream":true})")
      .response_head()
      .message(
          R"({"id":"chatcmpl-1","object":"text_completion","choices":[{"index":0,"text":"x","finish_reason":null}]})")
      .message(R"({"id":"chatcmpl-1","choices":[{"index":0,"text":"","finish_reason":"stop"}]})")
      .response_end()
      .close();
  calls.script(1)
      .request("/v1/embeddings", R"({"model":"e","input":[1,2,3]})")
      .respond(
          R"({"object":"list","data":[{"embedding":[0.1,NaN]}],"model":"e","usage":{"prompt_tokens":3,"total_tokens":3}})");
  EXPECT_EQ(calls.closed[0].operation, "text_completion");
  EXPECT_EQ(calls.closed[0].request.prompt_bytes, 3U);
  EXPECT_EQ(calls.closed[0].response.content_events, 1U);
  EXPECT_EQ(calls.closed[0].response.id, "chatcmpl-1");
  EXPECT_EQ(calls.closed[1].operation, "embeddings");
  EXPECT_FALSE(calls.closed[1].request.prompt_bytes);
  EXPECT_EQ(calls.closed[1].usage.input_tokens, 3U);
  EXPECT_FALSE(calls.closed[1].usage.output_tokens);
  EXPECT_EQ(calls.closed[1].usage.source, Source::none);
}

struct ErrorCase {
  int status;
  std::string_view type;
  std::string_view body;
  std::string_view expected;
};

TEST(OpenAi, Errors) {
  const std::vector<ErrorCase> cases{
      {400, "application/json", R"({"error":{"message":"no","type":"invalid_request_error","code":"x"}})",
       "invalid_request_error"},
      {404, "application/json", R"({"error":{"message":"no","type":null,"param":null,"code":"model_not_found"}})",
       "model_not_found"},
      {503, "application/json", R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})",
       "unavailable_error"},
      {500, "application/json", R"({"error":{"code":501,"message":"x"}})", "501"},
      {500, "application/json", R"({"error":"some text of the prompt"})", "500"},
      {400, "application/json", R"({"object":"error","message":"m","type":"BadRequestError","code":400})",
       "BadRequestError"},
      {500, "text/plain", "Internal Server Error", "500"},
      {422, "application/json", R"({"detail":[{"msg":"field required"}]})", "422"},
      {400, "text/plain", R"({"error":{"type":"t"}})", "t"},
      {400, "application/json", R"({"error":{"type":"text with spaces, maybe a prompt"}})", "400"},
      {200, "application/json", R"({"error":{"message":"quota"}})", "_OTHER"},
      {429, "application/json", "", "429"},
      {502, "application/json", R"({"error":{"type":"cut_off"},"id":"x)", "cut_off"},
  };
  for (const ErrorCase& test : cases) {
    RecordedCalls calls;
    calls.script().request(chat, small_request).respond(test.body, test.status, test.type);
    ASSERT_TRUE(calls.call().failure) << test.body;
    EXPECT_EQ(calls.call().failure->type, test.expected) << test.body;
    EXPECT_FALSE(calls.call().failure->mid_stream) << test.body;
  }
}

TEST(OpenAi, ErrorsInMidStream) {
  for (const auto& [name, data, expected] :
       {std::tuple{"", R"({"error":{"message":"x","type":"server_error","code":500}})", "server_error"},
        std::tuple{"error", R"({"message":"x","type":"overloaded"})", "overloaded"},
        std::tuple{"error", "CUDA out of memory", "_OTHER"}}) {
    RecordedCalls calls;
    calls.script()
        .request(chat, small_request)
        .response_head()
        .message(hello)
        .message(data, name)
        .response_end()
        .close();
    ASSERT_TRUE(calls.call().failure) << data;
    EXPECT_EQ(calls.call().failure->type, expected);
    EXPECT_TRUE(calls.call().failure->mid_stream);
    EXPECT_EQ(calls.call().response.content_events, 1U);
  }
}

TEST(OpenAi, EmptyErrorIsNone) {
  for (const std::string_view error : {R"(,"error":null)", R"(,"error":"")", R"(,"error":false)"}) {
    RecordedCalls calls;
    calls.script()
        .request(chat, small_request)
        .response_head()
        .message(chunk(delta(R"("content":"x")"), error))
        .response_end()
        .close();
    EXPECT_FALSE(calls.call().failure) << error;
    EXPECT_EQ(calls.call().response.content_events, 1U);
  }
}

TEST(OpenAi, Providers) {
  const auto provider = [](std::string_view server, std::string_view host) {
    RecordedCalls calls;
    auto script = calls.script();
    script.request(chat, small_request, {{"host", std::string(host)}});
    script.response_head(200, "application/json", {{"server", std::string(server)}}).response_end().close();
    return calls.call().provider;
  };
  EXPECT_EQ(provider("llama.cpp", "localhost"), "llama.cpp");
  EXPECT_EQ(provider("uvicorn", "localhost:8000"), "unknown");
  EXPECT_EQ(provider("", "api.openai.com"), "openai");
  EXPECT_EQ(provider("", "API.openai.com:443"), "openai");
  EXPECT_EQ(provider("", "api.openai.com.evil.org"), "unknown");
  EXPECT_EQ(provider("", "x.openai.azure.com"), "azure.ai.openai");
  EXPECT_EQ(provider("vLLM/0.9", ""), "vllm");
}

}  // namespace
}  // namespace inferscope::interpret
