// SPDX-License-Identifier: Apache-2.0
// KServe's protocol over gRPC: requests and responses as its messages say them.
#include <gtest/gtest.h>

#include "interpret/kserve.pb.h"
#include "tests/unit/interpret/recorded_calls.h"

namespace inferscope::interpret {
namespace {

constexpr const char* unary = "/inference.GRPCInferenceService/ModelInfer";
constexpr const char* streaming = "/inference.GRPCInferenceService/ModelStreamInfer";
constexpr const char* grpc = "application/grpc";

/// An element of a tensor of texts, as it is in raw contents.
std::string raw(std::string_view text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  std::string bytes;
  for (const unsigned shift : {0U, 8U, 16U, 24U}) bytes += static_cast<char>((size >> shift) & 0xffU);
  return bytes.append(text);
}

std::string request_of(std::string_view prompt) {
  kserve::ModelInferRequest request;
  request.set_model_name("llama");
  request.set_id("r1");
  (*request.mutable_parameters())["max_tokens"].set_int64_param(16);
  (*request.mutable_parameters())["temperature"].set_double_param(0.5);
  auto* input = request.add_inputs();
  input->set_name("text_input");
  input->set_datatype("BYTES");
  request.add_raw_input_contents(raw(prompt));
  return request.SerializeAsString();
}

std::string token(std::string_view text) {
  kserve::ModelStreamInferResponse response;
  auto* inferred = response.mutable_infer_response();
  inferred->set_model_name("llama");
  inferred->set_id("r1");
  auto* output = inferred->add_outputs();
  output->set_name("text_output");
  output->set_datatype("BYTES");
  inferred->add_raw_output_contents(raw(text));
  return response.SerializeAsString();
}

TEST(KserveGrpc, AStreamOfTokens) {
  RecordedCalls calls;
  kserve::ModelStreamInferResponse last;
  last.mutable_infer_response()->set_id("r1");
  calls.script()
      .request_head("POST", streaming, {{"content-type", grpc}})
      .client_message(request_of("twelve bytes"))
      .request_end()
      .response_head(200, grpc)
      .at(1010)
      .message(token("a"))
      .at(1030)
      .message(token("b"))
      .message(last.SerializeAsString())
      .response_end()
      .close();
  const InferenceCall& call = calls.call();
  EXPECT_EQ(call.dialect, "kserve");
  EXPECT_EQ(call.operation, "text_completion");
  EXPECT_EQ(call.request.model, "llama");
  EXPECT_EQ(call.request.stream, true);
  EXPECT_EQ(call.request.max_tokens, 16);
  EXPECT_EQ(call.request.temperature, 0.5);
  EXPECT_EQ(call.request.prompt_bytes, 12U);
  EXPECT_FALSE(call.request.malformed);
  EXPECT_EQ(call.response.id, "r1");
  EXPECT_EQ(call.response.content_events, 2U);
  EXPECT_EQ(call.first_token, test::at_ms(1010));
  EXPECT_EQ(call.last_token, test::at_ms(1030));
  EXPECT_EQ(call.usage.output_tokens, 2U);
  EXPECT_EQ(call.usage.source, InferenceCall::CountSource::events);
  EXPECT_FALSE(call.failure);
}

TEST(KserveGrpc, AUnaryCall) {
  RecordedCalls calls;
  kserve::ModelInferResponse response;
  response.set_model_name("llama");
  calls.script()
      .request_head("POST", unary)
      .client_message(request_of("x"))
      .request_end()
      .response_head(200, grpc)
      .message(response.SerializeAsString())
      .response_end()
      .close();
  EXPECT_EQ(calls.call().operation, "infer");
  EXPECT_EQ(calls.call().response.model, "llama");
  EXPECT_EQ(calls.call().response.content_events, 0U);
}

TEST(KserveGrpc, FailuresOfTheStreamAndOfTheCall) {
  RecordedCalls calls;
  kserve::ModelStreamInferResponse error;
  error.set_error_message("no such model");
  calls.script(0)
      .request_head("POST", streaming)
      .client_message(request_of("x"))
      .request_end()
      .response_head(200, grpc)
      .message(error.SerializeAsString())
      .response_end()
      .close();
  calls.script(1)
      .request_head("POST", unary)
      .client_message(request_of("x"))
      .request_end()
      .response_head(200, grpc, {{"grpc-status", "14"}})
      .response_end()
      .close();
  ASSERT_TRUE(calls.closed.at(0).failure);
  EXPECT_EQ(calls.closed.at(0).failure->type, "_OTHER");
  EXPECT_TRUE(calls.closed.at(0).failure->mid_stream);
  ASSERT_TRUE(calls.closed.at(1).failure);
  EXPECT_EQ(calls.closed.at(1).failure->type, "UNAVAILABLE");
}

TEST(KserveGrpc, AnAnswerInJsonIsThatOfSomebodyElse) {
  RecordedCalls calls;
  calls.script()
      .request_head("POST", unary)
      .client_message(request_of("x"))
      .request_end()
      .respond(R"({"error":{"type":"not_found"}})", 404);
  ASSERT_TRUE(calls.call().failure);
  EXPECT_EQ(calls.call().failure->type, "not_found");
}

TEST(KserveGrpc, WhatIsNoProtobufIsMalformed) {
  RecordedCalls calls;
  calls.script()
      .request_head("POST", unary)
      .client_message("\x0a\xff")
      .request_end()
      .response_head(200, grpc)
      .message("\xff\xff\xff")
      .response_end()
      .close();
  EXPECT_TRUE(calls.call().request.malformed);
  EXPECT_TRUE(calls.call().response.incomplete);
  EXPECT_EQ(calls.interpreter.counters().broken_bodies, 2U);
}

}  // namespace
}  // namespace inferscope::interpret
