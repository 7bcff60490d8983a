// SPDX-License-Identifier: Apache-2.0
// KServe's v2 protocol over HTTP, as Triton serves it: inference on tensors, and its generate extension on text.
#include <array>

#include "interpret/dialects.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

constexpr std::array<PathRule, 6> paths{{
    {"/v2/models/*/infer", "infer"},
    {"/v2/models/*/versions/*/infer", "infer", false},  // these begin like the one above
    {"/v2/models/*/generate", "text_completion", false},
    {"/v2/models/*/versions/*/generate", "text_completion", false},
    {"/v2/models/*/generate_stream", "text_completion", false},
    {"/v2/models/*/versions/*/generate_stream", "text_completion", false},
}};

void read_parameters(const Json& parameters, InferenceCall::Request& request) {
  read_sampling(parameters, request);
  if (const Json* limit = member(parameters, "max_tokens")) request.max_tokens = integer_of(*limit);
  read_stream(parameters, request);
}

bool read_request(const Json& body, Reading& reading) {
  auto& request = reading.call.request;
  read_parameters(body, request);
  if (const Json* parameters = object_member(body, "parameters")) read_parameters(*parameters, request);
  if (const Json* text = member(body, "text_input")) request.prompt_bytes = read_prompt(*text, reading);
  return true;
}

bool read_message(const Json& message, Reading& reading) {
  if (!message.IsObject() || read_error(message, reading.call)) return false;
  auto& response = reading.call.response;
  if (const Json* id = member(message, "id"); id != nullptr && !response.id) response.id = clean_text_of(*id);
  if (const Json* model = member(message, "model_name"); model != nullptr && !response.model)
    response.model = clean_text_of(*model);
  const Json* text = member(message, "text_output");
  return text != nullptr && text_bytes(*text) != 0;
}

void read_response(const Json& body, Reading& reading) {
  read_message(body, reading);
}

}  // namespace

const Dialect kserve_dialect{"kserve", paths, read_request, read_response, read_message};

}  // namespace inferscope::interpret
