// SPDX-License-Identifier: Apache-2.0
#include "act/governor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "core/hash.h"
#include "model/time_math.h"
#include "policy/describe.h"

namespace inferscope::act {
namespace {

using policy::TargetKind;

bool is_message(const Action& action) {
  return action.kind == Action::Kind::notify;
}
bool is_of_cgroup(const Action& action) {
  return action.kind == Action::Kind::throttle || action.kind == Action::Kind::weight ||
         action.kind == Action::Kind::freeze;
}

bool same_process(const ProcessTarget& a, const ProcessTarget& b) {
  return a.pid == b.pid && a.start_time_ns == b.start_time_ns;
}

/// Whether the cgroup `inner` is `outer` or below it.
bool within(const std::string& outer, const std::string& inner) {
  return outer == "/" || inner == outer || inner.starts_with(outer + "/");
}

std::string words(const ProcessTarget& target) {
  return target.pid > 0 ? fmt::format("{}/{}", target.name, target.pid) : target.cgroup;
}

/// Names what is acted on, so that acting on the same again is seen as that.
HistoryEntry entry_of(const Action& action, const ProcessTarget& target, const std::string& policy,
                      const std::string& finding) {
  const std::string process = fmt::format("process {} {}", target.pid, target.start_time_ns);
  const std::string key = is_message(action)     ? fmt::format("{} by {}", process, policy)
                          : is_of_cgroup(action) ? fmt::format("cgroup {} {}", target.cgroup, target.cgroup_id)
                                                 : process;
  return {key, policy, finding, is_message(action)};
}
HistoryEntry entry_of(const Decision& decision) {
  return entry_of(decision.action, decision.target, decision.policy, decision.finding);
}

/// The same decision has the same id in a replay.
std::string id_of(const Decision& decision) {
  const std::string text = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", decision.finding, decision.policy, decision.step,
                                       to_ns(decision.time), name_of(decision.verdict), decision.reason);
  return fmt::format("{:016x}", mixed(fnv1a(text)));
}

ProcessTarget target_of(const policy::Step& step, const Finding& finding) {
  switch (step.target) {
    case TargetKind::server:
      return finding.server;
    case TargetKind::culprit:
      return finding.cause.culprit.value_or(ProcessTarget{});
    case TargetKind::cgroup:
      break;
  }
  ProcessTarget target;
  target.cgroup = step.cgroup;
  return target;
}

bool recovered(const Measure& measure, const policy::Verify& verify) {
  return measure.usual > 0 && measure.ratio() < verify.recovered_below;
}

std::string evidence_of(const Finding& finding) {
  std::string text = fmt::format("{}, cause {}, confidence {:.2f}", name_of(finding.kind), name_of(finding.cause.kind),
                                 finding.confidence);
  if (finding.measure.usual > 0) text += fmt::format(", {:.2f} times the usual", finding.measure.ratio());
  return text;
}

Effect::EndedBy why_ended(Effect::Outcome outcome) {
  switch (outcome) {
    case Effect::Outcome::worse:
      return Effect::EndedBy::worse;
    case Effect::Outcome::unchanged:
      return Effect::EndedBy::unchanged;
    case Effect::Outcome::pending:
    case Effect::Outcome::recovered:
      break;
  }
  return Effect::EndedBy::recovery;
}

}  // namespace

Governor::Governor(policy::Plan plan, GovernorOptions options)
    : plan_(std::move(plan)),
      options_(options),
      done_(plan_, options.host_rate_count),
      would_be_done_(plan_, options.host_rate_count) {}

void Governor::on(const FindingUpdate& update, const Emit<Decision>& decide, const Emit<Judgement>& judge) {
  ++stats_.in;
  const bool known = tracks_.contains(update.finding.id);
  if (!known && update.kind != FindingUpdate::Kind::closed && tracks_.size() >= findings_kept)
    return stats_.drop("findings_full", 1);
  ++stats_.out;
  if (!known && update.kind == FindingUpdate::Kind::closed) return;  // there was no room for it when it was open
  const auto at = tracks_.try_emplace(update.finding.id).first;
  Track& track = at->second;
  track.finding = update.finding;
  track.finding.evidence.clear();  // nothing is decided by these
  track.finding.requests.clear();
  track.open = update.kind != FindingUpdate::Kind::closed;
  if (!track.open && !track.finding.end) track.finding.end = update.time;
  consider(track, update.time, decide, judge);
  if (finished(track)) tracks_.erase(at);
}

void Governor::tick(Time now, const Emit<Decision>& decide, const Emit<Judgement>& judge) {
  done_.tick(now);
  would_be_done_.tick(now);
  for (auto& [id, track] : tracks_) consider(track, now, decide, judge);
  std::erase_if(tracks_, [this](const auto& one) { return finished(one.second); });
}

void Governor::consider(Track& track, Time now, const Emit<Decision>& decide, const Emit<Judgement>& judge) {
  if (track.attempt) judge_attempt(track, now, judge);
  if (!track.open || track.over || track.attempt) return;
  if (!track.undoing.empty() && done_.holding(track.undoing)) return;
  const policy::Policy* policy = policy_for(track, now);
  if (!policy || recovered(track.finding.measure, policy->verify)) return;
  attempt_step(track, *policy, now, decide);
}

/// What acted on a finding goes on with it, as long as the finding still is what the policy is for.
const policy::Policy* Governor::policy_for(const Track& track, Time now) const {
  if (track.policy) return track.policy->match.matches(track.finding, now) ? track.policy : nullptr;
  const auto first = std::find_if(plan_.policies.begin(), plan_.policies.end(), [&](const policy::Policy& policy) {
    return policy.match.matches(track.finding, now);
  });
  return first == plan_.policies.end() ? nullptr : &*first;
}

void Governor::judge_attempt(Track& track, Time now, const Emit<Judgement>& judge) {
  const Attempt& attempt = *track.attempt;
  if (!attempt.begin) return;
  const Finding& finding = track.finding;
  if (!track.open) {
    // What was over before the action began, or ended with its process, is not the action's merit.
    const bool recovered = *finding.end > *attempt.begin && !finding.lost_sight;
    return conclude(track, recovered ? Effect::Outcome::recovered : Effect::Outcome::pending, now, judge);
  }
  if (finding.gap || finding.measure.time <= *attempt.begin) return;
  const policy::Verify& verify = track.policy->verify;
  if (recovered(finding.measure, verify)) return conclude(track, Effect::Outcome::recovered, now, judge);
  if (attempt.ratio > 0 && finding.measure.ratio() > verify.worse_above * attempt.ratio)
    return conclude(track, Effect::Outcome::worse, now, judge);
  if (elapsed(*attempt.begin, now) >= verify.within) conclude(track, Effect::Outcome::unchanged, now, judge);
}

void Governor::conclude(Track& track, Effect::Outcome outcome, Time now, const Emit<Judgement>& judge) {
  const Attempt attempt = std::move(*track.attempt);
  track.attempt.reset();
  // What did not help is not kept: it would stand in the way of the next step.
  const bool hold = track.policy->steps[track.step].hold && outcome != Effect::Outcome::worse &&
                    outcome != Effect::Outcome::unchanged;
  const bool undo = attempt.leased && !hold;
  if (undo && attempt.dry) would_be_done_.end(attempt.decision, now);
  switch (outcome) {
    case Effect::Outcome::recovered:  // should it come back, it is begun with anew
      track.policy = nullptr;
      track.step = 0;
      break;
    case Effect::Outcome::unchanged:
      ++track.step;
      if (undo && !attempt.dry) track.undoing = attempt.decision;
      break;
    case Effect::Outcome::worse:
      track.over = true;
      break;
    case Effect::Outcome::pending:
      break;
  }
  if (undo || outcome != Effect::Outcome::pending)
    judge({attempt.effect, outcome, undo, undo ? why_ended(outcome) : Effect::EndedBy::none, now});
}

void Governor::attempt_step(Track& track, const policy::Policy& policy, Time now, const Emit<Decision>& decide) {
  if (track.step >= policy.steps.size()) {
    track.over = true;
    return;
  }
  const policy::Step& step = policy.steps[track.step];
  const Finding& finding = track.finding;
  const bool enforces = policy.mode == policy::Mode::enforce;
  Decision decision;
  decision.time = now;
  decision.finding = finding.id;
  decision.policy = policy.name;
  decision.step = track.step;
  decision.action = step.action;
  decision.target = target_of(step, finding);
  const Intent intent{policy, step, !(enforces && options_.armed), decision.target, entry_of(decision)};

  if (const auto refused = refusal(track, intent, now)) {
    if (!track.told.emplace(policy.name, track.step, refused->code).second) return;
    ++counts_.refused[refused->code];
    decision.verdict = Decision::Verdict::refused;
    decision.reason = fmt::format("{}: {}", refused->code, refused->text);
    decision.id = id_of(decision);
    return decide(decision);
  }

  decision.verdict = intent.dry ? Decision::Verdict::would_act : Decision::Verdict::act;
  decision.reason = evidence_of(finding);
  if (!enforces) decision.reason += "; the policy observes";
  if (!options_.armed) decision.reason += "; the host is not armed";
  decision.id = id_of(decision);
  ++(intent.dry ? counts_.would_have_acted : counts_.acted);
  history(intent.dry).begin(decision.id, intent.entry, now);
  track.policy = &policy;
  track.attempt = Attempt{decision.id, intent.dry, finding.measure.ratio(), {}, {}, false};
  decide(decision);
}

std::optional<Governor::Refusal> Governor::refusal(const Track& track, const Intent& intent, Time now) const {
  if (track.finding.gap) return Refusal{"gap", "events were lost in the time that the finding is drawn from"};
  if (auto refused = target_refusal(track, intent)) return refused;
  return history_refusal(track, intent, now);
}

std::optional<Governor::Refusal> Governor::target_refusal(const Track& track, const Intent& intent) const {
  const ProcessTarget& target = intent.target;
  const Action& action = intent.step.action;
  const bool of_cgroup = is_of_cgroup(action);
  const bool culprit = intent.step.target == TargetKind::culprit;
  if (culprit && !track.finding.cause.culprit) return Refusal{"no_culprit", "nobody in particular is the culprit"};
  if (is_message(action) || intent.step.target == TargetKind::cgroup) return std::nullopt;
  if (target.pid <= 0 || target.start_time_ns == 0)
    return Refusal{"no_identity", "the process is not known by its number and start"};
  if (of_cgroup && (target.cgroup.empty() || target.cgroup_id == 0))
    return Refusal{"no_identity", fmt::format("the cgroup of {} is not known", words(target))};
  if (!culprit) return std::nullopt;
  // A server's cgroup needs no look here: the actuator acts on a group only if nobody else is in it.
  if (const auto server = servers_.find(target.pid); server != servers_.end() && server->second == target.start_time_ns)
    return Refusal{"culprit_is_server", fmt::format("{} is a watched server itself", words(target))};
  for (const auto& [id, other] : tracks_) {
    const ProcessTarget& server = other.finding.server;
    if (same_process(server, target))
      return Refusal{"culprit_is_server", fmt::format("{} is a server that something is wrong with", words(target))};
    if (of_cgroup && server.cgroup.empty())
      return Refusal{"no_identity",
                     fmt::format("the cgroup of {} is not known, and could be the culprit's", words(server))};
    if (of_cgroup && within(target.cgroup, server.cgroup))
      return Refusal{"culprit_is_server",
                     fmt::format("the server {} is in the cgroup {}", words(server), target.cgroup)};
  }
  return std::nullopt;
}

std::optional<Governor::Refusal> Governor::history_refusal(const Track& track, const Intent& intent, Time now) const {
  const History& past = history(intent.dry);
  const policy::Policy& policy = intent.policy;
  if (past.busy(intent.entry.target))
    return Refusal{"cooldown", fmt::format("something is being done to {} already", words(intent.target))};
  // The steps of a ladder follow each other: the cooldown is for who begins one.
  const History::Ended* last = past.last(intent.entry.target);
  const bool own = last && track.step > 0 && last->finding == track.finding.id;
  if (last && !own && elapsed(last->time, now) < policy.cooldown)
    return Refusal{"cooldown",
                   fmt::format("{} was acted on {} ago, the policy waits {}", words(intent.target),
                               policy::text_of(elapsed(last->time, now)), policy::text_of(policy.cooldown))};
  if (past.policy_rate_reached(policy, now))
    return Refusal{"policy_rate", fmt::format("the policy did {} things in {}", policy.rate_count,
                                              policy::text_of(policy.rate_window))};
  if (past.full()) return Refusal{"history_full", "too much was done to remember it all"};
  if (intent.entry.message) return std::nullopt;
  if (past.host_rate_reached(options_.host_rate_count, options_.host_rate_window, now))
    return Refusal{"host_rate", fmt::format("{} things were done on this host in {}", options_.host_rate_count,
                                            policy::text_of(options_.host_rate_window))};
  if (past.held() >= options_.effects_at_once)
    return Refusal{"at_once",
                   fmt::format("{} effects hold, no more than {} may at once", past.held(), options_.effects_at_once)};
  return std::nullopt;
}

void Governor::on(const Event& event) {
  if (const auto* started = std::get_if<ProcessStarted>(&event.body)) servers_[started->pid] = started->start_time_ns;
  if (const auto* exited = std::get_if<ProcessExited>(&event.body)) servers_.erase(exited->pid);
}

void Governor::on(const Effect& effect) {
  const Decision& decision = effect.decision;
  const bool dry = decision.verdict != Decision::Verdict::act;
  const Time begin = std::max(effect.begin, decision.time);
  const bool leased = effect.lease_until > effect.begin;
  const auto found = tracks_.find(decision.finding);
  Track* track = found == tracks_.end() ? nullptr : &found->second;
  Attempt* attempt = track && track->attempt && track->attempt->decision == decision.id ? &*track->attempt : nullptr;
  if (attempt) attempt->effect = effect.id;

  switch (effect.state) {
    case Effect::State::would_have:
    case Effect::State::active:
      if (attempt) {
        attempt->begin = begin;
        attempt->leased = leased;
      }
      if (!leased) return history(dry).end(decision.id, entry_of(decision), begin);
      if (dry) return would_be_done_.holds_until(decision.id, effect.lease_until);
      return done_.adopt(decision.id, entry_of(decision));
    case Effect::State::ended:
      if (attempt) {
        attempt->begin = attempt->begin.value_or(begin);
        attempt->leased = false;
      }
      history(dry).end(decision.id, entry_of(decision), effect.end.value_or(begin));
      // Who takes an effect back does not want the next one, either.
      if (track && effect.ended_by == Effect::EndedBy::operator_request) give_up(*track);
      return;
    case Effect::State::failed:
      history(dry).end(decision.id, entry_of(decision), begin);
      if (!attempt) return;
      // A message that did not arrive is no reason to do nothing; that a gentle action failed is none for a harsher
      // one.
      if (!is_message(decision.action)) return give_up(*track);
      track->attempt.reset();
      ++track->step;
      return;
    case Effect::State::stuck:
      if (!dry) done_.adopt(decision.id, entry_of(decision));
      if (track) give_up(*track);
      return;
  }
}

void Governor::give_up(Track& track) {
  track.over = true;
  track.attempt.reset();
}

}  // namespace inferscope::act
