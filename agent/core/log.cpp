// SPDX-License-Identifier: Apache-2.0
#include "core/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>

namespace inferscope::log {
namespace {

constexpr const char* text_pattern = "%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v";
constexpr const char* json_pattern = "{\"time\":\"%Y-%m-%dT%H:%M:%S.%e%z\",\"level\":\"%l\",%v}";

std::atomic<bool> as_json = false;

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = spdlog::stderr_color_mt("inferscope");  // colour only on a terminal
    made->set_pattern(text_pattern);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      break;
  }
  return spdlog::level::err;
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

/// Length of the UTF-8 character at the front of `text` that is neither ASCII nor a control character; 0 if it is none.
std::size_t wide_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(text[i])); };
  const unsigned first = byte(0);
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  unsigned code = first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  constexpr unsigned smallest[] = {0, 0, 0xa0, 0x800, 0x10000};
  return code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : length;
}

/// Names of processes and files may be any bytes: what comes out is valid in JSON, and no terminal obeys it.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char c = text[0];
    std::size_t length = 1;
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (is_control(c)) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else if (static_cast<unsigned char>(c) < 0x80) {
      out += c;
    } else if (const std::size_t wide = wide_character(text); wide > 0) {
      out += text.substr(0, length = wide);
    } else {
      out += "\\ufffd";
    }
    text.remove_prefix(length);
  }
  return out += '"';
}

bool needs_quotes(std::string_view text) {
  return text.empty() || std::any_of(text.begin(), text.end(), [](char c) {
           return is_control(c) || c == ' ' || c == '"' || c == '=' || static_cast<unsigned char>(c) >= 0x80;
         });
}

}  // namespace

Level level_of(std::string_view name) {
  if (name == "debug") return Level::debug;
  if (name == "warn") return Level::warn;
  if (name == "error") return Level::error;
  return Level::info;
}

void configure(Level level, bool json) {
  as_json = json;
  logger().set_level(to_spdlog(level));
  logger().set_pattern(json ? json_pattern : text_pattern);
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  const bool json = as_json;
  std::string line = json ? "\"message\":" + in_quotes(message) : std::string(message);
  for (const Field& field : fields)
    line += json ? fmt::format(",\"{}\":{}", field.key, in_quotes(field.value))
                 : fmt::format(" {}={}", field.key, needs_quotes(field.value) ? in_quotes(field.value) : field.value);
  logger().log(to_spdlog(level), "{}", line);
}

}  // namespace inferscope::log
