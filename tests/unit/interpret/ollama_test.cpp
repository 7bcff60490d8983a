// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

using Source = InferenceCall::CountSource;
using Strings = std::vector<std::string>;

TEST(Ollama, ChatStreamsLines) {
  RecordedCalls calls;
  calls.script()
      .request("/api/chat", R"({"model":"llama3.2","messages":[{"role":"user","content":"hello"}],
        "options":{"temperature":0.1,"num_predict":-1,"seed":7}})")
      .response_head(200, "application/x-ndjson")
      .at(10)
      .message(R"({"model":"llama3.2","created_at":"t","message":{"role":"assistant","content":"Hi"},"done":false})")
      .at(20)
      .message(R"({"model":"llama3.2","created_at":"t","message":{"role":"assistant","content":"","tool_calls":[
        {"function":{"name":"f","arguments":{}}}]},"done":false})")
      .message(R"({"model":"llama3.2","created_at":"t","message":{"role":"assistant","content":""},"done":true,
        "done_reason":"stop","total_duration":5000000,"load_duration":1000000,"prompt_eval_count":26,
        "prompt_eval_duration":2500000,"eval_count":3,"eval_duration":1500000})")
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "ollama");
  EXPECT_EQ(call.operation, "chat");
  EXPECT_EQ(call.provider, "ollama");
  EXPECT_EQ(call.request.model, "llama3.2");
  EXPECT_EQ(call.request.stream, true) << "its default";
  EXPECT_FALSE(call.request.max_tokens);
  EXPECT_EQ(call.request.temperature, 0.1);
  EXPECT_EQ(call.request.seed, 7);
  EXPECT_EQ(call.request.prompt_bytes, 5U);
  EXPECT_EQ(call.response.finish_reasons, Strings{"stop"});
  EXPECT_EQ(call.response.tool_calls, 1U);
  EXPECT_EQ(call.response.content_events, 2U);
  EXPECT_EQ(call.first_token, test::at_ms(10));
  EXPECT_EQ(call.usage.input_tokens, 26U);
  EXPECT_EQ(call.usage.output_tokens, 3U);
  EXPECT_EQ(call.usage.source, Source::engine);
  EXPECT_EQ(call.engine->prompt_ms, 2.5);
  EXPECT_EQ(call.engine->predicted_ms, 1.5);
}

TEST(Ollama, WholeAnswersAndErrors) {
  RecordedCalls calls;
  calls.script(0)
      .request("/api/generate",
               R"({"model":"m","prompt":"abc","system":"de","stream":false,"options":{"num_predict":4}})")
      .respond(
          R"({"model":"m","response":"text","done":true,"done_reason":"length","prompt_eval_count":2,"eval_count":4})");
  calls.script(1)
      .request("/api/embed", R"({"model":"e","input":["ab","c"]})")
      .respond(R"({"model":"e","embeddings":[[0.1]],"prompt_eval_count":3})");
  calls.script(2)
      .request("/api/chat", R"({"model":"none","messages":[]})")
      .respond(R"({"error":"model not found"})", 404);
  EXPECT_EQ(calls.closed.at(0).operation, "text_completion");
  EXPECT_EQ(calls.closed.at(0).request.stream, false);
  EXPECT_EQ(calls.closed.at(0).request.max_tokens, 4);
  EXPECT_EQ(calls.closed.at(0).request.prompt_bytes, 5U);
  EXPECT_EQ(calls.closed.at(0).response.finish_reasons, Strings{"length"});
  EXPECT_EQ(calls.closed.at(1).operation, "embeddings");
  EXPECT_FALSE(calls.closed.at(1).request.stream);
  EXPECT_EQ(calls.closed.at(1).usage.input_tokens, 3U);
  EXPECT_EQ(calls.closed.at(2).failure->type, "404") << "the message could hold anything";
}

}  // namespace
}  // namespace inferscope::interpret
