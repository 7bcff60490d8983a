// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/stage_stats.h"
#include "model/exchange.h"

namespace inferscope::assemble {

/// Why bytes of a stream did not become part of an exchange.
enum class Drop : std::uint8_t {
  lost,              ///< transfers that never came
  not_captured,      ///< cut off by a capture limit
  unreadable,        ///< cut off because they could not be read
  before_boundary,   ///< while looking for the beginning of a message
  lost_framing,      ///< after a hole in a head or a chunk size
  malformed,         ///< not what the protocol allows there
  not_recognised,    ///< on a connection of no known protocol
  after_upgrade,     ///< on a connection that became another protocol
  after_end,         ///< after the direction's final position or end
  duplicate,         ///< positions that were there before
  enciphered,        ///< by the protocol itself
  connection_limit,  ///< held for a connection that had to be forgotten
  count,
};

constexpr std::string_view name_of(Drop drop) {
  constexpr std::array<std::string_view, static_cast<std::size_t>(Drop::count)> names{
      "lost",           "not_captured",  "unreadable", "before_boundary", "lost_framing", "malformed",
      "not_recognised", "after_upgrade", "after_end",  "duplicate",       "enciphered",   "connection_limit",
  };
  return names[static_cast<std::size_t>(drop)];
}

constexpr Drop drop_of(Gap::Reason reason) {
  switch (reason) {
    case Gap::Reason::lost:
      return Drop::lost;
    case Gap::Reason::unreadable:
      return Drop::unreadable;
    case Gap::Reason::malformed:
      return Drop::malformed;
    case Gap::Reason::mid_stream:
      return Drop::before_boundary;
    case Gap::Reason::not_captured:
    case Gap::Reason::limit:
      break;
  }
  return Drop::not_captured;
}

/// Where each byte of the streams went. Cheap enough to be kept on every path; StageStats is made of it on demand.
struct Account {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  std::uint64_t held = 0;  ///< lines that have no end yet
  std::array<std::uint64_t, static_cast<std::size_t>(Drop::count)> dropped{};

  void drop(Drop why, std::uint64_t bytes) { dropped[static_cast<std::size_t>(why)] += bytes; }
  void drop_held(Drop why, std::uint64_t bytes) {
    held -= bytes;
    drop(why, bytes);
  }
  [[nodiscard]] StageStats stats() const {
    StageStats stats{.in = in, .out = out, .held = held};
    for (std::size_t i = 0; i < dropped.size(); ++i) stats.drop(name_of(static_cast<Drop>(i)), dropped[i]);
    return stats;
  }
};

}  // namespace inferscope::assemble
