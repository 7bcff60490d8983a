// SPDX-License-Identifier: Apache-2.0
#include "yaml/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

namespace inferscope::yaml {
namespace {

/// Thrown inside this file only, to leave nested parsing with the place of the mistake.
struct Mistake {
  YAML::Mark mark{};
  std::string message{};
};

bool is_marker(std::string_view line, std::string_view marker) {
  return line.starts_with(marker) &&
         (line.size() == marker.size() || line[marker.size()] == ' ' || line[marker.size()] == '\t');
}
bool has_content(std::string_view line) {
  const auto first = line.find_first_not_of(" \t\r");
  return first != std::string_view::npos && line[first] != '#';
}

/// The line, from 0, where a second document begins. YAML::Load ignores it, and so what somebody wrote;
/// YAML::LoadAll of yaml-cpp 0.7 does not end on some broken texts.
std::optional<int> second_document(std::string_view text) {
  bool content = false;
  bool ended = false;
  for (int line = 0; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.ends_with('\r')) one.remove_suffix(1);
    const bool begins = is_marker(one, "---");
    if (content && begins) return line;
    if (ended && has_content(one)) return line;
    ended = ended || (content && is_marker(one, "..."));
    const bool directive = one.starts_with('%');  // stands before a document only
    content = content || (!directive && has_content(begins ? one.substr(3) : one));
  }
  return std::nullopt;
}

}  // namespace

void reject(const YAML::Node& node, const std::string& message) {
  throw Mistake{node.Mark(), message};
}

void read_mapping(const YAML::Node& node, const std::string& place, const Keys& keys) {
  if (node.IsNull()) return;
  if (!node.IsMap()) reject(node, fmt::format("{} must be a mapping", place));
  std::set<std::string> seen;
  for (const auto& pair : node) {
    if (!pair.first.IsScalar()) reject(pair.first, fmt::format("a key of {} must be a text", place));
    const std::string& key = pair.first.Scalar();
    const auto found = keys.find(key);
    if (!seen.insert(key).second) reject(pair.first, fmt::format("key '{}' stands twice in {}", key, place));
    if (found == keys.end()) {
      std::vector<std::string> names;
      std::transform(keys.begin(), keys.end(), std::back_inserter(names), [](const auto& one) { return one.first; });
      reject(pair.first, fmt::format("unknown key '{}' in {}; known are: {}", key, place, fmt::join(names, ", ")));
    }
    found->second(pair.second);
  }
}

std::string read_text(const YAML::Node& node, const char* what) {
  if (!node.IsScalar()) reject(node, fmt::format("{} must be a text", what));
  return node.Scalar();
}

bool read_bool(const YAML::Node& node, const char* what) {
  bool value = false;
  if (!node.IsScalar() || !YAML::convert<bool>::decode(node, value))
    reject(node, fmt::format("{} must be true or false", what));
  return value;
}

std::uint64_t read_bytes(const YAML::Node& node, const char* what, std::uint64_t low, std::uint64_t high) {
  const std::string text = read_text(node, what);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  static const std::map<std::string_view, int> shifts{{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
  const auto shift = shifts.find(unit);
  if (error != std::errc() || shift == shifts.end() || number > (UINT64_MAX >> shift->second))
    reject(node, fmt::format("{} must be a number of bytes, such as 65536, 64KiB or 8MiB", what));
  number <<= shift->second;
  if (number < low || number > high) reject(node, fmt::format("{} must be from {} to {} bytes", what, low, high));
  return number;
}

std::uint64_t read_number(const YAML::Node& node, const char* what, std::uint64_t low, std::uint64_t high) {
  const std::string text = read_text(node, what);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < low || number > high)
    reject(node, fmt::format("{} must be a whole number from {} to {}", what, low, high));
  return number;
}

Duration read_duration(const YAML::Node& node, const char* what, Duration low, Duration high) {
  const std::string text = read_text(node, what);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  static const std::map<std::string_view, Duration> units{
      {"ms", std::chrono::milliseconds(1)}, {"s", std::chrono::seconds(1)}, {"m", std::chrono::minutes(1)}};
  const auto found = units.find(unit);
  if (error != std::errc() || found == units.end() || number < 0 || number > 1'000'000)
    reject(node, fmt::format("{} must be a duration, such as 500ms, 10s or 2m", what));
  const Duration duration = found->second * number;
  if (duration < low || duration > high)
    reject(node, fmt::format("{} must be from {} ms to {} ms", what, low / std::chrono::milliseconds(1),
                             high / std::chrono::milliseconds(1)));
  return duration;
}

std::string read_choice(const YAML::Node& node, const char* what, const std::vector<std::string>& choices) {
  std::string text = read_text(node, what);
  if (std::find(choices.begin(), choices.end(), text) == choices.end())
    reject(node, fmt::format("{} must be one of {}", what, fmt::join(choices, ", ")));
  return text;
}

void read_texts(const YAML::Node& node, const char* what, std::map<std::string, std::string>& texts) {
  if (!node.IsMap()) reject(node, fmt::format("{} must be a mapping of names to texts", what));
  for (const auto& pair : node) texts[read_text(pair.first, what)] = read_text(pair.second, what);
}

double read_fraction(const YAML::Node& node, const char* what, double low, double high) {
  double value = 0;
  if (!node.IsScalar() || !YAML::convert<double>::decode(node, value) || !(value >= low && value <= high))
    reject(node, fmt::format("{} must be a number from {} to {}", what, low, high));
  return value;
}

Status parse(std::string_view text, const std::string& name, const std::string& remedy, const ReadRoot& read) {
  const auto bad = [&](const YAML::Mark& mark, const std::string& message) {
    return Error{fmt::format("{}:{}:{}: {}", name, mark.line + 1, mark.column + 1, message), remedy,
                 Error::Kind::usage};
  };
  try {
    if (const auto line = second_document(text)) {
      YAML::Mark mark;
      mark.line = *line;
      return bad(mark, "a second document begins here; a file may hold one");
    }
    const YAML::Node root = YAML::Load(std::string(text));
    if (root.IsDefined()) read(root);
  } catch (const Mistake& mistake) {
    return bad(mistake.mark, mistake.message);
  } catch (const YAML::Exception& mistake) {
    return bad(mistake.mark, mistake.msg);
  }
  return success();
}

Result<std::string> read_file(const std::string& path, const char* what) {
  std::ifstream file(path, std::ios::binary);
  std::error_code ignored;
  if (!file || std::filesystem::is_directory(path, ignored))
    return Error{fmt::format("cannot read the {} {}", what, path), "check the path and its permissions",
                 Error::Kind::usage};
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace inferscope::yaml
