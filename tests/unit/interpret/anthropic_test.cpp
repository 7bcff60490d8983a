// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

using Source = InferenceCall::CountSource;
using Strings = std::vector<std::string>;

TEST(Anthropic, Stream) {
  RecordedCalls calls;
  calls.script()
      .request("/v1/messages", R"({"model":"claude-x","max_tokens":64,"stream":true,"temperature":0.5,"top_k":5,
        "system":[{"type":"text","text":"abc"}],"messages":[{"role":"user","content":"hello"}],
        "tools":[{"name":"f","input_schema":{}}]})")
      .response_head()
      .at(10)
      .message(
          R"({"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x-1",
        "content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":3,
        "cache_read_input_tokens":20,"output_tokens":1}}})",
          "message_start")
      .message(R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})")
      .message(R"({"type":"ping"})", "ping")
      .at(20)
      .message(R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}})")
      .message(R"({"type":"content_block_stop","index":0})")
      .message(
          R"({"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}})")
      .message(R"({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}})")
      .at(30)
      .message(R"({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}})")
      .message(
          R"({"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":7}})")
      .message(R"({"type":"message_stop"})")
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "anthropic");
  EXPECT_EQ(call.operation, "chat");
  EXPECT_EQ(call.request.model, "claude-x");
  EXPECT_EQ(call.request.max_tokens, 64);
  EXPECT_EQ(call.request.top_k, 5);
  EXPECT_EQ(call.request.prompt_bytes, 8U);
  EXPECT_EQ(call.request.message_count, 1U);
  EXPECT_EQ(call.request.tool_count, 1U);
  EXPECT_EQ(call.response.id, "msg_1");
  EXPECT_EQ(call.response.model, "claude-x-1");
  EXPECT_EQ(call.response.finish_reasons, Strings{"tool_use"});
  EXPECT_EQ(call.response.tool_calls, 1U);
  EXPECT_EQ(call.response.content_events, 2U);
  EXPECT_EQ(call.first_event, test::at_ms(10));
  EXPECT_EQ(call.first_token, test::at_ms(20));
  EXPECT_EQ(call.last_token, test::at_ms(30));
  EXPECT_EQ(call.usage.input_tokens, 33U) << "those from the cache are part of the prompt";
  EXPECT_EQ(call.usage.cached_input_tokens, 20U);
  EXPECT_EQ(call.usage.output_tokens, 7U);
  EXPECT_EQ(call.usage.source, Source::usage);
}

TEST(Anthropic, WholeMessage) {
  RecordedCalls calls;
  calls.script()
      .request("/v1/messages", R"({"model":"m","max_tokens":4,"system":"abc","messages":[]})")
      .respond(R"({"id":"msg_2","type":"message","model":"m","content":[{"type":"thinking","thinking":"x"},
        {"type":"tool_use","id":"a"},{"type":"server_tool_use","id":"b"}],"stop_reason":"max_tokens",
        "usage":{"input_tokens":5,"output_tokens":4}})");
  EXPECT_EQ(calls.call().request.prompt_bytes, 3U);
  EXPECT_EQ(calls.call().response.tool_calls, 2U);
  EXPECT_EQ(calls.call().response.finish_reasons, Strings{"max_tokens"});
  EXPECT_EQ(calls.call().usage.input_tokens, 5U);
  EXPECT_FALSE(calls.call().usage.cached_input_tokens);
}

TEST(Anthropic, Errors) {
  RecordedCalls calls;
  calls.script(0)
      .request("/v1/messages", R"({"model":"m","stream":true,"messages":[]})")
      .response_head()
      .message(R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})", "error")
      .close(Exchange::Ending::server_closed);
  calls.script(1)
      .request("/v1/messages", R"({"messages":[]})")
      .respond(R"({"type":"error","error":{"type":"invalid_request_error","message":"model: missing"}})", 400);
  EXPECT_EQ(calls.closed.at(0).failure->type, "overloaded_error");
  EXPECT_TRUE(calls.closed.at(0).failure->mid_stream);
  EXPECT_EQ(calls.closed.at(1).failure->type, "invalid_request_error");
  EXPECT_FALSE(calls.closed.at(1).failure->mid_stream);
}

}  // namespace
}  // namespace inferscope::interpret
