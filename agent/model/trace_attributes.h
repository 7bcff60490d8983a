// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/request_trace.h"

namespace inferscope {

using AttributeValue =
    std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>, std::vector<double>>;

struct Attribute {
  std::string_view name{};  ///< one of model/attributes.h
  AttributeValue value{};
};
using Attributes = std::vector<Attribute>;

/// A trace as attributes, by what they describe. A name is at most once in each list; server.* and error.type are in
/// `http` and in `call`, with the same value. What was not seen is not there. All text is clean (model/text.h).
struct TraceAttributes {
  Attributes process{};  ///< of the resource
  Attributes http{};     ///< of the HTTP span
  Attributes call{};     ///< of the GenAI span; empty for plain HTTP
};
TraceAttributes attributes_of(const RequestTrace& trace);

/// error.type: the API's type or code, the HTTP status, or how the connection ended; empty if it did not fail.
std::string error_type(const RequestTrace& trace);
/// Span names of the conventions: "{method}" and "{gen_ai.operation.name} {gen_ai.request.model}".
std::string http_span_name(const RequestTrace& trace);
std::string call_span_name(const RequestTrace& trace);

std::string_view name_of(Outcome outcome);
std::string_view name_of(Role role);
std::string_view name_of(InferenceCall::CountSource source);

/// Lower-case hexadecimal digits.
std::string hex(std::span<const std::uint8_t> bytes);

}  // namespace inferscope
