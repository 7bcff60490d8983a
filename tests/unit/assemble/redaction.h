// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "assemble/redact.h"
#include "tests/unit/assemble/trial.h"

namespace inferscope::assemble {

/// Events with their content masked; `contents` keeps it alive.
inline std::vector<Event> redact(const std::vector<Event>& events, std::deque<std::string>& contents) {
  Redactor redactor;
  std::vector<Event> masked = events;
  for (Event& event : masked) {
    redactor.on(event, contents.emplace_back());
    EXPECT_TRUE(redactor.stats().balanced());
  }
  for (std::size_t i = 0; i < masked.size(); ++i) {
    const auto* was = std::get_if<Transfer>(&events[i].body);
    const auto* is = std::get_if<Transfer>(&masked[i].body);
    if (!was) continue;
    EXPECT_EQ(was->head.size(), is->head.size());
    EXPECT_EQ(was->tail.size(), is->tail.size());
  }
  return masked;
}

/// A conversation with a server, divided anyhow into pieces of at most `longest` bytes, of which some are lost or cut
/// if it is to be lossy.
inline Script divided(const std::vector<std::pair<Direction, std::string>>& turns, std::mt19937& random,
                      std::size_t longest, bool lossy, bool mid_stream = false) {
  Script script;
  auto stream = script.open({.role = Role::server, .mid_stream = mid_stream});
  for (const auto& [direction, bytes] : turns) {
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const std::string_view piece = rest.substr(0, 1 + random() % longest);
      rest.remove_prefix(piece.size());
      const std::size_t action = lossy ? random() % 10 : 9;
      if (action == 0) {
        stream.lose(direction, piece.size());
      } else if (action == 1) {
        stream.cut(direction, piece.substr(0, piece.size() / 3), piece.size(), piece.substr(piece.size() / 2));
      } else {
        stream.transfer(direction, piece);
      }
    }
  }
  stream.closed();
  return script;
}

/// A replay of the masked copy told the same as the original: when, how much, and how it ended.
inline void expect_same_shape(const Trial& original, const Trial& replayed) {
  ASSERT_EQ(replayed.log.entries().size(), original.log.entries().size());
  for (std::size_t i = 0; i < original.log.entries().size(); ++i) {
    const auto& was = original.log.entries()[i];
    const auto& is = replayed.log.entries()[i];
    ASSERT_EQ(is.kind, was.kind);
    ASSERT_EQ(is.time, was.time);
    ASSERT_EQ(is.data.size(), was.data.size());
    ASSERT_EQ(is.missing, was.missing);
  }
  ASSERT_EQ(replayed.log.closed().size(), original.log.closed().size());
  for (std::size_t i = 0; i < original.log.closed().size(); ++i) {
    const Exchange& was = original.closed(i);
    const Exchange& is = replayed.closed(i);
    ASSERT_EQ(is.ending, was.ending);
    ASSERT_EQ(is.path(), was.path());
    ASSERT_EQ(is.response.status, was.response.status);
    ASSERT_EQ(is.gaps_total, was.gaps_total);
    ASSERT_EQ(is.request.body_bytes, was.request.body_bytes);
    ASSERT_EQ(is.response.body_bytes, was.response.body_bytes);
    // Names of fields that were split are masked, so only their number is compared.
    ASSERT_EQ(is.request.headers.size(), was.request.headers.size());
    ASSERT_EQ(is.response.headers.size(), was.response.headers.size());
  }
  ASSERT_EQ(replayed.stats().dropped, original.stats().dropped);
  ASSERT_EQ(replayed.stats().out, original.stats().out);
}

}  // namespace inferscope::assemble
