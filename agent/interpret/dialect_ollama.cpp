// SPDX-License-Identifier: Apache-2.0
// Ollama's own API: lines of JSON, of which the last one has the engine's figures, in nanoseconds.
#include <array>

#include "interpret/dialects.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

constexpr double ns_per_ms = 1e6;
constexpr std::array<PathRule, 4> paths{{
    {"/api/chat", "chat"},
    {"/api/generate", "text_completion"},
    {"/api/embed", "embeddings"},
    {"/api/embeddings", "embeddings", false},  // begins like the one above
}};

bool read_request(const Json& body, Reading& reading) {
  if (!body.IsObject()) return true;
  auto& request = reading.call.request;
  request.stream = true;  // unless it says otherwise
  for (const auto& entry : body.GetObject()) {
    const std::string_view name = name_of_member(entry);
    const Json& value = entry.value;
    if (name == "model") request.model = clean_text_of(value);
    if (name == "stream" && value.IsBool()) request.stream = value.GetBool();
    if (name == "tools" && value.IsArray()) request.tool_count = value.Size();
    if (name == "messages" && value.IsArray()) request.message_count = value.Size();
    if (name == "messages" || name == "prompt" || name == "input")
      request.prompt_bytes = request.prompt_bytes.value_or(0) + read_prompt(value, reading);
    if (name == "system") request.prompt_bytes = request.prompt_bytes.value_or(0) + text_bytes(value);
    if (name != "options") continue;
    read_sampling(value, request);
    if (const Json* limit = member(value, "num_predict")) {
      request.max_tokens = integer_of(*limit);
      if (request.max_tokens && *request.max_tokens < 0) request.max_tokens.reset();  // -1: no limit
    }
  }
  if (reading.call.operation == "embeddings") request.stream.reset();
  return true;
}

void read_figures(const Json& message, InferenceCall& call) {
  if (!call.engine) call.engine = InferenceCall::EngineTimings{};
  const auto ms = [&message](std::string_view name) -> std::optional<double> {
    const Json* value = member(message, name);
    const auto ns = value != nullptr ? number_of(*value) : std::nullopt;
    return ns ? std::optional(*ns / ns_per_ms) : std::nullopt;
  };
  call.engine->prompt_ms = ms("prompt_eval_duration");
  call.engine->prompt_tokens = count_member(message, "prompt_eval_count");
  call.engine->predicted_ms = ms("eval_duration");
  call.engine->predicted_tokens = count_member(message, "eval_count");
  // Absent where the whole prompt was in the cache.
  if (call.engine->prompt_tokens) call.usage.input_tokens = call.engine->prompt_tokens;
}

bool read_message(const Json& message, Reading& reading) {
  if (!message.IsObject() || read_error(message, reading.call)) return false;
  InferenceCall& call = reading.call;
  if (const Json* model = member(message, "model"); model != nullptr && !call.response.model)
    call.response.model = clean_text_of(*model);
  if (member(message, "eval_count") != nullptr || member(message, "prompt_eval_count") != nullptr)
    read_figures(message, call);
  if (const Json* reason = member(message, "done_reason"); reason != nullptr && !text_of(*reason).empty())
    set_finish_reason(call, 0, text_of(*reason));
  bool content = false;
  for (const std::string_view name : {"response", "thinking"})
    if (const Json* text = member(message, name)) content = content || !text_of(*text).empty();
  const Json* part = object_member(message, "message");
  if (part == nullptr) return content;
  for (const std::string_view name : {"content", "thinking"})
    if (const Json* text = member(*part, name)) content = content || !text_of(*text).empty();
  if (const Json* calls = array_member(*part, "tool_calls")) {
    // Each comes whole, and none twice.
    for (rapidjson::SizeType i = 0; i < calls->Size(); ++i) note_tool_call(reading, 0, reading.tool_calls.size());
    content = content || !calls->Empty();
  }
  return content;
}

void read_response(const Json& body, Reading& reading) {
  read_message(body, reading);
}

}  // namespace

const Dialect ollama_dialect{"ollama", paths, read_request, read_response, read_message};

}  // namespace inferscope::interpret
