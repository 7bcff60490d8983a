// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "act/case_runner.h"
#include "cli/cli.h"
#include "policy/describe.h"
#include "policy/policy_file.h"
#include "policy/shipped.h"

namespace inferscope::cli {
namespace {

using Json = rapidjson::Writer<rapidjson::StringBuffer>;

struct PolicyOptions {
  std::vector<std::string> paths{};
  std::string name{};
  bool json = false;
};

void text(Json& json, const char* key, std::string_view value) {
  json.Key(key);
  json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}

/// One object on a line.
template <class Write>
void print_json(const Write& write) {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  json.StartObject();
  write(json);
  json.EndObject();
  fmt::print("{}\n", buffer.GetString());
}

std::vector<std::string> steps_of(const policy::Policy& policy) {
  std::vector<std::string> steps;
  for (const policy::Step& step : policy.steps) steps.push_back(policy::describe(step));
  return steps;
}

Result<std::vector<policy::WrittenPolicy>> load(const std::vector<std::string>& paths) {
  auto written = policy::load_policies(paths);
  if (written && written->empty())
    return Error{fmt::format("there is no policy in {}", fmt::join(paths, ", ")), "give files, or folders of *.yaml",
                 Error::Kind::usage};
  return written;
}

void print_check(const policy::WrittenPolicy& written) {
  const policy::Policy& policy = written.policy;
  print_json([&](Json& json) {
    text(json, "name", policy.name);
    text(json, "mode", policy::name_of(policy.mode));
    text(json, "match", policy::describe(policy.match));
    json.Key("steps");
    json.StartArray();
    for (const std::string& step : steps_of(policy))
      json.String(step.data(), static_cast<rapidjson::SizeType>(step.size()));
    json.EndArray();
    json.Key("cases");
    json.Uint64(written.cases.size());
    text(json, "source", policy.source);
  });
}

int check(const PolicyOptions& options) {
  const auto written = load(options.paths);
  if (!written) return fail(written.error());
  std::size_t width = 0;
  for (const auto& one : *written) width = std::max(width, one.policy.name.size());
  for (const auto& one : *written) {
    if (options.json)
      print_check(one);
    else
      fmt::print("{:<{}}  {:<7}  {}: {}  ({})\n", one.policy.name, width, policy::name_of(one.policy.mode),
                 policy::describe(one.policy.match), fmt::join(steps_of(one.policy), ", then "), one.policy.source);
  }
  return exit_done;
}

void print_case(const PolicyOptions& options, const std::string& policy, std::size_t width, const policy::Case& one,
                const act::CaseResult& result) {
  if (!options.json) {
    fmt::print("{:<6}  {:<{}}  {}\n", result.passed ? "ok" : "FAILED", policy, width, one.name);
    if (!result.passed)
      fmt::print("        {}\n        expected  {}\n        got       {}\n", one.source, result.expected, result.got);
    return;
  }
  print_json([&](Json& json) {
    text(json, "policy", policy);
    text(json, "case", one.name);
    json.Key("passed");
    json.Bool(result.passed);
    if (!result.passed) {
      text(json, "expected", result.expected);
      text(json, "got", result.got);
    }
    text(json, "source", one.source);
  });
}

int test(const PolicyOptions& options) {
  const auto written = load(options.paths);
  if (!written) return fail(written.error());
  std::size_t width = 0;
  for (const auto& one : *written) width = std::max(width, one.policy.name.size());
  std::size_t cases = 0;
  std::size_t failed = 0;
  for (const auto& [policy, policy_cases] : *written) {
    if (policy_cases.empty())
      fmt::print(stderr, "inferscope: the policy '{}' ({}) has no cases\n", policy.name, policy.source);
    for (const policy::Case& one : policy_cases) {
      const act::CaseResult result = act::run_case(policy, one);
      ++cases;
      if (!result.passed) ++failed;
      print_case(options, policy.name, width, one, result);
    }
  }
  if (!options.json) fmt::print("{} cases of {} policies, {} failed\n", cases, written->size(), failed);
  return failed == 0 ? exit_done : exit_failed;
}

int show(const PolicyOptions& options) {
  std::vector<std::string> names;
  for (const policy::ShippedFile& file : policy::shipped_files()) {
    std::string_view name = file.name.substr(file.name.rfind('/') + 1);
    name.remove_suffix(std::string_view(".yaml").size());
    names.emplace_back(name);
    if (!options.name.empty() && name != options.name) continue;
    if (options.json)
      print_json([&](Json& json) {
        text(json, "file", file.name);
        text(json, "text", file.text);
      });
    else
      fmt::print("{}{}", options.name.empty() ? fmt::format("---  # {}\n", file.name) : "", file.text);
    if (!options.name.empty()) return exit_done;
  }
  if (options.name.empty()) return exit_done;
  return fail({fmt::format("no policy '{}' is shipped", options.name),
               fmt::format("there are: {}", fmt::join(names, ", ")), Error::Kind::usage});
}

}  // namespace

void add_policy(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("policy", "Check and test the policies that say what is done about findings");
  command->require_subcommand(0, 1);  // that there is none is said below: a wrong one would be told as a missing one
  command->callback([command, &chosen] {
    if (!command->get_subcommands().empty()) return;
    chosen = [command] {
      fmt::print(stderr, "inferscope: what to do with policies is missing\n\n{}", command->help());
      return exit_usage;
    };
  });
  const auto options = std::make_shared<PolicyOptions>();
  const auto add = [&](const char* name, const char* what, int (*run)(const PolicyOptions&)) {
    auto* sub = command->add_subcommand(name, what);
    sub->add_flag("--json", options->json, "One JSON object a line");
    sub->callback([options, run, &chosen] { chosen = [options, run] { return run(*options); }; });
    return sub;
  };
  const char* paths = "Files, or folders of *.yaml";
  add("check", "Say what each policy would do, or where it is wrong", check)
      ->add_option("path", options->paths, paths)
      ->required();
  add("test", "Run the cases that stand in the files", test)->add_option("path", options->paths, paths)->required();
  add("show", "Print the policies that are built in", show)->add_option("name", options->name, "Only this one");
}

}  // namespace inferscope::cli
