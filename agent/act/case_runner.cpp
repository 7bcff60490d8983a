// SPDX-License-Identifier: Apache-2.0
#include "act/case_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <variant>
#include <vector>

#include "act/governor.h"
#include "policy/describe.h"

namespace inferscope::act {
namespace {

constexpr Duration tick_interval = std::chrono::milliseconds(50);
/// How far from its time an expectation may be met: authors write times, not ticks.
constexpr Duration tolerance = 2 * tick_interval;

struct Happening {
  Duration at{};
  std::variant<Decision, Judgement> what{};
};

class Run {
 public:
  Run(const policy::Policy& policy, const policy::Case& one)
      : case_(one), governor_(plan_for(policy, one), {.armed = one.armed}) {}

  std::vector<Happening> happenings() {
    Duration end = case_.findings.back().at;
    if (!case_.expect.empty()) end = std::max(end, case_.expect.back().at);
    for (Duration at{}; at <= end + std::chrono::seconds(1); at += tick_interval) step(Time(at));
    return std::move(happened_);
  }

 private:
  static policy::Plan plan_for(policy::Policy policy, const policy::Case& one) {
    policy.mode = one.mode;
    return {{std::move(policy)}};
  }

  void step(Time now) {
    now_ = now;
    end_leases([now](const Effect& effect) { return effect.lease_until <= now; }, Effect::EndedBy::expiry);
    for (; next_ < case_.findings.size() && Time(case_.findings[next_].at) <= now; ++next_) {
      const policy::CaseFinding& entry = case_.findings[next_];
      const bool fresh = !open_.contains(entry.finding.id);
      Finding& finding = open_[entry.finding.id] = entry.finding;
      tell(finding, entry.closed ? FindingUpdate::Kind::closed
                    : fresh      ? FindingUpdate::Kind::opened
                                 : FindingUpdate::Kind::updated);
      if (entry.closed) open_.erase(entry.finding.id);
    }
    for (auto& [id, finding] : open_) tell(finding, FindingUpdate::Kind::updated);
    governor_.tick(now, decide_, judge_);
  }

  void tell(Finding& finding, FindingUpdate::Kind kind) {
    finding.measure.time = now_;
    governor_.on({kind, finding, now_}, decide_, judge_);
  }

  void carry_out(const Decision& decision) {
    if (decision.verdict == Decision::Verdict::refused) return;
    Effect effect;
    effect.id = decision.id;
    effect.decision = decision;
    effect.begin = now_;
    effect.lease_until = now_ + decision.action.lease;
    const bool leased = decision.action.lease > Duration::zero();
    effect.state = decision.verdict == Decision::Verdict::would_act ? Effect::State::would_have
                   : leased                                         ? Effect::State::active
                                                                    : Effect::State::ended;
    if (effect.state == Effect::State::active) leases_.push_back(effect);
    governor_.on(effect);
  }

  template <class Which>
  void end_leases(const Which& which, Effect::EndedBy why) {
    for (Effect& effect : leases_) {
      if (!which(effect)) continue;
      effect.state = Effect::State::ended;
      effect.ended_by = why;
      effect.end = now_;
      governor_.on(effect);
    }
    std::erase_if(leases_, [](const Effect& effect) { return effect.state == Effect::State::ended; });
  }

  const policy::Case& case_;
  Governor governor_;
  Time now_{};
  std::size_t next_ = 0;
  std::map<std::string, Finding> open_{};
  std::vector<Effect> leases_{};
  std::vector<Happening> happened_{};
  Emit<Decision> decide_ = [this](const Decision& decision) {
    happened_.push_back({now_.time_since_epoch(), decision});
    carry_out(decision);
  };
  Emit<Judgement> judge_ = [this](const Judgement& judgement) {
    happened_.push_back({now_.time_since_epoch(), judgement});
    if (judgement.undo)
      end_leases([&judgement](const Effect& effect) { return effect.id == judgement.effect; }, judgement.why);
  };
};

std::string code_of(const Decision& decision) {
  return decision.reason.substr(0, decision.reason.find(':'));
}

bool met(const policy::CaseExpectation& expected, const Happening& happening, const policy::Policy& policy) {
  if (std::chrono::abs(happening.at - expected.at) > tolerance) return false;
  if (const auto* decision = std::get_if<Decision>(&happening.what))
    return expected.verdict == decision->verdict && (!expected.step || expected.step == decision->step) &&
           (!expected.target || expected.target == policy.steps[decision->step].target) &&
           (expected.reason.empty() || expected.reason == code_of(*decision));
  const auto& judgement = std::get<Judgement>(happening.what);
  return expected.outcome == judgement.outcome && (!expected.undone || expected.undone == judgement.undo);
}

std::string text_of(const policy::CaseExpectation& expected) {
  std::string text = "at " + policy::text_of(expected.at);
  if (expected.verdict) text += fmt::format(" {}", name_of(*expected.verdict));
  if (!expected.reason.empty()) text += fmt::format(" ({})", expected.reason);
  if (expected.step) text += fmt::format(" step {}", *expected.step);
  if (expected.target) text += fmt::format(" on the {}", policy::name_of(*expected.target));
  if (expected.outcome) text += fmt::format(" {}", name_of(*expected.outcome));
  if (expected.undone) text += *expected.undone ? ", undone" : ", not undone";
  return text;
}

std::string text_of(const Happening& happening, const policy::Policy& policy) {
  const std::string at = "at " + policy::text_of(happening.at);
  if (const auto* decision = std::get_if<Decision>(&happening.what))
    return fmt::format("{} {} step {} on the {} ({})", at, name_of(decision->verdict), decision->step,
                       policy::name_of(policy.steps[decision->step].target), decision->reason);
  const auto& judgement = std::get<Judgement>(happening.what);
  return fmt::format("{} {}, {}", at, name_of(judgement.outcome), judgement.undo ? "undone" : "not undone");
}

}  // namespace

CaseResult run_case(const policy::Policy& policy, const policy::Case& one) {
  const std::vector<Happening> happened = Run(policy, one).happenings();
  for (std::size_t i = 0; i < std::max(happened.size(), one.expect.size()); ++i) {
    const bool both = i < happened.size() && i < one.expect.size();
    if (both && met(one.expect[i], happened[i], policy)) continue;
    return {false, i < one.expect.size() ? text_of(one.expect[i]) : "nothing more",
            i < happened.size() ? text_of(happened[i], policy) : "nothing"};
  }
  return {true, {}, {}};
}

}  // namespace inferscope::act
