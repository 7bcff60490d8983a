// SPDX-License-Identifier: Apache-2.0
// KServe's v2 protocol over gRPC, and Triton's streams of it: of tensors, what tells of text.
#include <algorithm>
#include <array>

#include "interpret/dialects.h"
#include "interpret/kserve.pb.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

/// Not told to the kernel, which knows requests of HTTP/1 by their first bytes.
constexpr std::array<PathRule, 2> paths{{
    {"/inference.GRPCInferenceService/ModelInfer", "infer", false},
    {"/inference.GRPCInferenceService/ModelStreamInfer", "text_completion", false},
}};

std::string_view method_of(const Exchange& exchange) {
  const std::string_view path = exchange.path();
  return path.substr(path.rfind('/') + 1);
}

/// Bytes of text in a tensor, whichever way it came. Raw, each element has its length before it, in four bytes.
std::uint64_t text_size(const kserve::InferTensor& tensor, const std::string* raw) {
  std::uint64_t bytes = 0;
  for (const std::string& text : tensor.contents().bytes_contents()) bytes += text.size();
  constexpr std::size_t prefix = 4;
  for (std::string_view rest = raw != nullptr ? std::string_view(*raw) : std::string_view(); rest.size() > prefix;) {
    std::size_t size = 0;
    for (std::size_t i = prefix; i-- > 0;) size = size << 8U | static_cast<std::uint8_t>(rest[i]);
    rest.remove_prefix(prefix);
    size = std::min(size, rest.size());
    bytes += size;
    rest.remove_prefix(size);
  }
  return bytes;
}

void read_parameter(const std::string& name, const kserve::InferParameter& value, InferenceCall::Request& request) {
  if (name == "max_tokens" && value.has_int64_param()) request.max_tokens = value.int64_param();
  if (name == "temperature" && value.has_double_param()) request.temperature = value.double_param();
  if (name == "top_p" && value.has_double_param()) request.top_p = value.double_param();
  if (name == "seed" && value.has_int64_param()) request.seed = value.int64_param();
  if (name == "stream" && value.has_bool_param()) request.stream = value.bool_param();
}

bool read_request(std::string_view message, const Exchange& exchange, Reading& reading) {
  kserve::ModelInferRequest body;
  if (!body.ParseFromArray(message.data(), static_cast<int>(message.size()))) return false;
  auto& request = reading.call.request;
  if (!body.model_name().empty()) request.model = clean_text(body.model_name(), 256);
  if (method_of(exchange) == "ModelStreamInfer") request.stream = true;
  for (const auto& [name, value] : body.parameters()) read_parameter(name, value, request);
  std::uint64_t prompt = 0;
  for (int i = 0; i < body.inputs_size(); ++i)
    if (body.inputs(i).datatype() == "BYTES")
      prompt += text_size(body.inputs(i), i < body.raw_input_contents_size() ? &body.raw_input_contents(i) : nullptr);
  if (prompt != 0) request.prompt_bytes = request.prompt_bytes.value_or(0) + prompt;
  return true;
}

/// A stream ends with a response that has no outputs, or empty ones.
bool has_content(const kserve::ModelInferResponse& body) {
  for (int i = 0; i < body.outputs_size(); ++i) {
    const std::string* raw = i < body.raw_output_contents_size() ? &body.raw_output_contents(i) : nullptr;
    const bool of_text = body.outputs(i).datatype() == "BYTES";
    if (of_text ? text_size(body.outputs(i), raw) != 0 : raw != nullptr && !raw->empty()) return true;
  }
  return false;
}

/// What answers in the place of gRPC.
void read_json(const Json& body, Reading& reading) {
  read_error(body, reading.call);
}

std::optional<bool> read_response(std::string_view message, const Exchange& exchange, Reading& reading) {
  kserve::ModelStreamInferResponse body;
  const bool streams = method_of(exchange) == "ModelStreamInfer";
  const int size = static_cast<int>(message.size());
  if (!(streams ? body.ParseFromArray(message.data(), size)
                : body.mutable_infer_response()->ParseFromArray(message.data(), size)))
    return std::nullopt;
  if (!body.error_message().empty()) {
    reading.call.failure = InferenceCall::Failure{};
    return false;
  }
  auto& response = reading.call.response;
  const auto& inferred = body.infer_response();
  if (!inferred.id().empty() && !response.id) response.id = clean_text(inferred.id(), 256);
  if (!inferred.model_name().empty() && !response.model) response.model = clean_text(inferred.model_name(), 256);
  return streams && has_content(inferred);
}

}  // namespace

const Dialect kserve_grpc_dialect{.name = "kserve",
                                  .paths = paths,
                                  .read_response = read_json,
                                  .read_binary_request = read_request,
                                  .read_binary_response = read_response};

}  // namespace inferscope::interpret
