// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace inferscope {

/// Longest text from the wire that is kept of a name, an id or a path.
inline constexpr std::size_t text_limit_bytes = 256;

/// Text from the wire made fit to be kept and shown: valid UTF-8 of at most `max_bytes`, in which every invalid byte
/// and every control character (a terminal would obey it) is U+FFFD.
std::string clean_text(std::string_view text, std::size_t max_bytes = text_limit_bytes);

/// Whether `text` could come out of clean_text().
bool is_clean_text(std::string_view text, std::size_t max_bytes = text_limit_bytes);

}  // namespace inferscope
