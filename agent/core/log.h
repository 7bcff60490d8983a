// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace inferscope::log {

enum class Level { debug, info, warn, error };

/// A named value of a log line.
struct Field {
  std::string_view key;
  std::string value;
};

/// Writes to standard error: "time level message key=value …", or one JSON object a line. Any thread.
void configure(Level level, bool json);
/// debug, info, warn, error; anything else is info.
Level level_of(std::string_view name);

void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});
inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::debug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::info, message, fields);
}
inline void warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::warn, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::error, message, fields);
}

}  // namespace inferscope::log
