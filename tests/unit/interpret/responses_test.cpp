// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

using Source = InferenceCall::CountSource;
using Strings = std::vector<std::string>;

TEST(Responses, Stream) {
  RecordedCalls calls;
  calls.script()
      .request("/v1/responses",
               R"({"model":"gpt-x","input":[{"role":"user","content":[{"type":"input_text","text":"hello"}]}],
        "instructions":"abc","max_output_tokens":50,"stream":true,"tools":[{"type":"function"}]})")
      .response_head()
      .at(5)
      .message(R"({"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress",
        "model":"gpt-x-1","output":[],"error":null,"usage":null}})",
               "response.created")
      .message(R"({"type":"response.output_item.added","output_index":0,"item":{"type":"message","content":[]}})")
      .at(10)
      .message(R"({"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hi"})")
      .message(R"({"type":"response.output_text.done","output_index":0,"text":"Hi"})")
      .message(R"({"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","name":"f"}})")
      .at(20)
      .message(R"({"type":"response.function_call_arguments.delta","output_index":1,"delta":"{}"})")
      .message(R"({"type":"response.completed","response":{"id":"resp_1","status":"completed","error":null,
        "output":[{"type":"message"},{"type":"function_call"}],"usage":{"input_tokens":12,
        "input_tokens_details":{"cached_tokens":4},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":3}}}})")
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "openai_responses");
  EXPECT_EQ(call.operation, "chat");
  EXPECT_EQ(call.request.model, "gpt-x");
  EXPECT_EQ(call.request.prompt_bytes, 8U);
  EXPECT_EQ(call.request.max_tokens, 50);
  EXPECT_EQ(call.request.tool_count, 1U);
  EXPECT_EQ(call.response.id, "resp_1");
  EXPECT_EQ(call.response.model, "gpt-x-1");
  EXPECT_EQ(call.response.finish_reasons, Strings{"tool_calls"});
  EXPECT_EQ(call.response.tool_calls, 1U) << "told twice, but one";
  EXPECT_EQ(call.response.content_events, 2U);
  EXPECT_EQ(call.first_event, test::at_ms(5));
  EXPECT_EQ(call.first_token, test::at_ms(10));
  EXPECT_EQ(call.last_token, test::at_ms(20));
  EXPECT_EQ(call.usage.input_tokens, 12U);
  EXPECT_EQ(call.usage.cached_input_tokens, 4U);
  EXPECT_EQ(call.usage.output_tokens, 9U);
  EXPECT_EQ(call.usage.reasoning_tokens, 3U);
  EXPECT_EQ(call.usage.source, Source::usage);
  EXPECT_FALSE(call.failure);
}

TEST(Responses, EndsOfOtherKinds) {
  RecordedCalls calls;
  const auto ask = R"({"model":"m","input":"abc"})";
  calls.script(0)
      .request("/v1/responses", ask)
      .respond(R"({"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"error":null})");
  calls.script(1).request("/v1/responses", ask).respond(R"({"id":"r","status":"completed","error":null,"output":[]})");
  calls.script(2)
      .request("/v1/responses", R"({"model":"m","input":"abc","stream":true})")
      .response_head()
      .message(R"({"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error",
        "message":"text"}}})")
      .close();
  calls.script(3)
      .request("/v1/responses", ask)
      .respond(R"({"error":{"message":"no such model","type":"invalid_request_error"}})", 404);
  calls.script(4)
      .request("/v1/responses", R"({"model":"m","input":"abc","stream":true})")
      .response_head()
      .message(R"({"type":"error","code":"rate_limit_exceeded","message":"text"})", "error")
      .close();
  EXPECT_EQ(calls.closed.at(0).request.prompt_bytes, 3U);
  EXPECT_EQ(calls.closed.at(0).response.finish_reasons, Strings{"length"});
  EXPECT_EQ(calls.closed.at(1).response.finish_reasons, Strings{"stop"});
  EXPECT_EQ(calls.closed.at(2).failure->type, "server_error");
  EXPECT_TRUE(calls.closed.at(2).failure->mid_stream);
  EXPECT_EQ(calls.closed.at(3).failure->type, "invalid_request_error");
  EXPECT_EQ(calls.closed.at(4).failure->type, "rate_limit_exceeded");
}

}  // namespace
}  // namespace inferscope::interpret
