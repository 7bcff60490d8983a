// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace inferscope::cli {

/// Cut to `width` characters, not bytes: a character cut in half would spoil the line.
std::string fit(const std::string& text, std::size_t width);
/// "21:47:56.535", local time.
std::string clock_time(std::int64_t unix_ns);
/// `code`: an ANSI escape.
std::string painted(const std::string& text, const char* code, bool colour);

inline constexpr const char* green = "\x1b[32m";
inline constexpr const char* yellow = "\x1b[33m";
inline constexpr const char* red = "\x1b[31m";

}  // namespace inferscope::cli
