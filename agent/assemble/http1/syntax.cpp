// SPDX-License-Identifier: Apache-2.0
#include "assemble/http1/syntax.h"

#include <algorithm>
#include <array>

namespace inferscope::assemble::http1 {
namespace {

// Registered methods that servers meet. Any token would be legal, but then any two words would begin a request.
constexpr std::array<std::string_view, 22> methods{
    "GET",   "POST", "HEAD", "PUT",  "DELETE", "OPTIONS", "PATCH",  "CONNECT", "TRACE", "PROPFIND", "PROPPATCH",
    "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH",  "REPORT", "PURGE",   "LINK",  "UNLINK",   "QUERY"};
constexpr std::size_t blank_lines = 8;
constexpr std::size_t chunk_digits = 16;
constexpr std::uint64_t largest_length = (1ULL << 62);
constexpr std::uint64_t largest_resync_chunk = 64ULL << 20;
constexpr std::string_view version_prefix = "HTTP/1.";

constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> token_table = make_token_table();

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

constexpr int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

bool is_version(std::string_view text) {
  return text.size() == version_prefix.size() + 1 && text.starts_with(version_prefix) &&
         (text.back() == '0' || text.back() == '1');
}

bool is_target(std::string_view target, std::string_view method) {
  if (target.empty()) return false;
  if (target[0] == '/' || target == "*" || method == "CONNECT") return true;
  return target.starts_with("http://") || target.starts_with("https://");
}

Recognition::Answer recognise_response(std::string_view prefix) {
  using Answer = Recognition::Answer;
  constexpr std::string_view pattern = "HTTP/1.v ddd";
  for (std::size_t i = version_prefix.size(); i < std::min(prefix.size(), pattern.size()); ++i) {
    const char c = prefix[i];
    const bool fits = pattern[i] == 'v' ? c == '0' || c == '1' : pattern[i] == 'd' ? is_digit(c) : c == pattern[i];
    if (!fits) return Answer::no;
  }
  return prefix.size() < pattern.size() ? Answer::need_more : Answer::response;
}

}  // namespace

bool is_token(char c) {
  return token_table[static_cast<unsigned char>(c)];
}

bool is_known_method(std::string_view method) {
  return std::find(methods.begin(), methods.end(), method) != methods.end();
}

bool is_method_prefix(std::string_view text) {
  return std::any_of(methods.begin(), methods.end(), [&](std::string_view method) { return method.starts_with(text); });
}

bool equal_ignoring_case(std::string_view text, std::string_view lower_case) {
  return text.size() == lower_case.size() &&
         std::equal(text.begin(), text.end(), lower_case.begin(), [](char a, char b) { return lower(a) == b; });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<RequestLine> parse_request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  RequestLine parsed{.method = line.substr(0, first), .target = line.substr(first + 1, second - first - 1)};
  const std::string_view version = line.substr(second + 1);
  if (!is_version(version) || !is_known_method(parsed.method) || !is_target(parsed.target, parsed.method))
    return std::nullopt;
  parsed.version = version.substr(version.size() - 3);
  return parsed;
}

std::optional<StatusLine> parse_status_line(std::string_view line) {
  constexpr std::size_t version_size = version_prefix.size() + 1;
  constexpr std::size_t status_end = version_size + 4;
  if (line.size() < status_end || !is_version(line.substr(0, version_size)) || line[version_size] != ' ')
    return std::nullopt;
  if (line.size() > status_end && line[status_end] != ' ') return std::nullopt;
  StatusLine parsed{.version = line.substr(version_size - 3, 3)};
  for (std::size_t i = version_size + 1; i < status_end; ++i) {
    if (!is_digit(line[i])) return std::nullopt;
    parsed.status = parsed.status * 10 + (line[i] - '0');
  }
  if (parsed.status < 100) return std::nullopt;
  return parsed;
}

std::optional<Field> parse_field(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const std::string_view name = line.substr(0, colon);
  if (!std::all_of(name.begin(), name.end(), is_token)) return std::nullopt;
  return Field{.name = name, .value = trim(line.substr(colon + 1))};
}

std::optional<std::uint64_t> parse_content_length(std::string_view value) {
  std::optional<std::uint64_t> length;
  bool valid = true;
  for_each_element(value, [&](std::string_view element) {
    std::uint64_t number = 0;
    for (const char c : element) {
      if (!is_digit(c) || number > largest_length / 10) {
        valid = false;
        return;
      }
      number = number * 10 + static_cast<std::uint64_t>(c - '0');
    }
    if (length && *length != number) valid = false;
    length = number;
  });
  return valid ? length : std::nullopt;
}

std::optional<std::uint64_t> parse_chunk_size(std::string_view line) {
  std::uint64_t size = 0;
  std::size_t i = 0;
  for (; i < line.size(); ++i) {
    const int digit = hex_value(line[i]);
    if (digit < 0) break;
    if (i >= chunk_digits || size > (largest_length >> 4)) return std::nullopt;
    size = size << 4 | static_cast<std::uint64_t>(digit);
  }
  if (i == 0) return std::nullopt;
  while (i < line.size() && is_blank(line[i])) ++i;
  if (i < line.size() && line[i] != ';') return std::nullopt;
  return size;
}

Recognition recognise(std::string_view prefix) {
  using Answer = Recognition::Answer;
  // Blank lines before a request are to be ignored (RFC 9112 2.2).
  std::size_t blanks = 0;
  while (!prefix.empty() && (prefix[0] == '\r' || prefix[0] == '\n')) {
    if (++blanks > 2 * blank_lines) return {};
    prefix.remove_prefix(1);
  }
  if (prefix.starts_with(version_prefix) || version_prefix.starts_with(prefix)) return {recognise_response(prefix)};
  const std::size_t space = prefix.find(' ');
  if (space == std::string_view::npos) return {is_method_prefix(prefix) ? Answer::need_more : Answer::no};
  if (!is_known_method(prefix.substr(0, space))) return {};
  const std::string_view target = prefix.substr(space + 1);
  if (target.empty()) return {Answer::need_more};
  const std::size_t target_end = target.find(' ');
  if (target_end == 0) return {};
  // HTTP/2's connection preface looks like a request of a version that is not ours.
  if (target_end != std::string_view::npos) {
    const std::string_view version = target.substr(target_end + 1, version_prefix.size());
    if (!version_prefix.starts_with(version)) return {};
  }
  const bool plausible = target[0] == '/' || target[0] == '*' || target[0] == 'h' || prefix.starts_with("CONNECT ");
  return {plausible ? Answer::request : Answer::no};
}

bool looks_like_chunk(std::string_view piece) {
  constexpr std::size_t longest_line = 64;
  const std::size_t end = piece.substr(0, longest_line).find("\r\n");
  if (end == std::string_view::npos) return false;
  const auto size = parse_chunk_size(piece.substr(0, end));
  if (!size || *size > largest_resync_chunk) return false;
  const std::string_view rest = piece.substr(end + 2);
  // The chunk's own end, as far as the piece reaches.
  return rest.size() <= *size || std::string_view("\r\n").starts_with(rest.substr(*size, 2));
}

}  // namespace inferscope::assemble::http1
