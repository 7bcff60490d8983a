// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "model/trace_attributes.h"

namespace inferscope {

/// A number that the agent tells of itself, at each of its places.
struct Metric {
  enum class Kind : std::uint8_t {
    gauge,
    sum,  ///< since the agent began; never gets less
  };
  struct Point {
    Attributes attributes{};
    std::variant<std::int64_t, double> value{};
  };

  std::string_view name{};  ///< one of model/attributes.h
  std::string_view unit{};  ///< as UCUM writes it: "{cpu}", "1", "{item}"
  std::string_view description{};
  Kind kind{};
  std::vector<Point> points{};
};

/// All of them at one time.
struct Metrics {
  std::int64_t begin_unix_ns = 0;  ///< when the agent began
  std::int64_t unix_ns = 0;
  std::vector<Metric> all{};
};

}  // namespace inferscope
