// SPDX-License-Identifier: Apache-2.0
#include "policy/describe.h"

#include <fmt/format.h>

#include <vector>

#include "model/names.h"

namespace inferscope::policy {
namespace {

constexpr NameTable<Mode, 2> mode_names{{{Mode::observe, "observe"}, {Mode::enforce, "enforce"}}};
constexpr NameTable<TargetKind, 3> target_names{
    {{TargetKind::server, "server"}, {TargetKind::culprit, "culprit"}, {TargetKind::cgroup, "cgroup"}}};

std::string action_text(const Action& action, const std::string& target) {
  switch (action.kind) {
    case Action::Kind::notify:
      return action.url.empty() ? "notify (log only)" : fmt::format("notify {}", action.url);
    case Action::Kind::signal:
      return fmt::format("signal {} to {}", signal_name(action.signal), target);
    case Action::Kind::throttle:
      return fmt::format("throttle {} to {} processors", target, action.quota);
    case Action::Kind::weight:
      return fmt::format("weight of {} to {}", target, text_of_weight(action.weight));
    case Action::Kind::freeze:
      return fmt::format("freeze {}", target);
  }
  return {};
}

}  // namespace

std::string_view name_of(Mode mode) {
  return name_in(mode_names, mode);
}
std::string_view name_of(TargetKind target) {
  return name_in(target_names, target);
}

std::string text_of(Duration duration) {
  const double seconds = to_seconds(duration);
  return seconds < 1     ? fmt::format("{:g} ms", seconds * 1000)
         : seconds < 120 ? fmt::format("{:g} s", seconds)
                         : fmt::format("{:g} min", seconds / 60);
}

std::string describe(const Step& step) {
  std::string text =
      action_text(step.action, step.target == TargetKind::cgroup ? step.cgroup : std::string(name_of(step.target)));
  if (step.action.lease > Duration::zero()) text += " for " + text_of(step.action.lease);
  if (step.hold) text += " (held)";
  return text;
}

std::string describe(const Match& match) {
  std::string text(name_of(match.kind));
  if (!match.causes.empty()) {
    std::vector<std::string_view> causes;
    for (const Cause::Kind cause : match.causes) causes.push_back(name_of(cause));
    text += fmt::format(", cause {}", fmt::join(causes, " or "));
  }
  text += fmt::format(", confidence from {:g}", match.min_confidence);
  if (match.min_share > 0) text += fmt::format(", share from {:g}", match.min_share);
  if (match.min_ratio > 0) text += fmt::format(", ratio from {:g}", match.min_ratio);
  if (match.lasting > Duration::zero()) text += fmt::format(", lasting {}", text_of(match.lasting));
  const auto pattern = [&text](const char* what, const std::string& one) {
    if (!one.empty()) text += fmt::format(", {} {}", what, one);
  };
  pattern("server", match.server_name);
  pattern("executable", match.server_executable);
  pattern("server's cgroup", match.server_cgroup);
  pattern("model", match.model);
  pattern("culprit", match.culprit_name);
  pattern("culprit's cgroup", match.culprit_cgroup);
  return text;
}

}  // namespace inferscope::policy
