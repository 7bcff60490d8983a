// SPDX-License-Identifier: Apache-2.0
#include "policy/policy_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "policy/reading.h"
#include "policy/shipped.h"
#include "yaml/reader.h"

namespace inferscope::policy {
namespace {

constexpr const char* remedy = "docs/policies.md describes every key";

std::vector<WrittenPolicy> read_root(const YAML::Node& root, Reading& reading) {
  if (!root.IsMap()) yaml::reject(root, "a policy file holds one policy, or a list of them under 'policies'");
  const YAML::Node list = root["policies"];
  if (!list.IsDefined()) return {read_policy(root, reading)};
  std::vector<WrittenPolicy> written;
  yaml::read_mapping(root, "a policy file",
                     {{"policies", [&](const YAML::Node& node) {
                         if (!node.IsSequence()) yaml::reject(node, "policies must be a list");
                         if (node.size() > policies_limit)
                           yaml::reject(node, fmt::format("policies may be at most {}", policies_limit));
                         std::set<std::string> names;
                         for (const auto& item : node) {
                           written.push_back(read_policy(item, reading));
                           if (const auto& name = written.back().policy.name; !names.insert(name).second)
                             yaml::reject(item, fmt::format("there are two policies named '{}'", name));
                         }
                       }}});
  return written;
}

Error usage(std::string cause, std::string what_to_do) {
  return {std::move(cause), std::move(what_to_do), Error::Kind::usage};
}

/// The files that a path means: itself, or what is in a folder.
Result<std::vector<std::string>> files_of(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) return std::vector{path};
  std::vector<std::string> files;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".yaml") files.push_back(at->path().string());
  if (error) return usage(fmt::format("cannot read the folder {}: {}", path, error.message()), "check its permissions");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Result<std::vector<WrittenPolicy>> parse_policies(std::string_view text, const std::string& name) {
  if (text.size() > file_limit_bytes)
    return usage(fmt::format("{}:1:1: is longer than {} bytes", name, file_limit_bytes), "split it into several files");
  std::vector<WrittenPolicy> written;
  Reading reading{name, case_entries_limit};
  if (auto status =
          yaml::parse(text, name, remedy, [&](const YAML::Node& root) { written = read_root(root, reading); });
      !status)
    return status.error();
  if (written.empty()) return usage(fmt::format("{}:1:1: holds no policy", name), remedy);
  return written;
}

Result<std::vector<WrittenPolicy>> load_policies(const std::vector<std::string>& paths) {
  std::vector<WrittenPolicy> all;
  std::map<std::string, std::string> sources;
  for (const std::string& path : paths) {
    const auto files = files_of(path);
    if (!files) return files.error();
    for (const std::string& file : *files) {
      const auto text = yaml::read_file(file, "policy");
      if (!text) return text.error();
      auto written = parse_policies(*text, file);
      if (!written) return written.error();
      for (WrittenPolicy& one : *written) {
        const auto [found, fresh] = sources.emplace(one.policy.name, one.policy.source);
        if (!fresh)
          return usage(fmt::format("{}: the policy '{}' is there already, at {}", one.policy.source, one.policy.name,
                                   found->second),
                       "give each policy a name of its own");
        all.push_back(std::move(one));
      }
    }
  }
  return all;
}

Plan plan_of(const std::vector<WrittenPolicy>& written) {
  Plan plan;
  for (const WrittenPolicy& one : written) plan.policies.push_back(one.policy);
  return plan;
}

const Plan& shipped_plan() {
  // Tests parse what is shipped; what did not parse would be missing here, and nothing would act.
  static const Plan plan = [] {
    Plan all;
    for (const ShippedFile& file : shipped_files())
      if (const auto written = parse_policies(file.text, std::string(file.name)))
        for (const WrittenPolicy& one : *written) all.policies.push_back(one.policy);
    return all;
  }();
  return plan;
}

}  // namespace inferscope::policy
