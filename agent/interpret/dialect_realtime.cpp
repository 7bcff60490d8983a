// SPDX-License-Identifier: Apache-2.0
// OpenAI's realtime API, and the transcription that vLLM serves in its place: typed events on a WebSocket. The whole
// session is one call: usage is the sum of all its responses, the reason to finish that of the last one.
#include <array>

#include "interpret/dialects.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

/// Not told to the kernel, whose table of paths is full.
constexpr std::array<PathRule, 1> paths{{{"/realtime", "realtime", false}}};

std::string_view text_member(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  return value != nullptr ? text_of(*value) : std::string_view();
}

void add(std::optional<std::uint64_t>& sum, std::optional<std::uint64_t> count) {
  if (count) sum = sum.value_or(0) + *count;
}

void add_usage(const Json& usage, InferenceCall& call) {
  const bool names_of_chat = member(usage, "completion_tokens") != nullptr;
  add(call.usage.input_tokens, count_member(usage, names_of_chat ? "prompt_tokens" : "input_tokens"));
  if (const Json* details = object_member(usage, "input_token_details"))
    add(call.usage.cached_input_tokens, count_member(*details, "cached_tokens"));
  const auto output = count_member(usage, names_of_chat ? "completion_tokens" : "output_tokens");
  if (!output) return;
  add(call.usage.output_tokens, output);
  call.usage.source = InferenceCall::CountSource::usage;
}

void read_session(const Json& session, InferenceCall::Request& request) {
  if (const Json* model = member(session, "model")) request.model = clean_text_of(*model);
  if (const Json* temperature = member(session, "temperature")) request.temperature = number_of(*temperature);
  for (const std::string_view name : {"max_response_output_tokens", "max_output_tokens"})
    if (const Json* limit = member(session, name)) request.max_tokens = integer_of(*limit);
  if (const Json* tools = array_member(session, "tools")) request.tool_count = tools->Size();
}

/// A response that is over.
void read_done(const Json& response, Reading& reading) {
  InferenceCall& call = reading.call;
  if (const Json* usage = object_member(response, "usage")) add_usage(*usage, call);
  bool calls_tools = false;
  if (const Json* output = array_member(response, "output")) {
    for (const Json& item : output->GetArray()) {
      if (text_member(item, "type") != "function_call") continue;
      calls_tools = true;
      note_tool_call(reading, 0, reading.tool_calls.size());
    }
  }
  const Json* details = object_member(response, "status_details");
  const std::string_view status = text_member(response, "status");
  // In the words of the chat completions.
  if (status == "completed") set_finish_reason(call, 0, calls_tools ? "tool_calls" : "stop");
  if (status == "cancelled") set_finish_reason(call, 0, status);
  if (status == "failed") read_error(details != nullptr ? *details : response, call, true);
  if (status == "incomplete") {
    const std::string_view reason = details != nullptr ? text_member(*details, "reason") : std::string_view();
    set_finish_reason(call, 0, reason.empty() ? status : reason == "max_output_tokens" ? "length" : reason);
  }
}

bool read_message(const Json& event, Reading& reading) {
  const std::string_view type = text_member(event, "type");
  if (type == "error") {
    read_error(event, reading.call, true);
  } else if (type.starts_with("session.")) {
    if (const Json* session = object_member(event, "session")) read_session(*session, reading.call.request);
  } else if (type == "response.created" || type == "response.done") {
    const Json* response = object_member(event, "response");
    if (response == nullptr) return false;
    read_identity(*response, reading.call.response);
    if (type == "response.done") read_done(*response, reading);
  } else if (type == "transcription.done") {
    if (const Json* usage = object_member(event, "usage")) add_usage(*usage, reading.call);
  } else if ((type.starts_with("response.") && type.ends_with(".delta")) || type == "transcription.delta") {
    // Text, audio, its transcript and arguments come alike.
    return !text_member(event, "delta").empty();
  }
  return false;
}

void read_client_message(const Json& event, Reading& reading) {
  auto& request = reading.call.request;
  const std::string_view type = text_member(event, "type");
  if (type == "session.update") {
    const Json* session = object_member(event, "session");
    read_session(session != nullptr ? *session : event, request);
  } else if (type == "conversation.item.create") {
    request.message_count = request.message_count.value_or(0) + 1;
    const Json* item = object_member(event, "item");
    const Json* content = item != nullptr ? array_member(*item, "content") : nullptr;
    if (content == nullptr) return;
    std::uint64_t bytes = 0;
    for (const Json& part : content->GetArray()) bytes += text_member(part, "text").size();
    if (bytes != 0) request.prompt_bytes = request.prompt_bytes.value_or(0) + bytes;
  }
}

/// There is one only if there is no WebSocket.
void read_response(const Json& body, Reading& reading) {
  read_error(body, reading.call);
}

}  // namespace

const Dialect realtime_dialect{.name = "openai_realtime",
                               .paths = paths,
                               .read_response = read_response,
                               .read_message = read_message,
                               .read_client_message = read_client_message,
                               .method = "GET"};

}  // namespace inferscope::interpret
