// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rapidjson/document.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/text.h"

namespace inferscope::cli {

/// One JSON object of the agent's answers, with the look-ups that views need. Text comes clean: terminals obey what
/// they are sent, and a model's name may come from anybody.
class JsonLine {
 public:
  explicit JsonLine(std::string_view json) {
    document_.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
    valid_ = !document_.HasParseError() && document_.IsObject();
  }
  [[nodiscard]] bool valid() const { return valid_; }

  [[nodiscard]] std::string text(std::string_view key, const std::string& otherwise = "-") const {
    const auto* value = find(key);
    if (!value) return otherwise;
    if (value->IsString()) return clean_text({value->GetString(), value->GetStringLength()}, shown_bytes);
    if (value->IsInt64()) return std::to_string(value->GetInt64());
    return otherwise;
  }
  [[nodiscard]] std::optional<double> number(std::string_view key) const {
    const auto* value = find(key);
    return value && value->IsNumber() ? std::optional(value->GetDouble()) : std::nullopt;
  }
  [[nodiscard]] std::int64_t integer(std::string_view key) const {
    const auto* value = find(key);
    return value && value->IsInt64() ? value->GetInt64() : 0;
  }
  [[nodiscard]] bool truth(std::string_view key) const {
    const auto* value = find(key);
    return value && value->IsBool() && value->GetBool();
  }
  [[nodiscard]] std::vector<std::string> texts(std::string_view key) const {
    std::vector<std::string> out;
    const auto* value = find(key);
    if (value && value->IsArray())
      for (const auto& one : value->GetArray())
        if (one.IsString()) out.push_back(clean_text({one.GetString(), one.GetStringLength()}, shown_bytes));
    return out;
  }
  [[nodiscard]] std::vector<double> numbers(std::string_view key) const {
    std::vector<double> out;
    const auto* value = find(key);
    if (value && value->IsArray())
      for (const auto& one : value->GetArray())
        if (one.IsNumber()) out.push_back(one.GetDouble());
    return out;
  }

 private:
  static constexpr std::size_t shown_bytes = 4096;

  [[nodiscard]] const rapidjson::Value* find(std::string_view key) const {
    const auto found = document_.FindMember(rapidjson::Value(rapidjson::StringRef(key.data(), key.size())));
    return found == document_.MemberEnd() ? nullptr : &found->value;
  }

  rapidjson::Document document_{};
  bool valid_ = false;
};

}  // namespace inferscope::cli
