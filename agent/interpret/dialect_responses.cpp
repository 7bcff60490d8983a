// SPDX-License-Identifier: Apache-2.0
// OpenAI's responses API: typed events, and one object of which the last event has the final state.
#include <algorithm>
#include <array>

#include "interpret/dialects.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

constexpr std::array<PathRule, 2> paths{{{"/v1/responses", "chat"}, {"/responses", "chat", false}}};

bool read_request(const Json& body, Reading& reading) {
  if (!body.IsObject()) return true;
  auto& request = reading.call.request;
  read_sampling(body, request);
  read_common(body, request);
  if (const Json* limit = member(body, "max_output_tokens")) request.max_tokens = integer_of(*limit);
  std::uint64_t bytes = 0;
  for (const std::string_view name : {"instructions", "input"})
    if (const Json* text = member(body, name)) bytes += read_prompt(*text, reading);
  if (bytes != 0) request.prompt_bytes = bytes;
  if (const Json* input = array_member(body, "input")) request.message_count = input->Size();
  return true;
}

void read_usage(const Json& usage, InferenceCall& call) {
  if (const auto tokens = count_member(usage, "input_tokens")) call.usage.input_tokens = tokens;
  if (const auto tokens = count_member(usage, "output_tokens")) {
    call.usage.output_tokens = tokens;
    call.usage.source = InferenceCall::CountSource::usage;
  }
  if (const Json* details = object_member(usage, "input_tokens_details"))
    if (const auto tokens = count_member(*details, "cached_tokens")) call.usage.cached_input_tokens = tokens;
  if (const Json* details = object_member(usage, "output_tokens_details"))
    if (const auto tokens = count_member(*details, "reasoning_tokens")) call.usage.reasoning_tokens = tokens;
}

bool is_tool_call(const Json& item) {
  const Json* type = member(item, "type");
  return type != nullptr && text_of(*type).ends_with("_call");
}

/// The object itself, alone or in an event.
void read_object(const Json& object, Reading& reading) {
  auto& response = reading.call.response;
  read_identity(object, response);
  if (const Json* usage = object_member(object, "usage")) read_usage(*usage, reading.call);
  if (const Json* output = array_member(object, "output")) {
    std::uint64_t place = 0;
    for (const Json& item : output->GetArray()) {
      if (is_tool_call(item)) note_tool_call(reading, 0, place);
      ++place;
    }
  }
  const Json* status_member = member(object, "status");
  const std::string_view status = status_member != nullptr ? text_of(*status_member) : "";
  // In the words of the chat completions.
  if (status == "completed") set_finish_reason(reading.call, 0, response.tool_calls != 0 ? "tool_calls" : "stop");
  if (status == "cancelled") set_finish_reason(reading.call, 0, status);
  if (status == "failed") read_error(object, reading.call, true);
  if (status == "incomplete") {
    const Json* details = object_member(object, "incomplete_details");
    const Json* reason = details != nullptr ? member(*details, "reason") : nullptr;
    const std::string_view why = reason != nullptr ? text_of(*reason) : "incomplete";
    set_finish_reason(reading.call, 0, why == "max_output_tokens" ? "length" : why);
  }
}

void read_response(const Json& body, Reading& reading) {
  if (!read_error(body, reading.call) && body.IsObject()) read_object(body, reading);
}

bool read_message(const Json& message, Reading& reading) {
  const Json* type_member = member(message, "type");
  const std::string_view type = type_member != nullptr ? text_of(*type_member) : "";
  if (type == "error" || type.empty()) {
    read_error(message, reading.call, type == "error");
    return false;
  }
  if (const Json* object = object_member(message, "response")) read_object(*object, reading);
  if (const Json* item = object_member(message, "item"); item != nullptr && is_tool_call(*item))
    if (const Json* index = member(message, "output_index")) note_tool_call(reading, 0, count_of(*index).value_or(0));
  // Text, reasoning, refusals and arguments come alike.
  const Json* delta = type.ends_with(".delta") ? member(message, "delta") : nullptr;
  return delta != nullptr && !text_of(*delta).empty();
}

}  // namespace

const Dialect responses_dialect{"openai_responses", paths, read_request, read_response, read_message};

}  // namespace inferscope::interpret
