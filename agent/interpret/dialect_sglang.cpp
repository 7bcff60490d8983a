// SPDX-License-Identifier: Apache-2.0
// SGLang's own API: /generate with sampling_params. Each message has the whole text so far, so that only its count of
// tokens tells whether it brought any.
#include <array>

#include "interpret/dialects.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

constexpr std::array<PathRule, 1> paths{{{"/generate", "text_completion", false}}};  // marked as another's

bool read_request(const Json& body, Reading& reading) {
  const Json* text = member(body, "text");
  if (text == nullptr && member(body, "input_ids") == nullptr && member(body, "input_embeds") == nullptr) return false;
  auto& request = reading.call.request;
  if (text != nullptr) request.prompt_bytes = read_prompt(*text, reading);
  read_stream(body, request);
  if (const Json* parameters = object_member(body, "sampling_params")) {
    read_sampling(*parameters, request);
    if (const Json* limit = member(*parameters, "max_new_tokens")) request.max_tokens = integer_of(*limit);
    if (const Json* choices = member(*parameters, "n")) request.choice_count = integer_of(*choices);
  }
  return true;
}

/// True if it has more tokens than the one before of the same choice.
bool read_answer(const Json& answer, std::uint64_t choice, Reading& reading) {
  const Json* info = object_member(answer, "meta_info");
  if (info == nullptr || choice >= choice_limit) return false;
  InferenceCall& call = reading.call;
  if (const Json* id = member(*info, "id"); id != nullptr && !call.response.id) call.response.id = clean_text_of(*id);
  if (const Json* reason = object_member(*info, "finish_reason"))
    if (const Json* type = member(*reason, "type")) set_finish_reason(call, choice, text_of(*type));
  set_count(reading.evaluated, choice, member(*info, "prompt_tokens"));
  if (const Json* cached = member(*info, "cached_tokens"))
    if (const auto tokens = count_of(*cached)) call.usage.cached_input_tokens = tokens;
  const auto place = static_cast<std::size_t>(choice);
  const std::uint64_t before = place < reading.predicted.size() ? reading.predicted[place] : 0;
  set_count(reading.predicted, choice, member(*info, "completion_tokens"));
  return place < reading.predicted.size() && reading.predicted[place] > before;
}

bool read_message(const Json& message, Reading& reading) {
  if (!message.IsObject() || read_error(message, reading.call)) return false;
  const Json* index = member(message, "index");
  return read_answer(message, index != nullptr ? count_of(*index).value_or(0) : 0, reading);
}

/// One answer, or a list of them where there were several prompts or choices.
void read_response(const Json& body, Reading& reading) {
  if (!body.IsArray()) {
    read_message(body, reading);
    return;
  }
  std::uint64_t choice = 0;
  for (const Json& answer : body.GetArray()) read_answer(answer, choice++, reading);
}

}  // namespace

const Dialect sglang_dialect{"sglang", paths, read_request, read_response, read_message};

}  // namespace inferscope::interpret
