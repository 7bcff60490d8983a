// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/time.h"
#include "model/connection.h"
#include "model/text.h"
#include "model/trace_attributes.h"

namespace inferscope {

/// Appends attributes, leaving out what was not seen.
class AttributeWriter {
 public:
  explicit AttributeWriter(Attributes& out) : out_(out) {}

  void text(std::string_view name, std::string_view value, std::size_t max_bytes = text_limit_bytes) {
    if (!value.empty()) out_.push_back({name, clean_text(value, max_bytes)});
  }
  void flag(std::string_view name, bool value) { out_.push_back({name, value}); }
  void number(std::string_view name, double value) {
    if (std::isfinite(value)) out_.push_back({name, value});
  }
  template <std::integral T>
  void number(std::string_view name, T value) {
    if (std::in_range<std::int64_t>(value)) out_.push_back({name, static_cast<std::int64_t>(value)});
  }
  void seconds(std::string_view name, const std::optional<Duration>& value) {
    if (value) out_.push_back({name, to_seconds(*value)});
  }
  template <class T>
  void optional(std::string_view name, const std::optional<T>& value) {
    if (!value) return;
    if constexpr (std::same_as<T, std::string>)
      text(name, *value);
    else if constexpr (std::same_as<T, bool>)
      flag(name, *value);
    else
      number(name, *value);
  }
  void texts(std::string_view name, const std::vector<std::string>& values) {
    if (values.empty()) return;
    std::vector<std::string> clean;
    clean.reserve(values.size());
    for (const std::string& value : values) clean.push_back(clean_text(value));
    out_.push_back({name, std::move(clean)});
  }
  void numbers(std::string_view name, std::vector<double> values) {
    if (!values.empty()) out_.push_back({name, std::move(values)});
  }
  void endpoint(std::string_view address, std::string_view port, const Endpoint& endpoint) {
    text(address, plain_address(endpoint.address));
    if (endpoint.port != 0) number(port, endpoint.port);
  }

 private:
  Attributes& out_;
};

}  // namespace inferscope
