// SPDX-License-Identifier: Apache-2.0
#include "interpret/dialects.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "interpret/inference_paths.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

/// The one table: the first rule that fits decides.
constexpr std::array<const Dialect*, 10> builtin{
    &openai_dialect,   &responses_dialect, &anthropic_dialect, &ollama_dialect,   &kserve_dialect,
    &llamacpp_dialect, &tgi_dialect,       &sglang_dialect,    &realtime_dialect, &kserve_grpc_dialect};
constexpr std::size_t tool_call_limit = 1024;

/// From the end, segment by segment.
bool fits(std::string_view path, std::string_view rule) {
  while (!rule.empty()) {
    const auto segment = rule.substr(rule.rfind('/'));
    const auto slash = path.rfind('/');
    if (slash == std::string_view::npos) return false;
    if (segment == "/*" ? path.size() == slash + 1 : path.substr(slash) != segment) return false;
    path.remove_suffix(path.size() - slash);
    rule.remove_suffix(segment.size());
  }
  return true;
}

/// The type or code of an error if it looks like one: anything else could be text of the request.
std::string label(const Json& value) {
  if (const auto code = integer_of(value)) return std::to_string(*code);
  const std::string_view text = text_of(value);
  if (text == "error") return {};  // that it is one, is known
  const bool word = text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                             c == '-' || c == '.';
                    });
  return word ? std::string(text) : std::string();
}

/// What servers write in the place of an error where there is none.
bool is_no_error(const Json& value) {
  return value.IsNull() || value.IsFalse() || (value.IsString() && value.GetStringLength() == 0);
}

std::string error_label(const Json& error) {
  for (const std::string_view name : {"type", "code"}) {
    const Json* value = member(error, name);
    if (value == nullptr) continue;
    std::string text = label(*value);
    if (!text.empty()) return text;
  }
  return {};
}

}  // namespace

std::span<const Dialect* const> builtin_dialects() {
  return builtin;
}

bool is_builtin_dialect(std::string_view name) {
  return std::any_of(builtin.begin(), builtin.end(), [name](const Dialect* dialect) { return dialect->name == name; });
}

DialectMatch find_dialect(std::span<const Dialect* const> dialects, std::string_view method, std::string_view path,
                          const Dialect* before) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  auto dialect = before == nullptr ? dialects.begin() : std::find(dialects.begin(), dialects.end(), before) + 1;
  for (; dialect != dialects.end(); ++dialect) {
    if ((*dialect)->method != method) continue;
    for (const PathRule& rule : (*dialect)->paths)
      if (fits(path, rule.path)) return {*dialect, rule.operation};
  }
  return {};
}

std::vector<std::string> inference_paths() {
  std::vector<std::string> paths;
  for (const Dialect* dialect : builtin)
    for (const PathRule& rule : dialect->paths)
      if (rule.marks_server) paths.emplace_back(rule.path.substr(0, rule.path.find('*')));
  return paths;
}

bool read_error(const Json& body, InferenceCall& call, bool is_error) {
  const Json* error = member(body, "error");
  if (error == nullptr || is_no_error(*error)) {
    const Json* object = member(body, "object");
    if (!is_error && (object == nullptr || text_of(*object) != "error")) return false;
    error = &body;
  }
  call.failure = InferenceCall::Failure{};
  call.failure->type = error_label(*error);
  return true;
}

bool read_error_value(const Json& error, InferenceCall& call) {
  // Neither is a code of 0, or a list of none.
  if (is_no_error(error) || integer_of(error) == 0 || (error.IsArray() && error.Empty())) return false;
  call.failure = InferenceCall::Failure{};
  call.failure->type = error.IsObject() ? error_label(error) : label(error);
  return true;
}

bool read_grpc_status(const Headers& headers, InferenceCall& call) {
  // Of the enumeration in grpc/status.h, which is the same in all languages.
  constexpr std::array<std::string_view, 17> names{
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const std::string_view status = find_header(headers, "grpc-status");
  if (status.empty() || status == "0") return false;
  std::size_t code = names.size();
  std::from_chars(status.data(), status.data() + status.size(), code);
  call.failure = InferenceCall::Failure{};
  if (code < names.size()) call.failure->type = names[code];
  return true;
}

void read_timings(const Json& timings, InferenceCall& call) {
  if (!timings.IsObject()) return;
  if (!call.engine) call.engine = InferenceCall::EngineTimings{};
  auto& engine = *call.engine;
  for (const auto& entry : timings.GetObject()) {
    const std::string_view name = name_of_member(entry);
    if (name == "prompt_ms") engine.prompt_ms = number_of(entry.value);
    if (name == "prompt_n") engine.prompt_tokens = count_of(entry.value);
    if (name == "predicted_ms") engine.predicted_ms = number_of(entry.value);
    if (name == "predicted_n") engine.predicted_tokens = count_of(entry.value);
    if (name == "cache_n") engine.cached_tokens = count_of(entry.value);
  }
}

void set_finish_reason(InferenceCall& call, std::uint64_t choice, std::string_view reason) {
  if (choice >= choice_limit) return;
  auto& reasons = call.response.finish_reasons;
  if (reasons.size() <= choice) reasons.resize(static_cast<std::size_t>(choice) + 1);
  reasons[static_cast<std::size_t>(choice)] = clean_text(reason, 64);
}

void set_count(std::vector<std::uint64_t>& counts, std::uint64_t choice, const Json* value) {
  if (value == nullptr || choice >= choice_limit) return;
  const auto count = count_of(*value);
  if (!count) return;
  if (counts.size() <= choice) counts.resize(static_cast<std::size_t>(choice) + 1);
  counts[static_cast<std::size_t>(choice)] = *count;
}

void note_tool_call(Reading& reading, std::uint64_t choice, std::uint64_t index) {
  const std::uint64_t key = (choice << 32U) | (index & 0xffffffffU);
  auto& seen = reading.tool_calls;
  if (seen.size() >= tool_call_limit || std::find(seen.rbegin(), seen.rend(), key) != seen.rend()) return;
  seen.push_back(key);
  reading.call.response.tool_calls = seen.size();
}

void read_stream(const Json& body, InferenceCall::Request& request) {
  if (const Json* stream = member(body, "stream"); stream != nullptr && stream->IsBool())
    request.stream = stream->GetBool();
}

void read_common(const Json& body, InferenceCall::Request& request) {
  if (const Json* model = member(body, "model")) request.model = clean_text_of(*model);
  read_stream(body, request);
  if (const Json* tools = array_member(body, "tools")) request.tool_count = tools->Size();
}

void read_identity(const Json& message, InferenceCall::Response& response) {
  if (const Json* id = member(message, "id"); id != nullptr && !response.id) response.id = clean_text_of(*id);
  if (const Json* model = member(message, "model"); model != nullptr && !response.model)
    response.model = clean_text_of(*model);
}

std::optional<std::uint64_t> count_member(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  return value != nullptr ? count_of(*value) : std::nullopt;
}

void read_sampling(const Json& parameters, InferenceCall::Request& request) {
  if (!parameters.IsObject()) return;
  for (const auto& entry : parameters.GetObject()) {
    const std::string_view name = name_of_member(entry);
    const Json& value = entry.value;
    if (name == "temperature") request.temperature = number_of(value);
    if (name == "top_p") request.top_p = number_of(value);
    if (name == "top_k") request.top_k = integer_of(value);
    if (name == "seed") request.seed = integer_of(value);
    if (name == "frequency_penalty") request.frequency_penalty = number_of(value);
    if (name == "presence_penalty") request.presence_penalty = number_of(value);
  }
}

namespace {

template <class F>
void each_text(const Json& value, F&& text_found) {
  if (value.IsString()) return text_found(text_of(value));
  if (!value.IsArray()) return;
  for (const Json& element : value.GetArray()) {
    text_found(text_of(element));
    const Json* content = member(element, "content");
    if (content == nullptr) continue;
    text_found(text_of(*content));
    if (!content->IsArray()) continue;
    for (const Json& part : content->GetArray())
      if (const Json* text = member(part, "text")) text_found(text_of(*text));
  }
}

}  // namespace

std::uint64_t text_bytes(const Json& value) {
  std::uint64_t bytes = 0;
  each_text(value, [&](std::string_view text) { bytes += text.size(); });
  return bytes;
}

std::uint64_t read_prompt(const Json& value, Reading& reading) {
  constexpr std::size_t asked_kept = 1024;
  std::uint64_t bytes = 0;
  std::string_view last;
  each_text(value, [&](std::string_view text) {
    bytes += text.size();
    if (!text.empty()) last = text;
  });
  reading.asked = last.substr(last.size() - std::min(last.size(), asked_kept));
  return bytes;
}

}  // namespace inferscope::interpret
