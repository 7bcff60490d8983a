// SPDX-License-Identifier: Apache-2.0
// The OpenAI API: chat completions, completions and embeddings, as OpenAI, vLLM, SGLang, llama.cpp and others serve it,
// and rerank as these have it beside them. Its newer responses are another dialect's.
#include <algorithm>
#include <array>

#include "interpret/dialects.h"

namespace inferscope::interpret {
namespace {

constexpr std::array<PathRule, 6> paths{{
    {"/v1/chat/completions", "chat"},
    {"/chat/completions", "chat"},
    {"/v1/completions", "text_completion"},
    {"/v1/embeddings", "embeddings"},
    {"/v1/rerank", "rerank"},
    {"/rerank", "rerank"},
}};

bool read_request(const Json& body, Reading& reading) {
  auto& request = reading.call.request;
  if (!body.IsObject()) return true;  // the path says enough; the server will say what it thinks of it
  read_sampling(body, request);
  for (const auto& entry : body.GetObject()) {
    const std::string_view name = name_of_member(entry);
    const Json& value = entry.value;
    if (name == "model") {
      request.model = clean_text_of(value);
    } else if (name == "stream") {
      if (value.IsBool()) request.stream = value.GetBool();
    } else if (name == "messages" || name == "prompt" || name == "input" || name == "query") {
      if (value.IsArray() && name == "messages") request.message_count = value.Size();
      // A list of token ids has no text, which is not a text of no bytes.
      if (const std::uint64_t bytes = read_prompt(value, reading); bytes != 0 || value.IsString())
        request.prompt_bytes = bytes;
    } else if (name == "max_completion_tokens" || (name == "max_tokens" && !member(body, "max_completion_tokens"))) {
      request.max_tokens = integer_of(value);
    } else if (name == "n") {
      request.choice_count = integer_of(value);
    } else if (name == "tools") {
      if (value.IsArray()) request.tool_count = value.Size();
    }
  }
  return true;
}

void read_usage(const Json& usage, InferenceCall& call) {
  if (!usage.IsObject()) return;  // some servers send null on every chunk
  for (const auto& entry : usage.GetObject()) {
    const std::string_view name = name_of_member(entry);
    const auto count = count_of(entry.value);
    if (name == "prompt_tokens" && count) {
      call.usage.input_tokens = count;
    } else if (name == "completion_tokens" && count) {
      call.usage.output_tokens = count;
      call.usage.source = InferenceCall::CountSource::usage;
    } else if (name == "prompt_tokens_details") {
      if (const Json* cached = member(entry.value, "cached_tokens"))
        if (const auto tokens = count_of(*cached)) call.usage.cached_input_tokens = tokens;
    } else if (name == "completion_tokens_details") {
      if (const Json* reasoning = member(entry.value, "reasoning_tokens"))
        if (const auto tokens = count_of(*reasoning)) call.usage.reasoning_tokens = tokens;
    }
  }
}

bool has_text(const Json& content) {
  if (content.IsString()) return content.GetStringLength() != 0;
  if (!content.IsArray()) return false;
  return std::any_of(content.Begin(), content.End(), [](const Json& part) {
    const Json* text = member(part, "text");
    return text != nullptr && text->IsString() && text->GetStringLength() != 0;
  });
}

/// True if a piece has something that was generated: a function's name or part of its arguments.
bool read_tool_calls(const Json& calls, std::uint64_t choice, Reading& reading) {
  bool content = false;
  std::uint64_t place = 0;
  for (const Json& call : calls.GetArray()) {
    const Json* index = member(call, "index");
    note_tool_call(reading, choice, index != nullptr ? count_of(*index).value_or(place) : place);
    ++place;
    const Json* function = object_member(call, "function");
    if (function == nullptr) continue;
    for (const std::string_view name : {"arguments", "name"})
      if (const Json* text = member(*function, name)) content = content || !text_of(*text).empty();
  }
  return content;
}

/// A choice's `message` or `delta`.
bool read_message_part(const Json& part, std::uint64_t choice, Reading& reading) {
  if (!part.IsObject()) return false;
  bool content = false;
  for (const auto& entry : part.GetObject()) {
    const std::string_view name = name_of_member(entry);
    if (name == "content" || name == "reasoning_content" || name == "reasoning" || name == "refusal") {
      content = has_text(entry.value) || content;
    } else if (name == "tool_calls" && entry.value.IsArray()) {
      content = read_tool_calls(entry.value, choice, reading) || content;
    }
  }
  return content;
}

bool read_choices(const Json& choices, Reading& reading) {
  bool content = false;
  std::uint64_t place = 0;
  for (const Json& choice : choices.GetArray()) {
    if (!choice.IsObject()) continue;
    const Json* index = member(choice, "index");
    const std::uint64_t number = index != nullptr ? count_of(*index).value_or(place) : place;
    ++place;
    for (const auto& entry : choice.GetObject()) {
      const std::string_view name = name_of_member(entry);
      if (name == "delta" || name == "message")
        content = read_message_part(entry.value, number, reading) || content;
      else if (name == "text")
        content = content || !text_of(entry.value).empty();
      else if (name == "finish_reason" && !text_of(entry.value).empty())
        set_finish_reason(reading.call, number, text_of(entry.value));
    }
  }
  return content;
}

/// Chunks and whole responses differ only in `delta` and `message`.
bool read_message(const Json& message, Reading& reading) {
  if (!message.IsObject()) return false;
  auto& response = reading.call.response;
  bool content = false;
  bool error = false;
  for (const auto& entry : message.GetObject()) {
    const std::string_view name = name_of_member(entry);
    if (name == "choices") {
      if (entry.value.IsArray()) content = read_choices(entry.value, reading);
    } else if (name == "id") {
      if (!response.id) response.id = clean_text_of(entry.value);
    } else if (name == "model") {
      if (!response.model) response.model = clean_text_of(entry.value);
    } else if (name == "usage") {
      read_usage(entry.value, reading.call);
    } else if (name == "timings") {
      read_timings(entry.value, reading.call);
    } else if (name == "error") {
      error = true;
    } else if (name == "object") {
      error = error || text_of(entry.value) == "error";
    }
  }
  if (error) read_error(message, reading.call);
  return content;
}

void read_response(const Json& body, Reading& reading) {
  read_message(body, reading);
}

}  // namespace

const Dialect openai_dialect{"openai", paths, read_request, read_response, read_message};

}  // namespace inferscope::interpret
