// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstddef>
#include <string>
#include <vector>

#include "policy/case.h"
#include "policy/plan.h"

/// The parts of a policy file. For use inside yaml::parse: they throw what it catches.
namespace inferscope::policy {

/// Where reading is, and what a file may still use up.
struct Reading {
  const std::string& file;
  std::size_t case_entries_left;
};

std::string source_of(const YAML::Node& node, const Reading& reading);
/// Without control characters, and not empty.
std::string read_line(const YAML::Node& node, const char* what, std::size_t most_bytes);

Step read_step(const YAML::Node& node);
WrittenPolicy read_policy(const YAML::Node& node, Reading& reading);
std::vector<Case> read_cases(const YAML::Node& node, const Policy& policy, Reading& reading);

Cause::Kind read_cause(const YAML::Node& node);
Finding::Kind read_finding_kind(const YAML::Node& node);
Mode read_mode(const YAML::Node& node);
/// A step's target in the words of the language.
void read_target(const YAML::Node& node, Step& step);

}  // namespace inferscope::policy
