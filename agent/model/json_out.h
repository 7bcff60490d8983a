// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

#include "model/trace_attributes.h"

/// Writing JSON lines. Included by source files only: RapidJSON is nobody's interface.
namespace inferscope {

using Json = rapidjson::Writer<rapidjson::StringBuffer>;

inline void write_text(Json& json, std::string_view text) {
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}
inline void write_name(Json& json, std::string_view name) {
  json.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
}

/// The shortest digits that read back as the same number, which RapidJSON's own way does not always find.
inline void write_number(Json& json, double value) {
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
  void operator()(const std::vector<double>& values) const {
    json.StartArray();
    for (const double value : values) write_number(json, value);
    json.EndArray();
  }
};

inline void write_attribute(Json& json, const Attribute& attribute) {
  write_name(json, attribute.name);
  std::visit(ValueWriter{json}, attribute.value);
}

}  // namespace inferscope
