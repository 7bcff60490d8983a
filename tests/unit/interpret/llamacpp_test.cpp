// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

using Source = InferenceCall::CountSource;
using Strings = std::vector<std::string>;

TEST(LlamaCpp, Stream) {
  RecordedCalls calls;
  calls.script()
      .at(0)
      .request("/completion", R"({"prompt":"abc","n_predict":2,"stream":true})")
      .at(5)
      .response_head()
      .at(10)
      .message(
          R"({"index":0,"content":"x","tokens":[5],"stop":false,"id_slot":-1,"tokens_predicted":1,"tokens_evaluated":4})")
      .at(20)
      .message(
          R"({"index":0,"content":"y","tokens":[6],"stop":false,"id_slot":-1,"tokens_predicted":2,"tokens_evaluated":4})")
      .at(21)
      .message(R"({"index":0,"content":"","tokens":[],"id_slot":0,"stop":true,"model":"tiny.gguf","tokens_predicted":2,
        "tokens_evaluated":4,"generation_settings":{"n_predict":2},"prompt":"abc","has_new_line":false,"truncated":false,
        "stop_type":"limit","stopping_word":"","tokens_cached":5,"timings":{"cache_n":1,"prompt_n":3,"prompt_ms":4.5,
        "predicted_n":2,"predicted_ms":11.0}})")
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "llamacpp");
  EXPECT_EQ(call.operation, "text_completion");
  EXPECT_EQ(call.provider, "llama.cpp");
  EXPECT_EQ(call.request.max_tokens, 2);
  EXPECT_EQ(call.request.prompt_bytes, 3U);
  EXPECT_EQ(call.response.model, "tiny.gguf");
  EXPECT_EQ(call.response.finish_reasons, Strings{"length"});
  EXPECT_EQ(call.response.content_events, 2U);
  EXPECT_EQ(call.first_token, test::at_ms(10));
  EXPECT_EQ(call.last_token, test::at_ms(20));
  EXPECT_EQ(call.usage.input_tokens, 4U);
  EXPECT_EQ(call.usage.output_tokens, 2U);
  EXPECT_EQ(call.usage.cached_input_tokens, 1U);
  EXPECT_EQ(call.usage.source, Source::engine);
  EXPECT_EQ(call.engine->predicted_ms, 11.0);
}

TEST(LlamaCpp, EventsThatSayHowManyTokensTheyCarry) {
  RecordedCalls calls;
  calls.script()
      .request("/completion", R"({"prompt":"abc","stream":true})")
      .response_head()
      .message(R"({"content":"xyz","tokens":[5,6,7],"stop":false})")
      .message(R"({"content":"x","tokens":[5],"stop":false})")
      .close(Exchange::Ending::client_closed);
  EXPECT_EQ(calls.call().usage.output_tokens, 4U);
  EXPECT_EQ(calls.call().usage.source, Source::engine);
}

TEST(LlamaCpp, EventsThatDoNot) {
  RecordedCalls calls;
  calls.script()
      .request("/infill", R"({"input_prefix":"abc","input_suffix":"","stream":true})")
      .response_head()
      .message(R"({"content":"xyz","stop":false})")
      .message(R"({"content":"x","tokens":[],"stop":false})")
      .close(Exchange::Ending::client_closed);
  EXPECT_EQ(calls.call().usage.output_tokens, 2U);
  EXPECT_EQ(calls.call().usage.source, Source::events);
}

TEST(LlamaCpp, SeveralPromptsInOneRequest) {
  RecordedCalls calls;
  calls.script()
      .request("/completions", R"({"prompt":["a","b"],"n_predict":-1})")
      .respond(R"([{"index":0,"content":"x","tokens_predicted":3,"tokens_evaluated":1,"stop_type":"eos"},
                   {"index":1,"content":"y","tokens_predicted":4,"tokens_evaluated":2,"stop_type":"word"}])");
  EXPECT_FALSE(calls.call().request.max_tokens);
  EXPECT_EQ(calls.call().usage.output_tokens, 7U);
  EXPECT_EQ(calls.call().usage.input_tokens, 3U);
  EXPECT_EQ(calls.call().response.finish_reasons, (Strings{"stop", "stop"}));
}

TEST(LlamaCpp, OlderStopFlags) {
  RecordedCalls calls;
  calls.script()
      .request("/completion", R"({"prompt":"a"})")
      .respond(R"({"content":"x","stop":true,"stopped_eos":false,"stopped_limit":true,"stopped_word":false})");
  EXPECT_EQ(calls.call().response.finish_reasons, Strings{"length"});
}

TEST(LlamaCpp, Embedding) {
  RecordedCalls calls;
  calls.script().request("/embedding", R"({"content":"abcd"})").respond(R"([{"index":0,"embedding":[[0.1,0.2]]}])");
  EXPECT_EQ(calls.call().operation, "embeddings");
  EXPECT_EQ(calls.call().request.prompt_bytes, 4U);
  EXPECT_FALSE(calls.call().usage.output_tokens);
}

TEST(LlamaCpp, Error) {
  RecordedCalls calls;
  calls.script()
      .request("/completion", R"({"prompt":"a"})")
      .respond(R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})", 503);
  EXPECT_EQ(calls.call().failure->type, "unavailable_error");
}

TEST(LlamaCpp, GatewayWithoutV1AnswersAsOpenAi) {
  RecordedCalls calls;
  calls.script()
      .request("/completions", R"({"model":"m","prompt":"a"})")
      .respond(
          R"({"object":"text_completion","choices":[{"text":"x","index":0,"finish_reason":"stop"}],"usage":{"completion_tokens":1}})");
  EXPECT_EQ(calls.call().dialect, "openai");
  EXPECT_EQ(calls.call().provider, "unknown");
  EXPECT_EQ(calls.call().usage.source, Source::usage);
}

TEST(LlamaCpp, OtherRequestsToSuchPathsStayPlainHttp) {
  RecordedCalls calls;
  calls.script().request("/orders/7/completion", R"({"state":"done"})").respond("{}");
  EXPECT_EQ(calls.call().dialect, "");
  EXPECT_EQ(calls.call().operation, "");
  EXPECT_EQ(calls.kinds.size(), 3U);
}

}  // namespace
}  // namespace inferscope::interpret
