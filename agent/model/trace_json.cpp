// SPDX-License-Identifier: Apache-2.0
#include "model/trace_json.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <variant>

#include "model/attributes.h"
#include "model/text.h"
#include "model/time_math.h"
#include "model/trace_attributes.h"

namespace inferscope {
namespace {

using Json = rapidjson::Writer<rapidjson::StringBuffer>;

void write_text(Json& json, std::string_view text) {
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}
void write_name(Json& json, std::string_view name) {
  json.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
}

/// The shortest digits that read back as the same number, which RapidJSON's own way does not always find.
void write_number(Json& json, double value) {
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  if (!std::isfinite(value) || error != std::errc()) {
    json.Null();
    return;
  }
  json.RawValue(digits.data(), static_cast<std::size_t>(end - digits.data()), rapidjson::kNumberType);
}

struct ValueWriter {
  Json& json;
  void operator()(bool value) const { json.Bool(value); }
  void operator()(std::int64_t value) const { json.Int64(value); }
  void operator()(double value) const { write_number(json, value); }
  void operator()(const std::string& value) const { write_text(json, value); }
  void operator()(const std::vector<std::string>& values) const {
    json.StartArray();
    for (const std::string& value : values) write_text(json, value);
    json.EndArray();
  }
};

void write_attribute(Json& json, const Attribute& attribute) {
  write_name(json, attribute.name);
  std::visit(ValueWriter{json}, attribute.value);
}

}  // namespace

std::string to_json(const RequestTrace& trace, bool token_times) {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  json.StartObject();
  const auto text = [&](std::string_view name, std::string_view value) {
    write_name(json, name);
    write_text(json, value);
  };
  text("trace_id", hex(trace.trace_id));
  text("span_id", hex(trace.span_id));
  if (trace.parent_span_id) text("parent_span_id", hex(*trace.parent_span_id));
  if (!trace.trace_state.empty()) text("trace_state", clean_text(trace.trace_state, 512));
  write_name(json, "start_time_unix_nano");
  json.Int64(trace.unix_ns(trace.begin));
  write_name(json, "end_time_unix_nano");
  json.Int64(trace.unix_ns(trace.end));

  const TraceAttributes attributes = attributes_of(trace);
  for (const Attribute& attribute : attributes.process) write_attribute(json, attribute);
  for (const Attribute& attribute : attributes.http) write_attribute(json, attribute);
  for (const Attribute& attribute : attributes.call) {
    const bool written = std::any_of(attributes.http.begin(), attributes.http.end(),
                                     [&](const Attribute& other) { return other.name == attribute.name; });
    if (!written) write_attribute(json, attribute);
  }
  if (token_times && trace.exchange.request.begin && !trace.call.token_times.empty()) {
    write_name(json, attribute::token_times);
    json.StartArray();
    for (const Time time : trace.call.token_times)
      write_number(json, to_seconds(elapsed(*trace.exchange.request.begin, time)));
    json.EndArray();
  }
  json.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace inferscope
