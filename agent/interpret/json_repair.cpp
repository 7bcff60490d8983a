// SPDX-License-Identifier: Apache-2.0
#include "interpret/json_repair.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace inferscope::interpret {
namespace {

constexpr bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// What may stand outside of strings: structure, white space, numbers and the literals (also NaN and Infinity).
constexpr std::array<bool, 256> make_bare_characters() {
  std::array<bool, 256> bare{};
  for (const char c : std::string_view("{}[]:, \t\n\r+-.0123456789eEtrufalsnINiyN"))
    bare[static_cast<unsigned char>(c)] = true;
  return bare;
}
constexpr auto bare_characters = make_bare_characters();

enum class Place : std::uint8_t { outside, in_string, after_backslash };

/// Calls on_structure(index, character) for every bracket and comma outside of strings.
/// Returns where the text ends, or nothing if it cannot be JSON from this place on.
template <class OnStructure>
std::optional<Place> scan(std::string_view text, Place place, OnStructure&& on_structure) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (place == Place::in_string) {
      if (c == '\\') place = Place::after_backslash;
      if (c == '"') place = Place::outside;
    } else if (place == Place::after_backslash) {
      place = Place::in_string;
    } else if (c == '"') {
      place = Place::in_string;
    } else if (!bare_characters[static_cast<unsigned char>(c)]) {
      return std::nullopt;
    } else if (c == '{' || c == '}' || c == '[' || c == ']' || c == ',') {
      on_structure(i, c);
    }
  }
  return place;
}

constexpr int depth_change(char c) {
  if (c == '{' || c == '[') return 1;
  return c == '}' || c == ']' ? -1 : 0;
}

/// The rest of the members behind the first comma between outermost members, if the tail begins at `place`.
std::optional<std::string_view> rest_of_members(std::string_view tail, Place place) {
  long depth = 0;
  long lowest = 0;
  std::size_t lowest_at = 0;
  const auto end = scan(tail, place, [&](std::size_t i, char c) {
    depth += depth_change(c);
    if (depth < lowest) {
      lowest = depth;
      lowest_at = i;
    }
  });
  // The outermost bracket must be a brace, and nothing may follow it.
  if (end != Place::outside || lowest == 0 || depth != lowest) return std::nullopt;
  if (lowest_at + 1 != tail.size() || tail.back() != '}') return std::nullopt;

  const long outermost = lowest + 1;
  depth = 0;
  std::optional<std::size_t> boundary;
  scan(tail, place, [&](std::size_t i, char c) {
    depth += depth_change(c);
    if (c == ',' && depth == outermost && !boundary) boundary = i + 1;
  });
  if (!boundary) return std::string_view();
  return tail.substr(*boundary);
}

}  // namespace

std::optional<std::string> repair_head(std::string_view head) {
  std::size_t begin = 0;
  while (begin < head.size() && is_space(head[begin])) ++begin;
  if (begin == head.size() || head[begin] != '{') return std::nullopt;
  head.remove_prefix(begin);

  long depth = 0;
  std::size_t whole = 0;  // length up to the last place where a member ended
  bool closed = false;
  scan(head, Place::outside, [&](std::size_t i, char c) {
    if (closed) return;
    depth += depth_change(c);
    if (depth == 1 && c == ',') whole = i;
    if (depth <= 0) {
      whole = i;
      closed = true;
    }
  });
  if (whole == 0 || head.find_first_not_of(" \t\n\r", 1) >= whole) return std::nullopt;
  std::string repaired(head.substr(0, whole));
  repaired += '}';
  return repaired;
}

std::optional<std::string> repair_tail(std::string_view tail) {
  while (!tail.empty() && is_space(tail.back())) tail.remove_suffix(1);
  if (tail.empty()) return std::nullopt;

  std::optional<std::string_view> rest;
  for (const Place place : {Place::outside, Place::in_string, Place::after_backslash}) {
    // The third is the second unless the first byte would mean something by itself.
    if (place == Place::after_backslash && tail.front() != '"' && tail.front() != '\\') continue;
    const auto found = rest_of_members(tail, place);
    if (!found) continue;
    if (rest && *rest != *found) return std::nullopt;
    rest = found;
  }
  if (!rest || rest->empty()) return std::nullopt;
  std::string repaired("{");
  repaired += *rest;
  return repaired;
}

}  // namespace inferscope::interpret
