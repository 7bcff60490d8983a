// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "discover/process_info.h"

namespace inferscope::discover {

/// A rule of the operator's. All fields that are given must match; a rule without fields matches nothing.
/// Texts are shell patterns (fnmatch): `*` matches anything, also '/'.
struct Rule {
  std::optional<std::string> executable{};  ///< path, or its last part
  std::optional<std::string> command_line{};
  std::optional<std::string> user{};    ///< name or number
  std::optional<std::uint16_t> port{};  ///< TCP port that the process listens on
  std::optional<std::string> cgroup{};  ///< path in any hierarchy
};

[[nodiscard]] bool matches(const Rule& rule, const ProcessInfo& info, const std::set<std::uint16_t>& ports);
/// The rule in words, for reasons.
[[nodiscard]] std::string describe(const Rule& rule);

/// Name of the known inference server that this process is; absent if it is none of the table.
[[nodiscard]] std::optional<std::string> known_server(const ProcessInfo& info);
/// What a mapped library says about its process, in words; absent if it says nothing.
[[nodiscard]] std::optional<std::string> inference_library(const std::set<std::string>& libraries);

}  // namespace inferscope::discover
