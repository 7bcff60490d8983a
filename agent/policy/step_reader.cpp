// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "model/text.h"
#include "policy/reading.h"
#include "yaml/reader.h"

namespace inferscope::policy {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using yaml::reject;

/// What holds a whole group still must end before anybody's time-out does.
constexpr Duration still_limit = seconds(60);
constexpr Duration slow_limit = hours(1);

std::string read_cgroup_path(const YAML::Node& node) {
  std::string path = read_line(node, "cgroup", 1024);
  if (path == "/") reject(node, "a target may not be the root cgroup");
  if (!path.starts_with('/') || path.ends_with('/'))
    reject(node, "cgroup must be a path from the root of the hierarchy, such as /system.slice/batch.service");
  const std::string framed = path + "/";
  if (framed.find("//") != std::string::npos || framed.find("/./") != std::string::npos ||
      framed.find("/../") != std::string::npos)
    reject(node, "cgroup must be a path without '.', '..' and empty parts");
  return path;
}

/// For an action that is taken back: how long at most, and whether it outlives the finding.
yaml::Keys lease_keys(Step& step, Duration most) {
  return {
      {"for", [&step, most](
                  const YAML::Node& n) { step.action.lease = yaml::read_duration(n, "for", milliseconds(100), most); }},
      {"hold", [&step](const YAML::Node& n) { step.hold = yaml::read_bool(n, "hold"); }}};
}

/// throttle, weight, freeze: `own` are the keys that only this one has.
void read_cgroup_action(const YAML::Node& node, const std::string& what, Duration most, Step& step, yaml::Keys own) {
  if (!node.IsMap()) reject(node, fmt::format("{} must be a mapping", what));
  bool targeted = false;
  own.merge(lease_keys(step, most));
  own.emplace("target", [&](const YAML::Node& n) {
    read_target(n, step);
    targeted = true;
  });
  yaml::read_mapping(node, what, own);
  if (!targeted) reject(node, fmt::format("{} needs a target: server, culprit or {{cgroup: PATH}}", what));
  if (step.action.lease == Duration::zero()) reject(node, fmt::format("{} needs 'for': it is always taken back", what));
}

void read_throttle(const YAML::Node& node, Step& step) {
  step.action.kind = Action::Kind::throttle;
  read_cgroup_action(
      node, "throttle", slow_limit, step,
      {{"quota", [&](const YAML::Node& n) { step.action.quota = yaml::read_fraction(n, "quota", 0.01, 1024); }}});
  if (step.action.quota == 0) reject(node, "throttle needs a quota, in processors");
}

std::uint32_t read_weight_value(const YAML::Node& node) {
  if (node.IsScalar() && node.Scalar() == text_of_weight(idle_weight)) return idle_weight;
  return static_cast<std::uint32_t>(yaml::read_number(node, "value", 1, 10000));
}

void read_weight(const YAML::Node& node, Step& step) {
  step.action.kind = Action::Kind::weight;
  bool valued = false;
  read_cgroup_action(node, "weight", slow_limit, step, {{"value", [&](const YAML::Node& n) {
                                                           step.action.weight = read_weight_value(n);
                                                           valued = true;
                                                         }}});
  if (!valued) reject(node, "weight needs a value: idle, or from 1 to 10000");
}

void read_freeze(const YAML::Node& node, Step& step) {
  step.action.kind = Action::Kind::freeze;
  read_cgroup_action(node, "freeze", still_limit, step, {});
}

int read_signal_name(const YAML::Node& node) {
  const auto signal = signal_of(yaml::read_text(node, "signal"));
  if (!signal) reject(node, "signal must be one of STOP, CONT, TERM, KILL, USR1, USR2, HUP");
  return *signal;
}

void read_signal(const YAML::Node& node, Step& step) {
  step.action.kind = Action::Kind::signal;
  if (node.IsMap()) {
    yaml::Keys keys = lease_keys(step, still_limit);
    keys.emplace("name", [&](const YAML::Node& n) { step.action.signal = read_signal_name(n); });
    keys.emplace("target", [&](const YAML::Node& n) {
      read_target(n, step);
      if (step.target == TargetKind::cgroup) reject(n, "a signal goes to one process: server or culprit");
    });
    yaml::read_mapping(node, "signal", keys);
    if (step.action.signal == 0) reject(node, "signal needs a name");
  } else {
    step.action.signal = read_signal_name(node);
  }
  const bool leased = step.action.lease > Duration::zero();
  if (step.action.signal == SIGSTOP && !leased) reject(node, "signal STOP needs 'for': it is always taken back");
  if (step.action.signal != SIGSTOP && (leased || step.hold))
    reject(node, "'for' and 'hold' are for STOP: no other signal can be taken back");
}

std::string read_url(const YAML::Node& node) {
  std::string url = read_line(node, "url", 2048);
  const std::size_t scheme = url.starts_with("https://") ? 8 : url.starts_with("http://") ? 7 : 0;
  if (scheme == 0) reject(node, "url must begin with https:// or http://");
  const std::string authority = url.substr(scheme, url.find_first_of("/?#", scheme) - scheme);
  if (authority.empty() || authority.front() == ':') reject(node, "url names no host");
  if (authority.find('@') != std::string::npos) reject(node, "url must not hold a password: use secret_file");
  if (std::any_of(url.begin(), url.end(), [](char c) { return c <= ' ' || c > '~'; }))
    reject(node, "url must be ASCII without spaces");
  return url;
}

void read_notify(const YAML::Node& node, Step& step) {
  step.action.kind = Action::Kind::notify;
  yaml::read_mapping(node, "notify",
                     {{"url", [&](const YAML::Node& n) { step.action.url = read_url(n); }},
                      {"secret_file", [&](const YAML::Node& n) {
                         step.action.secret_file = read_line(n, "secret_file", 1024);
                         if (!step.action.secret_file.starts_with('/')) reject(n, "secret_file must be a whole path");
                       }}});
  if (step.action.url.empty() && !step.action.secret_file.empty())
    reject(node, "notify has a secret_file but no url that is signed with it");
}

}  // namespace

std::string read_line(const YAML::Node& node, const char* what, std::size_t most_bytes) {
  std::string text = yaml::read_text(node, what);
  if (text.empty()) reject(node, fmt::format("{} must not be empty", what));
  if (!is_clean_text(text, most_bytes))
    reject(node, fmt::format("{} must be one line of at most {} bytes, without control characters", what, most_bytes));
  return text;
}

void read_target(const YAML::Node& node, Step& step) {
  if (node.IsMap()) {
    step.target = TargetKind::cgroup;
    yaml::read_mapping(node, "target", {{"cgroup", [&](const YAML::Node& n) { step.cgroup = read_cgroup_path(n); }}});
    if (step.cgroup.empty()) reject(node, "target names no cgroup");
    return;
  }
  if (!node.IsScalar()) reject(node, "target must be server, culprit or {cgroup: PATH}");
  step.target =
      yaml::read_choice(node, "target", {"server", "culprit"}) == "server" ? TargetKind::server : TargetKind::culprit;
}

Step read_step(const YAML::Node& node) {
  if (!node.IsMap() || node.size() != 1) reject(node, "a step must be one action, such as 'signal: CONT'");
  Step step;
  yaml::read_mapping(node, "a step",
                     {{"notify", [&](const YAML::Node& n) { read_notify(n, step); }},
                      {"signal", [&](const YAML::Node& n) { read_signal(n, step); }},
                      {"throttle", [&](const YAML::Node& n) { read_throttle(n, step); }},
                      {"weight", [&](const YAML::Node& n) { read_weight(n, step); }},
                      {"freeze", [&](const YAML::Node& n) { read_freeze(n, step); }}});
  return step;
}

}  // namespace inferscope::policy
