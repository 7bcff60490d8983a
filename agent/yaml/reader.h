// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/time.h"

/// Strict reading of YAML files: every key is known, every value has its type and bounds, and every mistake is told
/// with its line and column. The functions here may be called inside `parse` only, which turns what they throw into an
/// Error.
namespace inferscope::yaml {

[[noreturn]] void reject(const YAML::Node& node, const std::string& message);

/// Walks the keys of a mapping; each known key has a function, all others are refused.
using Keys = std::map<std::string, std::function<void(const YAML::Node&)>>;
void read_mapping(const YAML::Node& node, const std::string& place, const Keys& keys);

std::string read_text(const YAML::Node& node, const char* what);
bool read_bool(const YAML::Node& node, const char* what);
/// A number of bytes: 4096, 64KiB, 8MiB, 1GiB.
std::uint64_t read_bytes(const YAML::Node& node, const char* what, std::uint64_t low, std::uint64_t high);
std::uint64_t read_number(const YAML::Node& node, const char* what, std::uint64_t low, std::uint64_t high);
double read_fraction(const YAML::Node& node, const char* what, double low, double high);
/// 500ms, 10s, 2m.
Duration read_duration(const YAML::Node& node, const char* what, Duration low, Duration high);
std::string read_choice(const YAML::Node& node, const char* what, const std::vector<std::string>& choices);
/// What the file names goes before what is there; the rest stays.
void read_texts(const YAML::Node& node, const char* what, std::map<std::string, std::string>& texts);

/// Reads `text` with `read`. Errors begin with "NAME:LINE:COLUMN: ".
using ReadRoot = std::function<void(const YAML::Node&)>;
Status parse(std::string_view text, const std::string& name, const std::string& remedy, const ReadRoot& read);

/// A whole file. `what` names it in the error: "configuration".
Result<std::string> read_file(const std::string& path, const char* what);

}  // namespace inferscope::yaml
