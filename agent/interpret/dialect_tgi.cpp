// SPDX-License-Identifier: Apache-2.0
// Text Generation Inference's own API. A whole answer's counts are in its headers, too, where no details were asked
// for.
#include <array>
#include <charconv>

#include "interpret/dialects.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

constexpr std::array<PathRule, 2> paths{{
    {"/generate", "text_completion"}, {"/generate_stream", "text_completion", false},  // begins like the one above
}};

bool read_request(const Json& body, Reading& reading) {
  const Json* inputs = member(body, "inputs");
  if (inputs == nullptr) return false;  // these paths are others', too
  auto& request = reading.call.request;
  request.prompt_bytes = read_prompt(*inputs, reading);
  read_stream(body, request);
  if (const Json* parameters = object_member(body, "parameters")) {
    read_sampling(*parameters, request);
    if (const Json* limit = member(*parameters, "max_new_tokens")) request.max_tokens = integer_of(*limit);
  }
  return true;
}

/// In the words of the OpenAI API, which this server has as well.
std::string_view finish_reason(std::string_view reason) {
  return reason == "eos_token" || reason == "stop_sequence" ? "stop" : reason;
}

void read_details(const Json& details, std::uint64_t choice, Reading& reading) {
  if (const Json* reason = member(details, "finish_reason"); reason != nullptr && !text_of(*reason).empty())
    set_finish_reason(reading.call, choice, finish_reason(text_of(*reason)));
  set_count(reading.predicted, choice, member(details, "generated_tokens"));
  if (const Json* prompt = member(details, "input_length"))
    set_count(reading.evaluated, choice, prompt);
  else if (const Json* prefill = array_member(details, "prefill"); prefill != nullptr && !prefill->Empty())
    reading.call.usage.input_tokens = prefill->Size();
}

bool read_message(const Json& message, Reading& reading) {
  if (!message.IsObject()) return false;
  if (read_error(message, reading.call)) {
    // {"error": text, "error_type": label}
    if (const Json* type = member(message, "error_type")) reading.call.failure->type = clean_text(text_of(*type), 64);
    return false;
  }
  if (const Json* details = object_member(message, "details")) read_details(*details, 0, reading);
  const Json* token = object_member(message, "token");
  if (token == nullptr) return false;
  const Json* special = member(*token, "special");
  if (special != nullptr && special->IsTrue()) return false;
  const Json* text = member(*token, "text");
  return text != nullptr && !text_of(*text).empty();
}

/// One answer, or a list of one for each input.
void read_response(const Json& body, Reading& reading) {
  if (!body.IsArray()) {
    read_message(body, reading);
    return;
  }
  std::uint64_t choice = 0;
  for (const Json& answer : body.GetArray()) {
    if (const Json* details = object_member(answer, "details")) read_details(*details, choice, reading);
    ++choice;
  }
}

void read_headers(const Headers& headers, Reading& reading) {
  const auto count = [&headers](std::string_view name) -> std::optional<std::uint64_t> {
    const std::string_view text = find_header(headers, name);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && !text.empty() && end == text.data() + text.size() ? std::optional(value)
                                                                                     : std::nullopt;
  };
  if (const auto tokens = count("x-prompt-tokens")) reading.call.usage.input_tokens = tokens;
  if (const auto tokens = count("x-generated-tokens")) {
    reading.call.usage.output_tokens = tokens;
    reading.call.usage.source = InferenceCall::CountSource::usage;
  }
}

}  // namespace

const Dialect tgi_dialect{"tgi", paths, read_request, read_response, read_message, read_headers};

}  // namespace inferscope::interpret
