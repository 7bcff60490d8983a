// SPDX-License-Identifier: Apache-2.0
// An API that the configuration teaches.
#include <gtest/gtest.h>

#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

using Source = InferenceCall::CountSource;
using Strings = std::vector<std::string>;

constexpr std::string_view path = "/api/v3/complete";

rapidjson::Pointer at(const char* pointer) {
  return rapidjson::Pointer(pointer);
}

DialectDefinition acme() {
  DialectDefinition definition;
  definition.name = "acme";
  definition.provider = "acme.inc";
  definition.paths = {{"/api/v3/complete", "text_completion"}, {"/sessions/*/say", "chat"}};
  definition.request = {.model = at("/model"),
                        .stream = at("/options/stream"),
                        .max_tokens = at("/options/limit"),
                        .temperature = at("/options/heat"),
                        .prompt = at("/prompt")};
  definition.response = {.id = at("/id"),
                         .model = at("/engine"),
                         .input_tokens = at("/usage/in"),
                         .output_tokens = at("/usage/out"),
                         .cached_input_tokens = at("/usage/cached"),
                         .finish_reason = at("/results/0/stop"),
                         .content = at("/results/0/text"),
                         .error = at("/fault")};
  definition.message = {.id = at("/id"),
                        .output_tokens = at("/total"),
                        .finish_reason = at("/stop"),
                        .content = at("/delta/a~1b"),
                        .error = at("/fault")};
  return definition;
}

struct AcmeCalls : RecordedCalls {
  explicit AcmeCalls(const DialectDefinition& definition = acme()) : RecordedCalls({}, {definition}) {}
};

TEST(ConfiguredDialect, WholeResponse) {
  AcmeCalls calls;
  calls.script()
      .request(path, R"({"model":"m1","prompt":"hello","options":{"stream":false,"limit":64,"heat":0.5}})")
      .respond(R"({"id":"r-1","engine":"m1-large","usage":{"in":7,"out":9,"cached":3},
        "results":[{"text":"Hi","stop":"length"}],"fault":null})");
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "acme");
  EXPECT_EQ(call.provider, "acme.inc");
  EXPECT_EQ(call.operation, "text_completion");
  EXPECT_EQ(call.request.model, "m1");
  EXPECT_EQ(call.request.stream, false);
  EXPECT_EQ(call.request.max_tokens, 64);
  EXPECT_EQ(call.request.temperature, 0.5);
  EXPECT_EQ(call.request.prompt_bytes, 5U);
  EXPECT_EQ(call.response.id, "r-1");
  EXPECT_EQ(call.response.model, "m1-large");
  EXPECT_EQ(call.response.finish_reasons, Strings{"length"});
  EXPECT_EQ(call.response.content_events, 0U) << "no stream";
  EXPECT_EQ(call.usage.input_tokens, 7U);
  EXPECT_EQ(call.usage.output_tokens, 9U);
  EXPECT_EQ(call.usage.cached_input_tokens, 3U);
  EXPECT_EQ(call.usage.source, Source::usage);
  EXPECT_FALSE(call.failure);
}

TEST(ConfiguredDialect, EventStream) {
  AcmeCalls calls;
  calls.script()
      .request("/gateway/sessions/17/say?x=1",
               R"({"prompt":[{"role":"user","content":"abc"}],"options":{"stream":true}})")
      .response_head()
      .at(10)
      .message(R"({"id":"s-1","delta":{"a/b":""}})")
      .at(20)
      .message(R"({"id":"s-2","delta":{"a/b":"He"},"total":1})")
      .at(35)
      .message(R"({"delta":{"a/b":"llo"},"total":4})")
      .at(40)
      .message(R"({"stop":"end","total":5})")
      .message("[DONE]")
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.operation, "chat");
  EXPECT_EQ(call.request.stream, true);
  EXPECT_EQ(call.request.prompt_bytes, 3U);
  EXPECT_EQ(call.response.id, "s-1") << "as it is said first";
  EXPECT_EQ(call.response.finish_reasons, Strings{"end"});
  EXPECT_EQ(call.response.content_events, 2U);
  EXPECT_EQ(call.first_event, test::at_ms(10));
  EXPECT_EQ(call.first_token, test::at_ms(20));
  EXPECT_EQ(call.last_token, test::at_ms(35));
  EXPECT_EQ(call.usage.output_tokens, 5U) << "as it is said last";
  EXPECT_EQ(call.usage.source, Source::usage);
}

TEST(ConfiguredDialect, LinesOfJsonWithoutCounts) {
  AcmeCalls calls;
  calls.script()
      .request(path, R"({"prompt":"x"})")
      .response_head(200, "application/x-ndjson")
      .message("{\"delta\":{\"a/b\":\"a\"}}\n")
      .message("{\"delta\":{\"a/b\":[17,4]}}\n")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().response.content_events, 2U) << "token ids are content, too";
  EXPECT_EQ(calls.call().usage.output_tokens, 2U);
  EXPECT_EQ(calls.call().usage.source, Source::events);
}

TEST(ConfiguredDialect, ErrorsInTheBody) {
  const auto failure = [](std::string_view fault, int status = 200) -> std::optional<std::string> {
    AcmeCalls calls;
    calls.script()
        .request(path, R"({"prompt":"x"})")
        .respond(R"({"engine":"m1","fault":)" + std::string(fault) + "}", status);
    EXPECT_EQ(calls.call().response.model, "m1");
    return calls.call().failure ? std::optional(calls.call().failure->type) : std::nullopt;
  };
  EXPECT_EQ(failure(R"({"code":"overloaded","text":"try again"})"), "overloaded");
  EXPECT_EQ(failure(R"("overloaded")"), "overloaded");
  EXPECT_EQ(failure("17"), "17");
  EXPECT_EQ(failure(R"("the prompt said: something")"), "_OTHER") << "may be content";
  EXPECT_EQ(failure(R"("the prompt said: something")", 429), "429");
  EXPECT_EQ(failure("true"), "_OTHER");
  EXPECT_EQ(failure("[{}]"), "_OTHER");
  for (const std::string_view none : {"null", "false", "0", R"("")", "[]"}) EXPECT_FALSE(failure(none)) << none;
  EXPECT_EQ(failure("null", 500), "500");
}

TEST(ConfiguredDialect, ErrorInAStream) {
  AcmeCalls calls;
  calls.script()
      .request(path, R"({"prompt":"x"})")
      .response_head()
      .message(R"({"delta":{"a/b":"a"}})")
      .message(R"({"delta":{"a/b":"b"},"fault":{"type":"out_of_memory"}})")
      .response_end()
      .close();
  ASSERT_TRUE(calls.call().failure);
  EXPECT_EQ(calls.call().failure->type, "out_of_memory");
  EXPECT_TRUE(calls.call().failure->mid_stream);
  EXPECT_EQ(calls.call().response.content_events, 1U) << "what comes with an error is no token";
}

TEST(ConfiguredDialect, PointersThatLeadNowhereOrToAnotherType) {
  AcmeCalls calls;
  calls.script(0)
      .request(path, R"({"model":5,"prompt":{"a":1},"options":{"stream":"yes","limit":"many","heat":"hot"}})")
      .respond(R"({"id":[],"engine":{},"usage":{"in":-1,"out":"9","cached":1.5},"results":{"0":{"stop":3}}})");
  calls.script(1).request(path, "[]").respond(R"({"results":[]})");
  calls.script(2)
      .request(path, R"({"options":5})")
      .response_head()
      .message(R"({"delta":{"a/b":5},"total":null,"stop":{}})")
      .message(R"({"delta":"x"})")
      .message("7")
      .message(R"(["delta"])")
      .response_end()
      .close();
  for (const InferenceCall& call : calls.closed) {
    EXPECT_EQ(call.dialect, "acme");
    EXPECT_FALSE(call.request.model);
    EXPECT_FALSE(call.request.stream);
    EXPECT_FALSE(call.request.max_tokens);
    EXPECT_FALSE(call.request.temperature);
    EXPECT_FALSE(call.request.prompt_bytes);
    EXPECT_FALSE(call.response.id);
    EXPECT_FALSE(call.response.model);
    EXPECT_TRUE(call.response.finish_reasons.empty());
    EXPECT_EQ(call.response.content_events, 0U);
    EXPECT_FALSE(call.usage.input_tokens);
    EXPECT_FALSE(call.usage.output_tokens);
    EXPECT_FALSE(call.usage.cached_input_tokens);
    EXPECT_EQ(call.usage.source, Source::none);
    EXPECT_FALSE(call.failure);
  }
}

TEST(ConfiguredDialect, EmptyPointerIsTheWholeMessage) {
  DialectDefinition bare = acme();
  bare.message = {.content = at("")};
  AcmeCalls calls(bare);
  calls.script()
      .request(path, "{}")
      .response_head()
      .message(R"("token")")
      .message(R"("")")
      .message("{}")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().response.content_events, 1U);
}

TEST(ConfiguredDialect, IsAskedBeforeTheBuiltInOnes) {
  DialectDefinition mine = acme();
  mine.paths = {{"/v1/completions", "text_completion"}};
  AcmeCalls calls(mine);
  const std::string_view body = R"({"model":"m","prompt":"abc","max_tokens":4})";
  calls.script(0).request("/v1/completions", body).respond("{}");
  calls.script(1).request("/v1/chat/completions", body).respond("{}");
  calls.script(2).request(path, body).respond("{}");
  EXPECT_EQ(calls.closed.at(0).dialect, "acme");
  EXPECT_FALSE(calls.closed.at(0).request.max_tokens) << "the built-in one has no say in it";
  EXPECT_EQ(calls.closed.at(1).dialect, "openai");
  EXPECT_EQ(calls.closed.at(1).request.max_tokens, 4);
  EXPECT_EQ(calls.closed.at(2).dialect, "");
}

TEST(ConfiguredDialect, FirstOneDecides) {
  DialectDefinition second = acme();
  second.name = "second";
  second.paths = {{"/complete", "chat"}};
  RecordedCalls calls({}, {acme(), second});
  calls.script(0).request(path, "{}").respond("{}");
  calls.script(1).request("/api/v4/complete", "{}").respond("{}");
  EXPECT_EQ(calls.closed.at(0).dialect, "acme");
  EXPECT_EQ(calls.closed.at(1).dialect, "second");
}

TEST(ConfiguredDialect, ProviderIsTheConfiguredOne) {
  AcmeCalls calls;
  calls.script()
      .request(path, "{}", {{"host", "api.openai.com"}})
      .response_head(200, "application/json", {{"server", "vllm"}})
      .response_body("{}")
      .response_end()
      .close();
  EXPECT_EQ(calls.call().provider, "acme.inc");
}

TEST(ConfiguredDialect, NamesOfBuiltInOnesAreKnown) {
  for (const char* name :
       {"openai", "openai_responses", "openai_realtime", "anthropic", "ollama", "kserve", "llamacpp", "tgi", "sglang"})
    EXPECT_TRUE(is_builtin_dialect(name)) << name;
  EXPECT_FALSE(is_builtin_dialect("acme"));
  EXPECT_FALSE(is_builtin_dialect(""));
}

}  // namespace
}  // namespace inferscope::interpret
