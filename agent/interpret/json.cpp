// SPDX-License-Identifier: Apache-2.0
#include "interpret/json.h"

#include <rapidjson/reader.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "model/text.h"

namespace inferscope::interpret {
namespace {

constexpr std::size_t pool_bytes = std::size_t{64} * 1024;
/// Scratch larger than this is given back after use.
constexpr std::size_t kept_scratch_bytes = std::size_t{64} * 1024;
// Not with RAPIDJSON_SSE2: which control characters it lets pass depends on where in a block of 16 bytes they stand.
constexpr unsigned lenient = rapidjson::kParseInsituFlag | rapidjson::kParseNanAndInfFlag;
/// Text that cannot nest deeper may go to the parser that recurses, which is faster.
constexpr std::size_t safe_depth = 1024;

bool may_nest_deeply(std::string_view text) {
  if (text.size() <= safe_depth) return false;
  return static_cast<std::size_t>(
             std::count_if(text.begin(), text.end(), [](char c) { return c == '{' || c == '['; })) > safe_depth;
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// Makes \uD800 … \uDFFF the replacement character; what only begins like one stays broken. Backslashes are in strings
/// if the text is JSON otherwise.
void replace_surrogates(char* text, std::size_t size) {
  for (std::size_t i = 0; i + 1 < size; ++i) {
    if (text[i] != '\\') continue;
    ++i;
    if (text[i] != 'u' || i + 4 >= size) continue;
    const bool surrogate = (text[i + 1] == 'd' || text[i + 1] == 'D') && is_hex(text[i + 2]) && text[i + 2] >= '8' &&
                           is_hex(text[i + 3]) && is_hex(text[i + 4]);
    if (surrogate) std::memcpy(text + i + 1, "FFFD", 4);
  }
}

}  // namespace

JsonReader::JsonReader()
    : values_memory_(pool_bytes),
      stack_memory_(pool_bytes),
      values_(values_memory_.data(), values_memory_.size(), pool_bytes),
      stack_(stack_memory_.data(), stack_memory_.size(), pool_bytes) {}

void JsonReader::load(std::string_view text) {
  if (scratch_.capacity() > kept_scratch_bytes && text.size() < kept_scratch_bytes) std::vector<char>().swap(scratch_);
  if (scratch_.size() < text.size() + 1) scratch_.resize(text.size() + 1);
  if (!text.empty()) std::memcpy(scratch_.data(), text.data(), text.size());
  scratch_[text.size()] = '\0';
}

bool JsonReader::parse_scratch(bool deep) {
  document_.reset();
  values_.Clear();
  stack_.Clear();
  document_.emplace(&values_, 1024, &stack_);
  if (deep)
    document_->ParseInsitu<lenient | rapidjson::kParseIterativeFlag>(scratch_.data());
  else
    document_->ParseInsitu<lenient>(scratch_.data());
  return !document_->HasParseError();
}

const Json* JsonReader::parse(std::string_view text) {
  // The parser takes a NUL for the end.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    error_offset_ = nul;
    return nullptr;
  }
  const bool deep = may_nest_deeply(text);
  load(text);
  if (!parse_scratch(deep) && document_->GetParseError() == rapidjson::kParseErrorStringUnicodeSurrogateInvalid) {
    load(text);
    replace_surrogates(scratch_.data(), text.size());
    parse_scratch(deep);
  }
  if (!document_->HasParseError()) return &*document_;
  error_offset_ = std::min(document_->GetErrorOffset(), text.size());
  return nullptr;
}

const Json* member(const Json& object, std::string_view name) {
  if (!object.IsObject()) return nullptr;
  for (auto entry = object.MemberBegin(); entry != object.MemberEnd(); ++entry)
    if (name_of_member(*entry) == name) return &entry->value;
  return nullptr;
}

const Json* object_member(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  return value != nullptr && value->IsObject() ? value : nullptr;
}

const Json* array_member(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  return value != nullptr && value->IsArray() ? value : nullptr;
}

std::optional<std::int64_t> integer_of(const Json& value) {
  if (value.IsInt64()) return value.GetInt64();
  // Some clients write 4.0 for 4.
  constexpr double exact = 9007199254740992.0;
  if (value.IsDouble() && std::abs(value.GetDouble()) <= exact && std::trunc(value.GetDouble()) == value.GetDouble())
    return static_cast<std::int64_t>(value.GetDouble());
  return std::nullopt;
}

std::optional<std::uint64_t> count_of(const Json& value) {
  const auto integer = integer_of(value);
  if (!integer || *integer < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*integer);
}

std::optional<double> number_of(const Json& value) {
  if (!value.IsNumber() || !std::isfinite(value.GetDouble())) return std::nullopt;
  return value.GetDouble();
}

std::optional<std::string> clean_text_of(const Json& value) {
  if (!value.IsString() || value.GetStringLength() == 0) return std::nullopt;
  return clean_text(text_of(value));
}

}  // namespace inferscope::interpret
