// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>

namespace inferscope::source {

/// The record that these bytes begin with; nothing if they are fewer.
template <class Record>
std::optional<Record> read_as(std::span<const std::byte> bytes) {
  Record record{};
  if (bytes.size() < sizeof(record)) return std::nullopt;
  std::memcpy(&record, bytes.data(), sizeof(record));
  return record;
}

}  // namespace inferscope::source
