// SPDX-License-Identifier: Apache-2.0
#include "core/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

namespace inferscope::log {
namespace {

std::atomic<bool> as_json = false;

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = spdlog::stderr_color_mt("inferscope");  // colour only on a terminal
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v");
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

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out += '"';
}

bool needs_quotes(std::string_view text) {
  return text.empty() || text.find_first_of(" \"=\n\r\t") != std::string_view::npos;
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
  if (json) logger().set_pattern("{\"time\":\"%Y-%m-%dT%H:%M:%S.%e%z\",\"level\":\"%l\",%v}");
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  const bool json = as_json;
  std::string line = json ? "\"message\":" + quoted(message) : std::string(message);
  for (const Field& field : fields)
    line += json ? fmt::format(",\"{}\":{}", field.key, quoted(field.value))
                 : fmt::format(" {}={}", field.key, needs_quotes(field.value) ? quoted(field.value) : field.value);
  logger().log(to_spdlog(level), "{}", line);
}

}  // namespace inferscope::log
