// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rapidjson/document.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace inferscope::interpret {

using Json = rapidjson::Value;

/// Reads JSON text into a tree that lives until the next call, on memory that is used again and again. Recursion is
/// bounded, nesting is not. Takes strings that are not UTF-8, lone surrogates, NaN and Infinity as they come.
class JsonReader {
 public:
  JsonReader();
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  /// Null if the text is not JSON; how far it was, is then in error_offset().
  const Json* parse(std::string_view text);
  [[nodiscard]] std::size_t error_offset() const { return error_offset_; }

 private:
  using Pool = rapidjson::MemoryPoolAllocator<>;
  using Document = rapidjson::GenericDocument<rapidjson::UTF8<>, Pool, Pool>;

  void load(std::string_view text);
  bool parse_scratch(bool deep);

  std::vector<char> values_memory_;
  std::vector<char> stack_memory_;
  std::vector<char> scratch_{};
  Pool values_;
  Pool stack_;
  std::optional<Document> document_{};
  std::size_t error_offset_ = 0;
};

/// Careful looks at a value of any type; null or nothing if it is not what is asked for.
const Json* member(const Json& object, std::string_view name);
const Json* object_member(const Json& object, std::string_view name);
const Json* array_member(const Json& object, std::string_view name);

inline std::string_view text_of(const Json& value) {
  return value.IsString() ? std::string_view(value.GetString(), value.GetStringLength()) : std::string_view();
}
inline std::string_view name_of_member(const Json::Member& entry) {
  return text_of(entry.name);
}
std::optional<std::int64_t> integer_of(const Json& value);
std::optional<std::uint64_t> count_of(const Json& value);  ///< an integer that is not negative
std::optional<double> number_of(const Json& value);        ///< finite
std::optional<std::string> clean_text_of(const Json& value);

}  // namespace inferscope::interpret
