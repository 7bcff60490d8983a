// SPDX-License-Identifier: Apache-2.0
// The APIs that share the path /generate, and are told apart by what is asked: KServe's, TGI's, SGLang's.
#include <gtest/gtest.h>

#include "interpret/dialects.h"
#include "interpret/inference_paths.h"
#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

using Source = InferenceCall::CountSource;
using Strings = std::vector<std::string>;

TEST(DialectTable, PathsAreComparedBySegments) {
  const auto name = [](std::string_view path) {
    const auto match = find_dialect(builtin_dialects(), "POST", path);
    return match.dialect == nullptr ? std::string_view() : match.dialect->name;
  };
  EXPECT_EQ(name("/v2/models/m/infer"), "kserve");
  EXPECT_EQ(name("/gateway/v2/models/m/versions/3/generate_stream/"), "kserve");
  EXPECT_EQ(name("/v2/models//infer"), "");
  EXPECT_EQ(name("/v2/models/infer"), "");
  EXPECT_EQ(name("/generate"), "tgi");
  EXPECT_EQ(name("/api/generate"), "ollama");
  EXPECT_EQ(name("/regenerate"), "");
  EXPECT_EQ(name("/v1/rerank"), "openai");
  EXPECT_EQ(name(""), "");
  EXPECT_EQ(find_dialect(builtin_dialects(), "GET", "/generate").dialect, nullptr);
  EXPECT_EQ(find_dialect(builtin_dialects(), "POST", "/generate", &tgi_dialect).dialect, &sglang_dialect);
  EXPECT_EQ(find_dialect(builtin_dialects(), "POST", "/generate", &sglang_dialect).dialect, nullptr);
}

TEST(DialectTable, MarksFitTheKernelsTable) {
  const auto paths = inference_paths();
  EXPECT_LE(paths.size(), inference_path_limit);
  for (const std::string& path : paths) EXPECT_LE(path.size(), inference_path_bytes) << path;
  EXPECT_NE(std::find(paths.begin(), paths.end(), "/v2/models/"), paths.end());
}

TEST(Tgi, Stream) {
  RecordedCalls calls;
  calls.script()
      .request("/generate_stream",
               R"({"inputs":"hello","parameters":{"max_new_tokens":3,"temperature":0.7,"details":true}})")
      .response_head()
      .at(10)
      .message(
          R"({"index":1,"token":{"id":5,"text":" a","logprob":-1,"special":false},"generated_text":null,"details":null})")
      .at(20)
      .message(R"({"index":2,"token":{"id":6,"text":" b","special":false},"generated_text":null,"details":null})")
      .at(30)
      .message(R"({"index":3,"token":{"id":2,"text":"</s>","special":true},"generated_text":" a b",
        "details":{"finish_reason":"eos_token","generated_tokens":3,"input_length":4}})")
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "tgi");
  EXPECT_EQ(call.request.max_tokens, 3);
  EXPECT_EQ(call.request.prompt_bytes, 5U);
  EXPECT_EQ(call.response.finish_reasons, Strings{"stop"});
  EXPECT_EQ(call.response.content_events, 2U) << "the end of the text is no text";
  EXPECT_EQ(call.last_token, test::at_ms(20));
  EXPECT_EQ(call.usage.input_tokens, 4U);
  EXPECT_EQ(call.usage.output_tokens, 3U);
  EXPECT_EQ(call.usage.source, Source::engine);
}

TEST(Tgi, WholeAnswerHasItsCountsInHeaders) {
  RecordedCalls calls;
  calls.script(0)
      .request("/generate", R"({"inputs":"hello"})")
      .response_head(200, "application/json", {{"x-prompt-tokens", "12"}, {"x-generated-tokens", "20"}})
      .response_body(R"({"generated_text":"text"})")
      .response_end()
      .close();
  calls.script(1)
      .request("/generate", R"({"inputs":"hello"})")
      .response_head(200, "application/json", {{"x-prompt-tokens", "1x"}, {"x-generated-tokens", ""}})
      .response_body(R"([{"generated_text":"a","details":{"finish_reason":"length","generated_tokens":5}}])")
      .response_end()
      .close();
  calls.script(2)
      .request("/generate", R"({"inputs":"hello"})")
      .respond(R"({"error":"`inputs` must have less than 10 tokens","error_type":"validation"})", 422);
  EXPECT_EQ(calls.closed.at(0).usage.input_tokens, 12U);
  EXPECT_EQ(calls.closed.at(0).usage.output_tokens, 20U);
  EXPECT_EQ(calls.closed.at(0).usage.source, Source::usage);
  EXPECT_FALSE(calls.closed.at(1).usage.input_tokens);
  EXPECT_EQ(calls.closed.at(1).usage.output_tokens, 5U);
  EXPECT_EQ(calls.closed.at(2).failure->type, "validation");
}

TEST(SgLang, EachMessageHasTheWholeText) {
  RecordedCalls calls;
  calls.script()
      .request("/generate", R"({"text":"hello","stream":true,"sampling_params":{"max_new_tokens":8,"top_p":0.9}})")
      .response_head()
      .at(10)
      .message(
          R"({"text":" a","meta_info":{"id":"x1","prompt_tokens":6,"completion_tokens":1,"cached_tokens":2,"finish_reason":null}})")
      .message(R"({"text":" a","meta_info":{"id":"x1","prompt_tokens":6,"completion_tokens":1,"finish_reason":null}})")
      .at(20)
      .message(R"({"text":" a b c","meta_info":{"id":"x1","prompt_tokens":6,"completion_tokens":3,
        "finish_reason":{"type":"length","length":3}}})")
      .message("[DONE]")
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "sglang");
  EXPECT_EQ(call.operation, "text_completion");
  EXPECT_EQ(call.request.max_tokens, 8);
  EXPECT_EQ(call.request.top_p, 0.9);
  EXPECT_EQ(call.response.id, "x1");
  EXPECT_EQ(call.response.finish_reasons, Strings{"length"});
  EXPECT_EQ(call.response.content_events, 2U);
  EXPECT_EQ(call.usage.input_tokens, 6U);
  EXPECT_EQ(call.usage.cached_input_tokens, 2U);
  EXPECT_EQ(call.usage.output_tokens, 3U);
}

TEST(SgLang, SeveralPrompts) {
  RecordedCalls calls;
  calls.script()
      .request("/generate", R"({"input_ids":[[1],[2]]})")
      .respond(
          R"([{"text":"a","meta_info":{"prompt_tokens":1,"completion_tokens":2}},
          {"text":"b","meta_info":{"prompt_tokens":1,"completion_tokens":3}}])");
  EXPECT_EQ(calls.call().usage.output_tokens, 5U);
  EXPECT_FALSE(calls.call().request.prompt_bytes) << "of token ids there is no text";
}

TEST(Generate, OfNobodyWeKnowIsNoCall) {
  RecordedCalls calls;
  calls.script().request("/generate", R"({"report":"monthly"})").respond(R"({"text":"done"})");
  EXPECT_EQ(calls.call().dialect, "");
  EXPECT_FALSE(calls.call().request.incomplete);
}

TEST(KServe, GenerateAndInfer) {
  RecordedCalls calls;
  calls.script(0)
      .request("/v2/models/m/generate_stream",
               R"({"text_input":"hello","stream":true,"max_tokens":9,"parameters":{"temperature":0}})")
      .response_head()
      .at(10)
      .message(R"({"model_name":"m","model_version":"1","text_output":"a"})")
      .message(R"({"model_name":"m","model_version":"1","text_output":""})")
      .response_end()
      .close();
  calls.script(1)
      .request("/v2/models/m/infer",
               R"({"id":"42","inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1.0]}]})")
      .respond(R"({"model_name":"m","model_version":"1","id":"42","outputs":[]})");
  calls.script(2).request("/v2/models/m/infer", R"({"inputs":[]})").respond(R"({"error":"no inputs"})", 400);
  EXPECT_EQ(calls.closed.at(0).dialect, "kserve");
  EXPECT_EQ(calls.closed.at(0).request.max_tokens, 9);
  EXPECT_EQ(calls.closed.at(0).request.temperature, 0.0);
  EXPECT_EQ(calls.closed.at(0).response.model, "m");
  EXPECT_EQ(calls.closed.at(0).response.content_events, 1U);
  EXPECT_EQ(calls.closed.at(0).usage.source, Source::events);
  EXPECT_EQ(calls.closed.at(1).operation, "infer");
  EXPECT_EQ(calls.closed.at(1).response.id, "42");
  EXPECT_EQ(calls.closed.at(2).failure->type, "400");
}

TEST(Rerank, HasAQueryAndAUsage) {
  RecordedCalls calls;
  calls.script()
      .request("/v1/rerank", R"({"model":"r","query":"abc","documents":["d"],"top_n":1})")
      .respond(
          R"({"id":"rerank-1","model":"r","usage":{"prompt_tokens":9,"total_tokens":9},"results":[{"index":0,"relevance_score":0.5}]})");
  EXPECT_EQ(calls.call().operation, "rerank");
  EXPECT_EQ(calls.call().request.prompt_bytes, 3U);
  EXPECT_EQ(calls.call().usage.input_tokens, 9U);
}

}  // namespace
}  // namespace inferscope::interpret
