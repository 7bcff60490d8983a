// SPDX-License-Identifier: Apache-2.0
#include "runtime/dialect_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "model/text.h"
#include "yaml/reader.h"

namespace inferscope::runtime {
namespace {

using interpret::DialectDefinition;
using yaml::read_mapping;
using yaml::read_text;
using yaml::reject;

constexpr std::size_t dialect_limit = 64;
constexpr std::size_t path_limit = 32;  // of one dialect
constexpr std::size_t text_bytes = 256;
constexpr std::size_t name_bytes = 64;

/// What stands in traces as a name.
std::string read_name(const YAML::Node& node, const char* what) {
  std::string name = read_text(node, what);
  const bool good = !name.empty() && name.size() <= name_bytes && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
  if (!good) reject(node, fmt::format("{} must be 1 to {} letters, digits, '.', '_' or '-'", what, name_bytes));
  return name;
}

std::string read_bounded(const YAML::Node& node, const char* what) {
  std::string text = read_text(node, what);
  if (text.size() > text_bytes) reject(node, fmt::format("{} must have at most {} bytes", what, text_bytes));
  return text;
}

rapidjson::Pointer read_pointer(const YAML::Node& node, const char* what) {
  const std::string text = read_bounded(node, what);
  // A leading '#' would be the form for URIs.
  if (!text.empty() && text.front() != '/')
    reject(node, fmt::format("{} must be a JSON pointer: it begins with '/', or is empty for the whole", what));
  rapidjson::Pointer pointer(text.data(), text.size());
  if (!pointer.IsValid())
    reject(node, fmt::format("{} must be a JSON pointer: in it, '~' stands before 0 or 1 only", what));
  return pointer;
}

/// A mapping of names to JSON pointers.
void read_pointers(const YAML::Node& node, const std::string& place,
                   const std::map<std::string, DialectDefinition::Pointer*>& pointers) {
  yaml::Keys keys;
  for (const auto& entry : pointers)
    keys.emplace(entry.first, [what = place + "." + entry.first, pointer = entry.second](const YAML::Node& n) {
      *pointer = read_pointer(n, what.c_str());
    });
  read_mapping(node, place, keys);
}

void read_request(const YAML::Node& node, DialectDefinition::Request& request) {
  read_pointers(node, "dialects.request",
                {{"model", &request.model},
                 {"stream", &request.stream},
                 {"max_tokens", &request.max_tokens},
                 {"temperature", &request.temperature},
                 {"prompt", &request.prompt}});
}

void read_response(const YAML::Node& node, const std::string& place, DialectDefinition::Response& response) {
  read_pointers(node, place,
                {{"id", &response.id},
                 {"model", &response.model},
                 {"input_tokens", &response.input_tokens},
                 {"output_tokens", &response.output_tokens},
                 {"cached_input_tokens", &response.cached_input_tokens},
                 {"finish_reason", &response.finish_reason},
                 {"content", &response.content},
                 {"error", &response.error}});
}

/// Without what could not be in the path of a request, and so would never fit one.
std::string read_path_rule(const YAML::Node& node) {
  std::string path = read_bounded(node, "dialects.paths.path");
  if (!path.starts_with('/') || (path.size() > 1 && path.ends_with('/')) || path.find("//") != std::string::npos ||
      path.find_first_of("?#") != std::string::npos || !is_clean_text(path))
    reject(node, "dialects.paths.path must be '/' and segments with '/' between them, without '?' and '#'");
  for (std::size_t star = path.find('*'); star != std::string::npos; star = path.find('*', star + 1))
    if (path[star - 1] != '/' || (star + 1 < path.size() && path[star + 1] != '/'))
      reject(node, "in dialects.paths.path, '*' must be a whole segment");
  return path;
}

/// `known`: the paths of all dialects so far.
std::vector<DialectDefinition::Path> read_paths(const YAML::Node& node, std::set<std::string>& known) {
  if (!node.IsSequence()) reject(node, "dialects.paths must be a list of paths");
  std::vector<DialectDefinition::Path> paths;
  for (const auto& item : node) {
    if (paths.size() == path_limit) reject(item, fmt::format("a dialect may have at most {} paths", path_limit));
    DialectDefinition::Path path{.operation = "chat"};
    read_mapping(
        item, "a path of a dialect",
        {{"path",
          [&](const YAML::Node& n) {
            path.path = read_path_rule(n);
            if (!known.insert(path.path).second)
              reject(n, fmt::format("path '{}' stands twice in dialects", path.path));
          }},
         {"operation", [&](const YAML::Node& n) { path.operation = read_name(n, "dialects.paths.operation"); }}});
    if (path.path.empty()) reject(item, "a path of a dialect must have a path");
    paths.push_back(std::move(path));
  }
  return paths;
}

}  // namespace

std::vector<DialectDefinition> read_dialects(const YAML::Node& node) {
  if (!node.IsSequence()) reject(node, "dialects must be a list of dialects");
  std::vector<DialectDefinition> dialects;
  std::set<std::string> names;
  std::set<std::string> paths;
  for (const auto& item : node) {
    if (dialects.size() == dialect_limit) reject(item, fmt::format("there may be at most {} dialects", dialect_limit));
    DialectDefinition dialect;
    bool has_message = false;
    read_mapping(item, "a dialect",
                 {{"name",
                   [&](const YAML::Node& n) {
                     dialect.name = read_name(n, "dialects.name");
                     if (interpret::is_builtin_dialect(dialect.name))
                       reject(n, fmt::format("'{}' is the name of a built-in dialect", dialect.name));
                     if (!names.insert(dialect.name).second)
                       reject(n, fmt::format("dialect '{}' stands twice in dialects", dialect.name));
                   }},
                  {"provider", [&](const YAML::Node& n) { dialect.provider = read_name(n, "dialects.provider"); }},
                  {"paths", [&](const YAML::Node& n) { dialect.paths = read_paths(n, paths); }},
                  {"request", [&](const YAML::Node& n) { read_request(n, dialect.request); }},
                  {"response", [&](const YAML::Node& n) { read_response(n, "dialects.response", dialect.response); }},
                  {"message", [&](const YAML::Node& n) {
                     has_message = !n.IsNull();
                     read_response(n, "dialects.message", dialect.message);
                   }}});
    if (dialect.name.empty()) reject(item, "a dialect must have a name");
    if (dialect.paths.empty()) reject(item, "a dialect must have a path");
    if (dialect.provider.empty()) dialect.provider = dialect.name;
    if (!has_message) dialect.message = dialect.response;
    dialects.push_back(std::move(dialect));
  }
  return dialects;
}

}  // namespace inferscope::runtime
