// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>

namespace inferscope::cli {

std::string fit(const std::string& text, std::size_t width) {
  const auto begins_character = [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80; };
  std::size_t characters = 0, last = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!begins_character(text[i])) continue;
    if (++characters == width) last = i;
    if (characters > width) return text.substr(0, last) + "~";
  }
  return text;
}

std::string clock_time(std::int64_t unix_ns) {
  const std::time_t seconds = unix_ns / 1'000'000'000;
  std::tm local{};
  localtime_r(&seconds, &local);
  return fmt::format("{:%H:%M:%S}.{:03}", local, unix_ns / 1'000'000 % 1000);
}

std::string painted(const std::string& text, const char* code, bool colour) {
  return colour ? std::string(code) + text + "\x1b[0m" : text;
}

}  // namespace inferscope::cli
