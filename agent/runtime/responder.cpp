// SPDX-License-Identifier: Apache-2.0
#include "runtime/responder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "policy/describe.h"
#include "policy/policy_file.h"
#include "policy/shipped.h"

namespace inferscope::runtime {
namespace {

constexpr std::size_t effects_kept = 1024;
constexpr const char* shipped_word = "shipped";

log::Level level_of(Record::Severity severity) {
  switch (severity) {
    case Record::Severity::info:
      return log::Level::info;
    case Record::Severity::warn:
      return log::Level::warn;
    case Record::Severity::error:
      break;
  }
  return log::Level::error;
}

act::GovernorOptions governor_options(const Config& config) {
  return {.armed = config.act.armed,
          .effects_at_once = config.act.effects_at_once,
          .host_rate_count = config.act.host_rate_count,
          .host_rate_window = config.act.host_rate_window};
}

/// Nothing more will be heard of it.
bool settled(const Effect& effect) {
  if (effect.state == Effect::State::failed) return true;
  return effect.state != Effect::State::active && effect.state != Effect::State::stuck &&
         effect.outcome != Effect::Outcome::pending;
}

}  // namespace

Result<policy::Plan> load_plan(const Config& config) {
  policy::Plan plan;
  std::vector<std::string> paths;
  for (const std::string& path : config.policies) {
    if (path != shipped_word) {
      paths.push_back(path);
      continue;
    }
    const auto& shipped = policy::shipped_plan().policies;
    plan.policies.insert(plan.policies.end(), shipped.begin(), shipped.end());
  }
  auto own = policy::load_policies(paths);
  if (!own) return own.error();
  for (auto& policy : policy::plan_of(*own).policies) {
    const auto same = [&policy](const policy::Policy& other) { return other.name == policy.name; };
    if (std::any_of(plan.policies.begin(), plan.policies.end(), same))
      return Error{fmt::format("{}: a shipped policy is named '{}', too", policy.source, policy.name),
                   "name it otherwise, or leave 'shipped' out of the configuration's policies", Error::Kind::usage};
    plan.policies.push_back(std::move(policy));
  }
  return plan;
}

Responder::Responder(const Config& config, policy::Plan plan, Publish publish, std::int64_t unix_minus_kernel_ns)
    : plan_(std::move(plan)),
      armed_(config.act.armed),
      publish_(std::move(publish)),
      unix_minus_kernel_ns_(unix_minus_kernel_ns),
      governor_(plan_, governor_options(config)) {}

Responder::~Responder() = default;

Result<std::unique_ptr<Responder>> Responder::open(const Config& config, Publish publish, Time now,
                                                   std::int64_t unix_minus_kernel_ns) {
  auto plan = load_plan(config);
  if (!plan) return plan.error();
  std::unique_ptr<Responder> responder(
      new Responder(config, std::move(plan).value(), std::move(publish), unix_minus_kernel_ns));
  if (config.state.folder.empty()) {
    if (config.act.armed)
      return Error{"act.armed needs a state folder: what is done must be on disk before it is",
                   "set state.folder, or leave act.armed out", Error::Kind::usage};
    return responder;
  }
  if (auto status = responder->open_state(config, now); !status) return status.error();
  return responder;
}

Status Responder::open_state(const Config& config, Time now) {
  now_ = now;
  // The actuator first: it makes the folder and keeps other agents out of it.
  auto actuator =
      act::Actuator::open({.state_folder = config.state.folder, .never_touch = config.act.never_touch}, now);
  if (!actuator) return actuator.error();
  actuator_ = std::move(actuator).value();
  auto store = store::Store::open({.folder = config.state.folder, .rows_kept = config.state.rows_kept});
  if (!store) return store.error();
  store_ = std::move(store).value();
  auto audit = store::Audit::open(std::filesystem::path(config.state.folder) / "audit");
  if (!audit) return audit.error();
  audit_ = std::move(audit).value();
  for (const auto* warnings : {&actuator_->warnings(), &store_->warnings(), &audit_->warnings()})
    for (const std::string& warning : *warnings) log::warn(warning);
  complain(store_->close_left_open());
  Record begun{.event = "inferscope.agent", .id = "agent"};
  begun.unix_ns = to_ns(now) + unix_minus_kernel_ns_;
  begun.text = "started, " + summary();
  record(begun, Told::audited);
  for (const Effect& effect : actuator_->left_behind()) changed(effect);
  return success();
}

std::string Responder::summary() const {
  const auto enforcing = std::count_if(plan_.policies.begin(), plan_.policies.end(), [](const policy::Policy& policy) {
    return policy.mode == policy::Mode::enforce;
  });
  return fmt::format("{}, {} policies of which {} enforce", armed_ ? "armed" : "observing", plan_.policies.size(),
                     enforcing);
}

void Responder::on(const FindingUpdate& update) {
  now_ = std::max(now_, update.time);
  const Record found = record_of(update);
  const Cause::Kind cause = update.finding.cause.kind;
  const auto known = findings_.find(found.id);
  // A measure that moves is no news for people.
  const bool news = !found.open || known == findings_.end() || known->second.cause != cause;
  record(found, news ? Told::aloud : Told::quietly);
  if (found.open)
    findings_[found.id] = {to_json(found), cause};
  else if (known != findings_.end())
    findings_.erase(known);
  governor_.on(update, decide_, judge_);
}

void Responder::tick(Time now) {
  now_ = std::max(now_, now);
  governor_.tick(now_, decide_, judge_);
  if (actuator_) actuator_->tick(now_, effect_);
}

void Responder::decided(const Decision& decision) {
  record(record_of(decision, unix_minus_kernel_ns_), Told::audited);
  if (decision.verdict == Decision::Verdict::refused || !actuator_) return;
  Effect effect = actuator_->apply(decision, now_);
  if (decision.action.kind == Action::Kind::notify && decision.verdict == Decision::Verdict::act) notify(decision);
  if (effects_.size() >= effects_kept)  // room for it in the place of one that nobody judged
    if (const auto ended = std::find_if(effects_.begin(), effects_.end(),
                                        [](const auto& one) {
                                          return one.second.state != Effect::State::active &&
                                                 one.second.state != Effect::State::stuck;
                                        });
        ended != effects_.end())
      effects_.erase(ended);
  effects_[effect.id] = effect;
  changed(std::move(effect));
}

/// The message is the finding and what was decided about it.
void Responder::notify(const Decision& decision) {
  if (decision.action.url.empty()) return;  // it is in the log and on record, which is all that was asked for
  const auto finding = findings_.find(decision.finding);
  webhook_.put(
      {decision.action.url, decision.action.secret_file,
       fmt::format(R"({{"finding":{},"decision":{}}})", finding == findings_.end() ? "null" : finding->second.json,
                   to_json(record_of(decision, unix_minus_kernel_ns_)))});
}

void Responder::judged(const act::Judgement& judgement) {
  const auto found = effects_.find(judgement.effect);
  if (found != effects_.end()) found->second.outcome = judgement.outcome;
  if (judgement.undo && actuator_) {
    if (auto ended = actuator_->undo(judgement.effect, judgement.why, now_)) {
      changed(std::move(*ended));
      return;
    }
  }
  if (found != effects_.end()) changed(found->second);
}

void Responder::changed(Effect effect) {
  const auto known = effects_.find(effect.id);
  if (known != effects_.end()) {
    effect.outcome = known->second.outcome;  // the governor's, of which the actuator knows nothing
    known->second = effect;
    if (settled(effect)) effects_.erase(known);
  }
  record(record_of(effect, now_), Told::audited);
  governor_.on(effect);
}

void Responder::record(const Record& record, Told told) {
  if (store_) complain(store_->put(record));
  if (told == Told::quietly) return;
  log::write(level_of(record.severity), std::string(record.event.substr(record.event.find('.') + 1)),
             {{"id", record.id}, {"finding", record.finding}, {"text", record.text}});
  if (audit_ && told == Told::audited) complain(audit_->append(record.unix_ns, to_json(record)));
  if (publish_) publish_(std::make_shared<const Record>(record));
}

/// Told once, until it works again: a full disk would fill the log as well.
void Responder::complain(const Status& status) {
  if (status)
    complained_ = false;
  else if (!std::exchange(complained_, true))
    log::error(status.error().text());
}

Result<std::string> Responder::undo(const std::string& id, Time now) {
  now_ = std::max(now_, now);
  if (!actuator_) return Error{"this agent has no state folder, so it did nothing that could be undone"};
  std::vector<std::string> matching;
  for (const Effect& effect : actuator_->active())
    if (!id.empty() && effect.id.starts_with(id)) matching.push_back(effect.id);
  if (matching.empty())
    return Error{fmt::format("no effect that holds has an id that begins with '{}'", id),
                 "'inferscope effects' lists them", Error::Kind::usage};
  if (matching.size() > 1)
    return Error{fmt::format("{} effects have an id that begins with '{}'", matching.size(), id), "give more digits",
                 Error::Kind::usage};
  auto ended = actuator_->undo(matching.front(), Effect::EndedBy::operator_request, now_);
  if (!ended) return Error{fmt::format("the effect {} has ended by itself", matching.front())};
  const Record done = record_of(*ended, now_);
  const bool stuck = ended->state == Effect::State::stuck;
  changed(std::move(*ended));
  if (stuck) return Error{done.text, "it is tried again; look at the place by hand"};
  return done.text;
}

Result<std::vector<std::string>> Responder::find(const store::Query& query) const {
  if (!store_) return Error{"this agent keeps no record", "set state.folder in its configuration"};
  return store_->find(query);
}

std::map<std::string, StageStats> Responder::stats() const {
  return {{"decide (finding updates)", governor_.stats()}, {"notify (messages)", webhook_.stats()}};
}

void Responder::shut_down(Time now, Duration limit) {
  now_ = std::max(now_, now);
  if (actuator_) actuator_->undo_all(Effect::EndedBy::shut_down, now_, effect_);
  if (audit_) {
    Record ended{.event = "inferscope.agent", .id = "agent"};
    ended.unix_ns = to_ns(now_) + unix_minus_kernel_ns_;
    ended.text = "stopped";
    record(ended, Told::audited);
  }
  webhook_.shut_down(limit);
}

}  // namespace inferscope::runtime
