// SPDX-License-Identifier: Apache-2.0
// Sessions of OpenAI's realtime API: one call each.
#include <gtest/gtest.h>

#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

using Source = InferenceCall::CountSource;
using Strings = std::vector<std::string>;

test::ExchangeScript upgraded(RecordedCalls& calls, std::uint64_t sequence = 0) {
  test::ExchangeScript script = calls.script(sequence);
  script.request_head("GET", "/v1/realtime?model=x", {{"upgrade", "websocket"}})
      .request_end()
      .response_head(101, "", {{"upgrade", "websocket"}});
  return script;
}

TEST(Realtime, Session) {
  RecordedCalls calls;
  upgraded(calls)
      .at(5)
      .message(R"({"type":"session.created","session":{"id":"sess_1","object":"realtime.session","model":"gpt-rt",
        "temperature":0.8,"max_response_output_tokens":"inf","tools":[]}})")
      .client_message(R"({"type":"session.update","session":{"tools":[{"type":"function","name":"f"}],
        "max_output_tokens":100}})")
      .client_message(R"({"type":"conversation.item.create","item":{"type":"message","role":"user",
        "content":[{"type":"input_text","text":"hello"}]}})")
      .client_message(R"({"type":"input_audio_buffer.append","audio":"AAAA"})")
      .client_message(R"({"type":"response.create"})")
      .message(R"({"type":"response.created","response":{"id":"resp_1","status":"in_progress","output":[]}})")
      .at(10)
      .message(R"({"type":"response.text.delta","response_id":"resp_1","delta":"Hi"})")
      .message(R"({"type":"response.output_audio.delta","delta":"AAAA"})")
      .message(R"({"type":"response.output_audio_transcript.delta","delta":""})")
      .message(R"({"type":"conversation.item.input_audio_transcription.delta","delta":"what the user said"})")
      .message(R"({"type":"response.done","response":{"id":"resp_1","status":"completed",
        "output":[{"type":"message"}],"usage":{"total_tokens":30,"input_tokens":20,"output_tokens":10,
        "input_token_details":{"cached_tokens":8,"text_tokens":12}}}})")
      .at(90)
      .message(R"({"type":"response.created","response":{"id":"resp_2","status":"in_progress"}})")
      .message(R"({"type":"response.function_call_arguments.delta","delta":"{}"})")
      .message(R"({"type":"response.done","response":{"id":"resp_2","status":"completed",
        "output":[{"type":"function_call","name":"f"}],"usage":{"input_tokens":5,"output_tokens":2,
        "input_token_details":{"cached_tokens":1}}}})")
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "openai_realtime");
  EXPECT_EQ(call.operation, "realtime");
  EXPECT_TRUE(call.is_session());
  EXPECT_EQ(call.request.model, "gpt-rt");
  EXPECT_EQ(call.request.temperature, 0.8);
  EXPECT_EQ(call.request.max_tokens, 100);
  EXPECT_EQ(call.request.tool_count, 1U);
  EXPECT_EQ(call.request.message_count, 1U);
  EXPECT_EQ(call.request.prompt_bytes, 5U);
  EXPECT_FALSE(call.request.incomplete);
  EXPECT_FALSE(call.request.malformed);
  EXPECT_EQ(call.response.id, "resp_1");
  EXPECT_EQ(call.response.content_events, 3U);
  EXPECT_EQ(call.response.finish_reasons, Strings{"tool_calls"});
  EXPECT_EQ(call.response.tool_calls, 1U);
  EXPECT_FALSE(call.response.incomplete);
  EXPECT_EQ(call.usage.input_tokens, 25U);
  EXPECT_EQ(call.usage.cached_input_tokens, 9U);
  EXPECT_EQ(call.usage.output_tokens, 12U);
  EXPECT_EQ(call.usage.source, Source::usage);
  EXPECT_EQ(call.first_event, test::at_ms(5));
  EXPECT_EQ(call.first_token, test::at_ms(10));
  EXPECT_EQ(call.last_token, test::at_ms(90));
  EXPECT_FALSE(call.failure);
  EXPECT_EQ(calls.interpreter.counters().broken_bodies, 0U);
}

TEST(Realtime, EndsOfOtherKinds) {
  RecordedCalls calls;
  const auto done = [](std::string_view rest) {
    return R"({"type":"response.done","response":{"id":"r",)" + std::string(rest) + "}}";
  };
  upgraded(calls, 0).message(done(R"("status":"cancelled","status_details":{"reason":"turn_detected"})")).close();
  upgraded(calls, 1).message(done(R"("status":"incomplete","status_details":{"reason":"max_output_tokens"})")).close();
  upgraded(calls, 2).message(done(R"("status":"incomplete","status_details":{"reason":"content_filter"})")).close();
  upgraded(calls, 3)
      .message(done(R"("status":"failed","status_details":{"error":{"type":"server_error","message":"text"}})"))
      .close();
  upgraded(calls, 4)
      .message(R"({"type":"error","error":{"type":"invalid_request_error","message":"text","code":null}})")
      .client_message("no JSON")
      .message("none either")
      .close();
  calls.script(5)
      .request_head("GET", "/v1/realtime")
      .request_end()
      .respond(R"({"error":{"type":"invalid_api_key","message":"text"}})", 401);
  ASSERT_EQ(calls.closed.size(), 6U);
  EXPECT_EQ(calls.closed[0].response.finish_reasons, Strings{"cancelled"});
  EXPECT_EQ(calls.closed[1].response.finish_reasons, Strings{"length"});
  EXPECT_EQ(calls.closed[2].response.finish_reasons, Strings{"content_filter"});
  EXPECT_EQ(calls.closed[3].failure->type, "server_error");
  EXPECT_EQ(calls.closed[4].failure->type, "invalid_request_error");
  EXPECT_TRUE(calls.closed[4].failure->mid_stream);
  EXPECT_TRUE(calls.closed[4].response.incomplete);
  EXPECT_EQ(calls.closed[5].failure->type, "invalid_api_key");
  EXPECT_EQ(calls.interpreter.counters().broken_bodies, 2U);
}

TEST(Realtime, TranscriptionOfVllm) {
  RecordedCalls calls;
  upgraded(calls)
      .message(R"({"type":"session.created","id":"sess_1","created":1})")
      .client_message(R"({"type":"session.update","model":"voxtral"})")
      .message(R"({"type":"transcription.delta","delta":"so "})")
      .message(R"({"type":"transcription.done","text":"so ","usage":{"prompt_tokens":7,"completion_tokens":3}})")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().request.model, "voxtral");
  EXPECT_EQ(calls.call().response.content_events, 1U);
  EXPECT_EQ(calls.call().usage.input_tokens, 7U);
  EXPECT_EQ(calls.call().usage.output_tokens, 3U);
}

TEST(Realtime, IsAskedForWithGet) {
  RecordedCalls calls;
  calls.script(0).request_head("POST", "/v1/realtime").request_end().respond("{}");
  calls.script(1).request_head("GET", "/v1/chat/completions").request_end().respond("{}");
  calls.script(2).request_head("GET", "/openai/realtime").request_end().respond("{}");
  ASSERT_EQ(calls.closed.size(), 3U);
  EXPECT_EQ(calls.closed[0].dialect, "");
  EXPECT_EQ(calls.closed[1].dialect, "");
  EXPECT_EQ(calls.closed[2].dialect, "openai_realtime");
}

}  // namespace
}  // namespace inferscope::interpret
