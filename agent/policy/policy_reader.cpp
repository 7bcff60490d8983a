// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>

#include "model/text.h"
#include "policy/policy_file.h"
#include "policy/reading.h"
#include "yaml/reader.h"

namespace inferscope::policy {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using yaml::reject;

/// Where the parts stand that are judged once all is read. What is not written stands where its parent does.
struct Places {
  explicit Places(const YAML::Node& root) : match(root), culprit(root), verify(root), rate(root) {}

  YAML::Node match;
  YAML::Node culprit;
  YAML::Node verify;
  YAML::Node rate;
  YAML::Node min_ratio{};
  std::vector<YAML::Node> steps{};
  YAML::Node cases{};
};

bool name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

std::string read_name(const YAML::Node& node) {
  std::string name = yaml::read_text(node, "name");
  if (name.empty() || name.size() > 64 || !std::all_of(name.begin(), name.end(), name_character))
    reject(node, "name must be 1 to 64 of a-z, 0-9, '-' and '_'");
  return name;
}

/// A paragraph, however its lines were broken.
std::string read_paragraph(const YAML::Node& node) {
  std::string text = yaml::read_text(node, "description");
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (text.ends_with(' ')) text.pop_back();
  if (!is_clean_text(text, 4096)) reject(node, "description must be at most 4096 bytes, without control characters");
  return text;
}

auto pattern_into(const char* what, std::string& pattern) {
  return [what, &pattern](const YAML::Node& n) {
    pattern = read_line(n, what, text_limit_bytes);
    if (pattern.find_first_not_of('*') == std::string::npos)
      reject(n, fmt::format("{} '{}' matches anything: leave it out", what, pattern));
  };
}

std::vector<Cause::Kind> read_causes(const YAML::Node& node) {
  if (!node.IsSequence()) return {read_cause(node)};
  std::vector<Cause::Kind> causes;
  for (const auto& item : node) {
    causes.push_back(read_cause(item));
    if (std::find(causes.begin(), causes.end() - 1, causes.back()) != causes.end() - 1)
      reject(item, fmt::format("cause {} stands twice", name_of(causes.back())));
  }
  if (causes.empty()) reject(node, "cause is an empty list: leave it out for any");
  return causes;
}

void read_match(const YAML::Node& node, Match& match, Places& places) {
  if (!node.IsMap()) reject(node, "match must be a mapping");
  places.match.reset(node);  // assigning a Node would write into the tree
  bool kind = false;
  const auto number = [](const char* what, double& value, double low, double high) {
    return [=, &value](const YAML::Node& n) { value = yaml::read_fraction(n, what, low, high); };
  };
  yaml::read_mapping(
      node, "match",
      {{"finding",
        [&](const YAML::Node& n) {
          match.kind = read_finding_kind(n);
          kind = true;
        }},
       {"cause", [&](const YAML::Node& n) { match.causes = read_causes(n); }},
       {"min_confidence", number("min_confidence", match.min_confidence, 0, 1)},
       {"min_share", number("min_share", match.min_share, 0, 1)},
       {"min_ratio",
        [&](const YAML::Node& n) {
          match.min_ratio = yaml::read_fraction(n, "min_ratio", 1, 1000);
          places.min_ratio.reset(n);
        }},
       {"lasting",
        [&](const YAML::Node& n) { match.lasting = yaml::read_duration(n, "lasting", milliseconds(0), hours(1)); }},
       {"model", pattern_into("model", match.model)},
       {"server",
        [&](const YAML::Node& n) {
          yaml::read_mapping(n, "server",
                             {{"executable", pattern_into("server.executable", match.server_executable)},
                              {"name", pattern_into("server.name", match.server_name)},
                              {"cgroup", pattern_into("server.cgroup", match.server_cgroup)}});
        }},
       {"culprit", [&](const YAML::Node& n) {
          places.culprit.reset(n);
          yaml::read_mapping(n, "culprit",
                             {{"name", pattern_into("culprit.name", match.culprit_name)},
                              {"cgroup", pattern_into("culprit.cgroup", match.culprit_cgroup)}});
        }}});
  if (!kind) reject(node, "match needs 'finding': stall, down, slow or errors");
}

void read_steps(const YAML::Node& node, std::vector<Step>& steps, Places& places) {
  if (!node.IsSequence()) reject(node, "steps must be a list");
  if (node.size() > steps_limit) reject(node, fmt::format("steps may be at most {}", steps_limit));
  for (const auto& item : node) {
    steps.push_back(read_step(item));
    places.steps.push_back(item);
  }
}

void read_verify(const YAML::Node& node, Verify& verify) {
  yaml::read_mapping(
      node, "verify",
      {{"within",
        [&](const YAML::Node& n) { verify.within = yaml::read_duration(n, "within", milliseconds(100), minutes(10)); }},
       {"recovered_below",
        [&](const YAML::Node& n) { verify.recovered_below = yaml::read_fraction(n, "recovered_below", 1, 1000); }},
       {"worse_above",
        [&](const YAML::Node& n) { verify.worse_above = yaml::read_fraction(n, "worse_above", 1, 1000); }}});
}

void read_rate(const YAML::Node& node, Policy& policy) {
  yaml::read_mapping(node, "rate",
                     {{"count",
                       [&](const YAML::Node& n) {
                         policy.rate_count = static_cast<std::uint32_t>(yaml::read_number(n, "count", 1, 1000));
                       }},
                      {"window", [&](const YAML::Node& n) {
                         policy.rate_window = yaml::read_duration(n, "window", seconds(1), hours(24));
                       }}});
}

bool has(const std::vector<Cause::Kind>& causes, Cause::Kind kind) {
  return std::find(causes.begin(), causes.end(), kind) != causes.end();
}

/// Whether a match picks some findings of its kind. "unknown" and "none" are what every unexplained finding has.
bool narrow(const Match& match) {
  const bool explained =
      !match.causes.empty() && !has(match.causes, Cause::Kind::unknown) && !has(match.causes, Cause::Kind::none);
  return explained || !match.server_executable.empty() || !match.server_name.empty() || !match.server_cgroup.empty() ||
         !match.culprit_name.empty() || !match.culprit_cgroup.empty();
}

void check_step(const Step& step, bool acted_before, const Match& match, bool culprits, const YAML::Node& place) {
  if (step.action.kind == Action::Kind::notify) return;
  if (!narrow(match))
    reject(place, fmt::format("this would act on every server with a finding '{}': match needs a cause (other than "
                              "unknown and none), or a pattern for the server or the culprit",
                              name_of(match.kind)));
  if (step.target == TargetKind::culprit && !culprits)
    reject(place, "only cpu_contention has a culprit: match needs 'cause: cpu_contention' and no other");
  if (step.target == TargetKind::server && has(match.causes, Cause::Kind::exited))
    reject(place, "with cause 'exited' the server is gone: there is nothing to act on");
  if (step.action.signal == SIGKILL && !acted_before)
    reject(place, "KILL may not be the first thing that is done: put a gentler step before it");
}

/// What each part allows and the whole does not.
void check(const Policy& policy, const Places& places, const YAML::Node& root) {
  const Match& match = policy.match;
  if (policy.name.empty()) reject(root, "a policy needs a name");
  if (places.match.is(root)) reject(root, "a policy needs 'match'");
  if (policy.steps.empty()) reject(root, "a policy needs at least one step");
  const bool culprits = match.causes == std::vector{Cause::Kind::cpu_contention};
  if ((!match.culprit_name.empty() || !match.culprit_cgroup.empty()) && !culprits)
    reject(places.culprit, "only cpu_contention has a culprit: match needs 'cause: cpu_contention' and no other");
  bool acted = false;
  for (std::size_t i = 0; i < policy.steps.size(); ++i) {
    check_step(policy.steps[i], acted, match, culprits, places.steps[i]);
    acted = acted || policy.steps[i].action.kind != Action::Kind::notify;
  }
  if (policy.verify.recovered_below >= policy.verify.worse_above)
    reject(places.verify, fmt::format("verify.recovered_below ({}) must be less than verify.worse_above ({})",
                                      policy.verify.recovered_below, policy.verify.worse_above));
  if (match.min_ratio > 0 && match.min_ratio < policy.verify.recovered_below)
    reject(places.min_ratio,
           fmt::format("min_ratio ({}) is less than verify.recovered_below ({}): such a finding would "
                       "count as recovered before anything is done",
                       match.min_ratio, policy.verify.recovered_below));
  if (policy.steps.size() > policy.rate_count)
    reject(places.rate, fmt::format("rate.count ({}) is less than the number of steps ({}): the last would never come",
                                    policy.rate_count, policy.steps.size()));
}

}  // namespace

std::string source_of(const YAML::Node& node, const Reading& reading) {
  return fmt::format("{}:{}", reading.file, node.Mark().line + 1);
}

Cause::Kind read_cause(const YAML::Node& node) {
  const auto cause = cause_kind_of(yaml::read_text(node, "cause"));
  if (!cause) reject(node, "cause must be one of unknown, none, stopped, frozen, throttled, cpu_contention, exited");
  return *cause;
}

Finding::Kind read_finding_kind(const YAML::Node& node) {
  const auto kind = finding_kind_of(yaml::read_text(node, "finding"));
  if (!kind) reject(node, "finding must be one of stall, down, slow, errors");
  return *kind;
}

Mode read_mode(const YAML::Node& node) {
  return yaml::read_choice(node, "mode", {"observe", "enforce"}) == "enforce" ? Mode::enforce : Mode::observe;
}

WrittenPolicy read_policy(const YAML::Node& node, Reading& reading) {
  if (!node.IsMap()) reject(node, "a policy must be a mapping");
  WrittenPolicy written;
  Policy& policy = written.policy;
  policy.source = source_of(node, reading);
  Places places(node);
  yaml::read_mapping(
      node, "a policy",
      {{"name", [&](const YAML::Node& n) { policy.name = read_name(n); }},
       {"description", [&](const YAML::Node& n) { policy.description = read_paragraph(n); }},
       {"mode", [&](const YAML::Node& n) { policy.mode = read_mode(n); }},
       {"match", [&](const YAML::Node& n) { read_match(n, policy.match, places); }},
       {"steps", [&](const YAML::Node& n) { read_steps(n, policy.steps, places); }},
       {"verify",
        [&](const YAML::Node& n) {
          read_verify(n, policy.verify);
          places.verify.reset(n);
        }},
       {"cooldown",
        [&](const YAML::Node& n) { policy.cooldown = yaml::read_duration(n, "cooldown", seconds(1), hours(24)); }},
       {"rate",
        [&](const YAML::Node& n) {
          read_rate(n, policy);
          places.rate.reset(n);
        }},
       {"cases", [&](const YAML::Node& n) { places.cases.reset(n); }}});
  check(policy, places, node);
  if (!places.cases.IsNull()) written.cases = read_cases(places.cases, policy, reading);
  return written;
}

}  // namespace inferscope::policy
