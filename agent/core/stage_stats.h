// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace inferscope {

/// What a stage took, passed on, still holds and dropped. in == out + held + sum of dropped, at every moment;
/// the unit (bytes, exchanges, spans …) is the stage's and stands beside its stats().
struct StageStats {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  std::uint64_t held = 0;
  std::map<std::string, std::uint64_t, std::less<>> dropped{};

  void drop(std::string_view reason, std::uint64_t count) {
    if (count == 0) return;
    auto it = dropped.find(reason);
    if (it == dropped.end()) it = dropped.emplace(std::string(reason), 0).first;
    it->second += count;
  }
  [[nodiscard]] std::uint64_t dropped_total() const {
    std::uint64_t sum = 0;
    for (const auto& [reason, count] : dropped) sum += count;
    return sum;
  }
  [[nodiscard]] bool balanced() const { return in == out + held + dropped_total(); }
};

}  // namespace inferscope
