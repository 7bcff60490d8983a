// SPDX-License-Identifier: Apache-2.0
// An API that the configuration teaches: JSON pointers in place of code.
#include <memory>
#include <utility>

#include "interpret/dialects.h"
#include "model/text.h"

namespace inferscope::interpret {
namespace {

using Pointer = DialectDefinition::Pointer;

/// What the functions and views of a dialect need.
struct Owned {
  DialectDefinition definition{};
  std::vector<PathRule> paths{};
};

/// Null if the pointer leads nowhere.
const Json* find(const Pointer& pointer, const Json& json) {
  return pointer ? pointer->Get(json) : nullptr;
}

bool has_content(const Json& value) {
  return (value.IsString() && value.GetStringLength() != 0) || (value.IsArray() && !value.Empty());
}

void read_count(const Pointer& pointer, const Json& json, std::optional<std::uint64_t>& count) {
  if (const Json* value = find(pointer, json))
    if (const auto found = count_of(*value)) count = found;
}

void read_request(const DialectDefinition::Request& where, const Json& body, Reading& reading) {
  auto& request = reading.call.request;
  if (const Json* model = find(where.model, body)) request.model = clean_text_of(*model);
  if (const Json* stream = find(where.stream, body); stream != nullptr && stream->IsBool())
    request.stream = stream->GetBool();
  if (const Json* limit = find(where.max_tokens, body)) request.max_tokens = integer_of(*limit);
  if (const Json* temperature = find(where.temperature, body)) request.temperature = number_of(*temperature);
  // A list of token ids has no text, which is not a text of no bytes.
  if (const Json* prompt = find(where.prompt, body))
    if (const std::uint64_t bytes = read_prompt(*prompt, reading); bytes != 0 || prompt->IsString())
      request.prompt_bytes = bytes;
}

/// True if there was generated content.
bool read_response(const DialectDefinition::Response& where, const Json& json, InferenceCall& call) {
  const Json* error = find(where.error, json);
  const bool failed = error != nullptr && read_error_value(*error, call);
  auto& response = call.response;
  if (const Json* id = find(where.id, json); id != nullptr && !response.id) response.id = clean_text_of(*id);
  if (const Json* model = find(where.model, json); model != nullptr && !response.model)
    response.model = clean_text_of(*model);
  if (const Json* reason = find(where.finish_reason, json); reason != nullptr && !text_of(*reason).empty())
    set_finish_reason(call, 0, text_of(*reason));
  read_count(where.input_tokens, json, call.usage.input_tokens);
  read_count(where.cached_input_tokens, json, call.usage.cached_input_tokens);
  read_count(where.output_tokens, json, call.usage.output_tokens);
  if (call.usage.output_tokens) call.usage.source = InferenceCall::CountSource::usage;
  const Json* content = find(where.content, json);
  return !failed && content != nullptr && has_content(*content);
}

}  // namespace

Dialect make_dialect(const DialectDefinition& definition) {
  const auto own = std::make_shared<Owned>();
  own->definition = definition;
  for (const auto& [path, operation] : own->definition.paths) own->paths.push_back({path, operation, false});
  return {
      .name = own->definition.name,
      .paths = own->paths,
      .read_request =
          [own](const Json& body, Reading& reading) {
            read_request(own->definition.request, body, reading);
            return true;
          },
      .read_response = [own](const Json& body,
                             Reading& reading) { read_response(own->definition.response, body, reading.call); },
      .read_message = [own](const Json& message,
                            Reading& reading) { return read_response(own->definition.message, message, reading.call); },
      .provider = own->definition.provider};
}

}  // namespace inferscope::interpret
