// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace inferscope {

/// Values and what they are called, for people, files and the API alike.
template <class T, std::size_t Count>
using NameTable = std::array<std::pair<T, std::string_view>, Count>;

template <class T, std::size_t Count>
constexpr std::string_view name_in(const NameTable<T, Count>& table, T value) {
  for (const auto& [one, name] : table)
    if (one == value) return name;
  return {};
}

template <class T, std::size_t Count>
constexpr std::optional<T> value_in(const NameTable<T, Count>& table, std::string_view name) {
  for (const auto& [one, other] : table)
    if (other == name) return one;
  return std::nullopt;
}

}  // namespace inferscope
