// SPDX-License-Identifier: Apache-2.0
// Anthropic's messages API, which vLLM, llama.cpp, Ollama and gateways serve, too.
#include <array>

#include "interpret/dialects.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

constexpr std::array<PathRule, 1> paths{{{"/v1/messages", "chat"}}};

bool read_request(const Json& body, Reading& reading) {
  if (!body.IsObject()) return true;
  auto& request = reading.call.request;
  read_sampling(body, request);
  read_common(body, request);
  if (const Json* limit = member(body, "max_tokens")) request.max_tokens = integer_of(*limit);
  std::uint64_t bytes = 0;
  if (const Json* system = member(body, "system")) {
    bytes += text_of(*system).size();
    if (system->IsArray())
      for (const Json& part : system->GetArray())
        if (const Json* text = member(part, "text")) bytes += text_of(*text).size();
  }
  if (const Json* messages = array_member(body, "messages")) {
    request.message_count = messages->Size();
    bytes += read_prompt(*messages, reading);
  }
  if (bytes != 0) request.prompt_bytes = bytes;
  return true;
}

/// Its input_tokens are without those that were read from or written to the cache; ours are all of the prompt's.
void read_usage(const Json& usage, InferenceCall& call) {
  const auto read = count_member(usage, "cache_read_input_tokens");
  if (const auto fresh = count_member(usage, "input_tokens"))
    call.usage.input_tokens =
        *fresh + read.value_or(0) + count_member(usage, "cache_creation_input_tokens").value_or(0);
  if (read) call.usage.cached_input_tokens = read;
  if (const auto tokens = count_member(usage, "output_tokens")) {
    call.usage.output_tokens = tokens;
    call.usage.source = InferenceCall::CountSource::usage;
  }
}

void note_block(const Json& block, std::uint64_t index, Reading& reading) {
  const Json* type = member(block, "type");
  if (type != nullptr && text_of(*type).ends_with("tool_use")) note_tool_call(reading, 0, index);
}

/// A whole message, or that of a stream's begin.
void read_whole(const Json& message, Reading& reading) {
  auto& response = reading.call.response;
  read_identity(message, response);
  if (const Json* usage = object_member(message, "usage")) read_usage(*usage, reading.call);
  if (const Json* reason = member(message, "stop_reason"); reason != nullptr && !text_of(*reason).empty())
    set_finish_reason(reading.call, 0, text_of(*reason));
  if (const Json* content = array_member(message, "content")) {
    std::uint64_t place = 0;
    for (const Json& block : content->GetArray()) note_block(block, place++, reading);
  }
}

void read_response(const Json& body, Reading& reading) {
  if (!read_error(body, reading.call) && body.IsObject()) read_whole(body, reading);
}

bool read_message(const Json& message, Reading& reading) {
  if (read_error(message, reading.call)) return false;
  const Json* index_member = member(message, "index");
  const std::uint64_t index = index_member != nullptr ? count_of(*index_member).value_or(0) : 0;
  if (const Json* whole = object_member(message, "message")) read_whole(*whole, reading);
  if (const Json* usage = object_member(message, "usage")) read_usage(*usage, reading.call);
  if (const Json* block = object_member(message, "content_block")) note_block(*block, index, reading);
  const Json* delta = object_member(message, "delta");
  if (delta == nullptr) return false;
  if (const Json* reason = member(*delta, "stop_reason"); reason != nullptr && !text_of(*reason).empty())
    set_finish_reason(reading.call, 0, text_of(*reason));
  for (const std::string_view name : {"text", "partial_json", "thinking"})
    if (const Json* text = member(*delta, name); text != nullptr && !text_of(*text).empty()) return true;
  return false;
}

}  // namespace

const Dialect anthropic_dialect{"anthropic", paths, read_request, read_response, read_message};

}  // namespace inferscope::interpret
