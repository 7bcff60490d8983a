// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "assemble/protocol.h"

/// The grammar of HTTP/1 (RFC 9112), without state. Everything that decides how a message is read is here, so that a
/// redacted message, which keeps these parts, is read as the original was.
namespace inferscope::assemble::http1 {

/// Views into the line.
struct RequestLine {
  std::string_view method{};
  std::string_view target{};
  std::string_view version{};  ///< "1.0", "1.1"
};
struct StatusLine {
  int status = 0;
  std::string_view version{};
};
struct Field {
  std::string_view name{};
  std::string_view value{};  ///< without surrounding blanks
};

std::optional<RequestLine> parse_request_line(std::string_view line);
std::optional<StatusLine> parse_status_line(std::string_view line);
/// Names are tokens; a blank before the colon is refused (RFC 9112 5.1).
std::optional<Field> parse_field(std::string_view line);
/// Also "5, 5", as proxies make it of repeated fields.
std::optional<std::uint64_t> parse_content_length(std::string_view value);
/// "1a", "1A;name=value"
std::optional<std::uint64_t> parse_chunk_size(std::string_view line);

Recognition recognise(std::string_view prefix);
/// Whether `piece`, the beginning of a transfer, begins with a chunk.
bool looks_like_chunk(std::string_view piece);

bool is_known_method(std::string_view method);
bool is_method_prefix(std::string_view text);
bool is_token(char c);
constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}
bool equal_ignoring_case(std::string_view text, std::string_view lower_case);
std::string_view trim(std::string_view text);
/// Calls `use` for every element of a comma-separated list.
template <class Use>
void for_each_element(std::string_view list, Use use) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (const std::string_view element = trim(list.substr(0, comma)); !element.empty()) use(element);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace inferscope::assemble::http1
