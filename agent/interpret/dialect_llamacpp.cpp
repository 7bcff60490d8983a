// SPDX-License-Identifier: Apache-2.0
// llama.cpp's own API: /completion, /infill and /embedding. Its OpenAI endpoints are the other dialect's.
#include <array>

#include "interpret/dialects.h"

namespace inferscope::interpret {
namespace {

constexpr std::array<PathRule, 5> paths{{
    {"/completion", "text_completion"},
    {"/completions", "text_completion", false},  // begins like the one above
    {"/infill", "text_completion"},
    {"/embedding", "embeddings"},
    {"/embeddings", "embeddings", false},
}};

/// Gateways serve the OpenAI API without its /v1, under a path that llama.cpp has too: the reply tells.
bool is_openai(const Json& body) {
  if (member(body, "choices") != nullptr) return true;
  const Json* object = member(body, "object");
  return object != nullptr && text_of(*object) == "list";
}

bool read_request(const Json& body, Reading& reading) {
  // These paths are common words, so a request has to look like one.
  bool recognised = false;
  for (const std::string_view name : {"prompt", "input_prefix", "input_suffix", "content", "input"})
    recognised = recognised || member(body, name) != nullptr;
  if (!recognised) return false;

  openai_dialect.read_request(body, reading);
  auto& request = reading.call.request;
  if (const Json* limit = member(body, "n_predict")) {
    request.max_tokens = integer_of(*limit);
    if (request.max_tokens && *request.max_tokens < 0) request.max_tokens.reset();  // -1: no limit
  }
  if (const Json* content = member(body, "content")) request.prompt_bytes = read_prompt(*content, reading);
  return true;
}

/// In the words of the OpenAI API, which this server translates them to as well.
std::string_view finish_reason(const Json& message) {
  if (const Json* type = member(message, "stop_type")) {
    const std::string_view name = text_of(*type);
    if (name == "limit") return "length";
    if (name == "eos" || name == "word") return "stop";
  }
  const auto is_true = [&](std::string_view name) {
    const Json* value = member(message, name);
    return value != nullptr && value->IsTrue();
  };
  if (is_true("stopped_limit")) return "length";
  return is_true("stopped_eos") || is_true("stopped_word") ? "stop" : "";
}

bool read_message(const Json& message, Reading& reading) {
  if (!message.IsObject() || read_error(message, reading.call)) return false;
  if (is_openai(message)) {
    reading.call.dialect = openai_dialect.name;
    return openai_dialect.read_message(message, reading);
  }
  const Json* index = member(message, "index");
  const std::uint64_t choice = index != nullptr ? count_of(*index).value_or(0) : 0;
  auto& response = reading.call.response;
  if (const Json* model = member(message, "model"); model != nullptr && !response.model)
    response.model = clean_text_of(*model);
  set_count(reading.evaluated, choice, member(message, "tokens_evaluated"));
  set_count(reading.predicted, choice, member(message, "tokens_predicted"));
  if (const Json* timings = member(message, "timings")) read_timings(*timings, reading.call);
  if (const std::string_view reason = finish_reason(message); !reason.empty())
    set_finish_reason(reading.call, choice, reason);

  const Json* content = member(message, "content");
  if (content == nullptr || text_of(*content).empty()) return false;
  if (const Json* tokens = array_member(message, "tokens"); tokens != nullptr && !tokens->Empty()) {
    reading.event_tokens += tokens->Size();
    ++reading.counted_events;
  }
  return true;
}

/// One result, or a list of them where the prompt was a list.
void read_response(const Json& body, Reading& reading) {
  if (!body.IsArray()) {
    read_message(body, reading);
    return;
  }
  for (const Json& result : body.GetArray()) read_message(result, reading);
}

}  // namespace

const Dialect llamacpp_dialect{"llamacpp", paths, read_request, read_response, read_message};

}  // namespace inferscope::interpret
