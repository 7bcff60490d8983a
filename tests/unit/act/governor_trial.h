// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include <string>
#include <utility>
#include <vector>

#include "act/governor.h"

namespace inferscope::act::test {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

inline ProcessTarget process(Pid pid, const std::string& name) {
  ProcessTarget target;
  target.pid = pid;
  target.start_time_ns = 1;
  target.name = name;
  target.cgroup = "/" + name;
  target.cgroup_id = static_cast<std::uint64_t>(pid);
  return target;
}

/// A stopped server; with a culprit, one that is slow because of it.
inline Finding finding(const std::string& id, Pid server = 100, std::optional<Pid> culprit = {}) {
  Finding one;
  one.id = id;
  one.kind = culprit ? Finding::Kind::slow : Finding::Kind::stall;
  one.server = process(server, "server" + std::to_string(server));
  one.confidence = 1;
  one.measure.value = 2;
  one.measure.usual = 1;
  one.cause.share = 1;
  one.cause.kind = culprit ? Cause::Kind::cpu_contention : Cause::Kind::stopped;
  if (culprit) one.cause.culprit = process(*culprit, "batch" + std::to_string(*culprit));
  return one;
}

inline policy::Step signal_step(int number) {
  policy::Step step;
  step.action.kind = Action::Kind::signal;
  step.action.signal = number;
  return step;
}
inline policy::Step notify_step() {
  return {};
}
inline policy::Step throttle_step(policy::TargetKind target = policy::TargetKind::culprit, bool hold = false) {
  policy::Step step;
  step.action.kind = Action::Kind::throttle;
  step.action.quota = 0.2;
  step.action.lease = seconds(30);
  step.target = target;
  step.hold = hold;
  return step;
}

inline policy::Policy continues(std::vector<policy::Step> steps = {}) {
  policy::Policy one;
  one.name = "continues";
  one.mode = policy::Mode::enforce;
  one.match.kind = Finding::Kind::stall;
  one.match.causes = {Cause::Kind::stopped};
  one.steps = std::move(steps);
  if (one.steps.empty()) one.steps.push_back(signal_step(SIGCONT));
  one.rate_count = 100;
  return one;
}
inline policy::Policy throttles(std::vector<policy::Step> steps = {}) {
  if (steps.empty()) steps.push_back(throttle_step());
  policy::Policy one = continues(std::move(steps));
  one.name = "throttles";
  one.match.kind = Finding::Kind::slow;
  one.match.causes = {Cause::Kind::cpu_contention};
  return one;
}

inline GovernorOptions armed() {
  GovernorOptions options;
  options.armed = true;
  options.host_rate_count = 100;
  return options;
}

/// A governor, what it said, and an actuator that does what a test lets it do.
class Trial {
 public:
  explicit Trial(std::vector<policy::Policy> policies, GovernorOptions options = armed())
      : governor({std::move(policies)}, options) {}

  /// Opens or updates; data is as new as `now`.
  void tell(Finding one, FindingUpdate::Kind kind = FindingUpdate::Kind::updated) {
    if (one.measure.time == Time{}) one.measure.time = now;
    governor.on(FindingUpdate{kind, one, now}, decide, judge);
  }
  void tell(Finding one, double ratio) {
    one.measure.value = ratio;
    tell(std::move(one));
  }
  void close(Finding one) {
    one.end = now;
    tell(std::move(one), FindingUpdate::Kind::closed);
  }
  void wait(Duration time) {
    now += time;
    governor.tick(now, decide, judge);
  }

  Effect effect_of(const Decision& decision, Effect::State state) const {
    Effect effect;
    effect.id = "effect of " + decision.id;
    effect.decision = decision;
    effect.state = state;
    effect.begin = now;
    effect.lease_until = now + decision.action.lease;
    return effect;
  }
  void report(const Decision& decision, Effect::State state) { governor.on(effect_of(decision, state)); }
  void end(const Decision& decision, Effect::EndedBy why) {
    Effect effect = effect_of(decision, Effect::State::ended);
    effect.ended_by = why;
    effect.end = now;
    governor.on(effect);
  }

  [[nodiscard]] const Decision& last() const { return decisions.back(); }
  /// Verdicts and, for refusals, their codes, in order: "act would_act cooldown".
  [[nodiscard]] std::string said() const {
    std::string text;
    for (const Decision& one : decisions) {
      if (!text.empty()) text += ' ';
      text += one.verdict == Decision::Verdict::refused ? one.reason.substr(0, one.reason.find(':'))
                                                        : std::string(name_of(one.verdict));
    }
    return text;
  }
  [[nodiscard]] std::string judged() const {
    std::string text;
    for (const Judgement& one : judgements) {
      if (!text.empty()) text += ' ';
      text += name_of(one.outcome);
      if (one.undo) text += "+undo:" + std::string(name_of(one.why));
    }
    return text;
  }

  Time now{seconds(1000)};
  bool automatic = true;  ///< effects are told at once, leases ended when they are to be
  std::vector<Decision> decisions{};
  std::vector<Judgement> judgements{};
  Governor governor;

  Emit<Decision> decide = [this](const Decision& decision) {
    decisions.push_back(decision);
    if (!automatic || decision.verdict == Decision::Verdict::refused) return;
    report(decision, decision.verdict == Decision::Verdict::act ? Effect::State::active : Effect::State::would_have);
  };
  Emit<Judgement> judge = [this](const Judgement& judgement) {
    judgements.push_back(judgement);
    if (!automatic || !judgement.undo) return;
    for (const Decision& one : decisions)
      if ("effect of " + one.id == judgement.effect && one.verdict == Decision::Verdict::act) end(one, judgement.why);
  };
};

}  // namespace inferscope::act::test
