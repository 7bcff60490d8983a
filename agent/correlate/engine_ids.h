// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace inferscope::correlate {

/// How a server made the id of an engine's request: "1_cmpl-BASE-0-1a2b3c4d" is the choice 1 of the prompt 0. Of a part
/// that is not there, the view is empty.
struct EngineId {
  std::string_view choice{};
  std::string_view prefix{};  ///< "cmpl-"
  std::string_view prompt{};
  std::string_view unique{};  ///< eight hexadecimal digits
};

/// The part of an id that requests of one call have in common, and what may follow it: without choice and prefix.
std::string_view common_part(std::string_view id);

/// The parts around `base`; nothing if the engine's id was not made of it. `prefixed`: the server may have put a prefix
/// in front of it.
std::optional<EngineId> made_of(std::string_view engine_id, std::string_view base, bool prefixed);

}  // namespace inferscope::correlate
