// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace inferscope::interpret {

/// A JSON object of which only the beginning or the end was captured, made into an object of those of its outermost
/// members that are there as a whole. A member that was cut is left out: half a value is a wrong value. Both only
/// count brackets and quotes, in one pass and constant space; the JSON parser has the last word on the result.

/// From the beginning of an object. Nothing if no whole member is there.
std::optional<std::string> repair_head(std::string_view head);

/// From the end of an object: `tail` begins anywhere in it and ends with its last byte. Whether it begins inside a
/// string is not known, so each possibility is tried; one counts if the brackets close exactly at the end. Nothing if
/// no whole member is there or if the possibilities disagree.
std::optional<std::string> repair_tail(std::string_view tail);

}  // namespace inferscope::interpret
