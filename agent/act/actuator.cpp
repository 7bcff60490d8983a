// SPDX-License-Identifier: Apache-2.0
#include "act/actuator.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "act/change.h"
#include "core/clock.h"
#include "core/log.h"

namespace inferscope::act {
namespace {

constexpr Duration lock_wait = std::chrono::seconds(6);  // a guardian of an earlier run may still be undoing
constexpr Duration back_off_least = std::chrono::seconds(1);
constexpr Duration back_off_most = std::chrono::seconds(60);
constexpr Duration guardian_back_off = std::chrono::seconds(10);

/// Not of the decision's: a decision made again after a restart must not meet the journal of the one before.
std::string new_id() {
  std::uint64_t number = 0;
  if (getrandom(&number, sizeof(number), 0) != sizeof(number)) number = static_cast<std::uint64_t>(clock());
  return fmt::format("{:016x}", number);
}

}  // namespace

Result<std::unique_ptr<Actuator>> Actuator::open(ActuatorOptions options, Time now) {
  const auto boot_id = read_boot_id({options.proc, options.cgroup_root});
  if (!boot_id) return boot_id.error();
  auto journal = Journal::open(options.state_folder, lock_wait);
  if (!journal) return journal.error();
  std::unique_ptr<Actuator> actuator(new Actuator(std::move(options), std::move(*journal), *boot_id));
  actuator->clean_up(now);
  actuator->check_host();
  return actuator;
}

Actuator::Actuator(ActuatorOptions options, std::unique_ptr<Journal> journal, std::string boot_id)
    : roots_{std::move(options.proc), std::move(options.cgroup_root)},
      never_touch_(roots_, std::move(options.never_touch), getpid()),
      journal_(std::move(journal)),
      boot_id_(std::move(boot_id)),
      warnings_(journal_->warnings()) {
  if (!options.guardian.empty()) guardian_.emplace(std::move(options.guardian), roots_, journal_->lock_fd());
}

Actuator::~Actuator() = default;

void Actuator::clean_up(Time now) {
  for (const Lease& lease : journal_->outstanding()) held_.push_back({.lease = lease});
  for (std::size_t i = held_.size(); i-- > 0;) left_behind_.push_back(end(i, Effect::EndedBy::restart, now));
  std::reverse(left_behind_.begin(), left_behind_.end());
}

void Actuator::check_host() {
  const auto place = roots_.mounts().place("/", "cpu");
  if (!place) warnings_.push_back("no cgroups are mounted here: only signals can be sent");
  if (place && access(place->mount.c_str(), W_OK) != 0)
    warnings_.push_back(fmt::format("{} cannot be written: only signals can be sent", place->mount.native()));
  if (!guardian_) return;
  for (const Held& held : held_) static_cast<void>(guardian_->hold(held.lease));
  if (const auto status = guardian_->ensure(); !status)
    warnings_.push_back(status.error().text() + ": nothing that has to be undone will be done");
}

Effect Actuator::apply(const Decision& decision, Time now) {
  Effect effect{.id = new_id(), .decision = decision, .begin = now, .lease_until = now};
  effect.unix_minus_kernel_ns = unix_minus_kernel_now_ns();
  if (const auto status = carry_out(effect, now); !status) {
    effect.state = Effect::State::failed;
    effect.ended_by = Effect::EndedBy::none;
    effect.lease_until = now;
    effect.problem = status.error().text();
  }
  if (effect.state != Effect::State::active && effect.state != Effect::State::stuck) effect.end = now;
  return effect;
}

Status Actuator::carry_out(Effect& effect, Time now) {
  const Decision& decision = effect.decision;
  if (decision.verdict == Decision::Verdict::refused) return Error{decision.reason};
  const bool dry = decision.verdict == Decision::Verdict::would_act;
  effect.state = dry ? Effect::State::would_have : Effect::State::ended;
  if (!dry) effect.ended_by = Effect::EndedBy::at_once;
  if (decision.action.kind == Action::Kind::notify) {
    effect.where = decision.action.url;
    return success();
  }
  const auto change = prepare(decision, roots_, never_touch_);
  if (!change) return change.error();
  effect.where = change->knob->where();
  effect.earlier = change->earlier;
  effect.written = change->written;
  if (change->lease) effect.lease_until = now + decision.action.lease;
  if (dry) return success();

  Lease lease{effect, change->folder_inode, boot_id_};
  if (!change->lease) return send_once(lease, *change);
  lease.effect.state = Effect::State::active;
  lease.effect.ended_by = Effect::EndedBy::none;
  if (auto status = note(lease); !status) return status;
  held_.push_back({.lease = lease});
  effect = lease.effect;
  auto status = change->knob->write(change->written);
  if (status) status = still_right(decision, *change, roots_, never_touch_);
  if (status) {
    static_cast<void>(journal_->done(effect.id));
    return status;
  }
  const Effect undone = end(held_.size() - 1, Effect::EndedBy::at_once, now);
  if (undone.state != Effect::State::stuck) return status;
  effect = undone;
  effect.problem = status.error().text() + "; and " + undone.problem;
  return success();
}

Status Actuator::send_once(const Lease& lease, const Change& change) {
  // In the journal, too, so that no signal is sent of which nobody can know afterwards.
  if (auto status = journal_->intent(lease); !status) return status;
  auto status = change.knob->write(change.written);
  static_cast<void>(journal_->undone(lease.effect.id));
  return status;
}

Status Actuator::note(const Lease& lease) {
  if (auto status = journal_->intent(lease); !status || !guardian_) return status;
  auto status = guardian_->hold(lease);
  if (status) return status;
  static_cast<void>(journal_->undone(lease.effect.id));
  guardian_->forget(lease.effect.id);
  return status;
}

std::optional<Effect> Actuator::undo(const std::string& effect_id, Effect::EndedBy why, Time now) {
  for (std::size_t i = 0; i < held_.size(); ++i)
    if (held_[i].lease.effect.id == effect_id) return end(i, why, now);
  return std::nullopt;
}

void Actuator::tick(Time now, const Emit<Effect>& emit) {
  for (std::size_t i = held_.size(); i-- > 0;) {
    const Held& held = held_[i];
    const bool stuck = held.lease.effect.state == Effect::State::stuck;
    if (stuck ? held.retry > now : held.lease.effect.lease_until > now) continue;
    const Effect::EndedBy why = stuck ? held.lease.effect.ended_by : Effect::EndedBy::expiry;
    const Effect effect = end(i, why, now);
    if (!stuck || effect.state == Effect::State::ended) emit(effect);
  }
  keep_guardian(now);
}

void Actuator::keep_guardian(Time now) {
  if (!guardian_ || held_.empty() || guardian_retry_ > now) return;
  if (const auto status = guardian_->ensure(); !status) {
    guardian_retry_ = now + guardian_back_off;
    log::error("the guardian has ended and cannot be started again", {{"problem", status.error().text()}});
  }
}

void Actuator::undo_all(Effect::EndedBy why, Time now, const Emit<Effect>& emit) {
  for (std::size_t i = held_.size(); i-- > 0;) emit(end(i, why, now));
}

std::vector<Effect> Actuator::active() const {
  std::vector<Effect> effects;
  for (const Held& held : held_) effects.push_back(held.lease.effect);
  return effects;
}

Effect Actuator::end(std::size_t index, Effect::EndedBy why, Time now) {
  Held& held = held_[index];
  Undone undone{Undone::How::gone, "the agent was killed while it did this: it may have been done"};
  if (held.lease.reversible()) {
    auto handed = hand_over(index);
    undone = handed ? *handed : act::undo(held.lease, roots_);
  }
  Effect& effect = held.lease.effect;
  effect.ended_by = why;
  effect.problem = undone.note;
  if (undone.how == Undone::How::failed) {
    effect.state = Effect::State::stuck;
    held.back_off = std::clamp(held.back_off * 2, back_off_least, back_off_most);
    held.retry = now + held.back_off;
    log::error("an effect cannot be undone",
               {{"effect", effect.id}, {"where", effect.where}, {"problem", undone.note}});
    return effect;
  }
  effect.state = Effect::State::ended;
  effect.end = now;
  Effect ended = effect;
  held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
  if (const auto status = journal_->undone(ended.id); !status)  // the next start finds that nothing is left to undo
    log::warn("that an effect was undone is not in the journal", {{"problem", status.error().text()}});
  if (guardian_) guardian_->forget(ended.id);
  return ended;
}

std::optional<Undone> Actuator::hand_over(std::size_t index) {
  const Lease& lease = held_[index].lease;
  const auto later = std::find_if(held_.begin() + static_cast<std::ptrdiff_t>(index) + 1, held_.end(),
                                  [&](const Held& held) { return held.lease.same_place(lease); });
  if (later == held_.end()) return std::nullopt;
  const std::string note = fmt::format("effect {} holds {} now", later->lease.effect.id, lease.effect.where);
  if (later->lease.effect.earlier != lease.effect.written) return Undone{Undone::How::left, note};
  Lease heir = later->lease;
  heir.effect.earlier = lease.effect.earlier;
  if (const auto status = journal_->intent(heir); !status) return Undone{Undone::How::failed, status.error().text()};
  later->lease = heir;
  if (guardian_) static_cast<void>(guardian_->hold(heir));
  return Undone{Undone::How::left, note + ", and puts back what this one would have"};
}

}  // namespace inferscope::act
