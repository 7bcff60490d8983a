// SPDX-License-Identifier: Apache-2.0
// Whatever the order in which findings, effects and ticks come: limits hold, and numbers add up.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/unit/act/governor_trial.h"

namespace inferscope::act {
namespace {

using namespace test;

/// Does random things with a governor and keeps its own account of what holds.
class Storm {
 public:
  Storm(unsigned seed, std::size_t at_once) : random_(seed), at_once_(at_once), governor_(plan(), options(at_once)) {}

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      now_ += milliseconds(pick(400));
      switch (pick(5)) {
        case 0:
          governor_.tick(now_, decide_, judge_);
          break;
        case 1:
          answer();
          break;
        case 2:
          end_one();
          break;
        default:
          tell();
      }
      EXPECT_TRUE(governor_.stats().balanced());
      EXPECT_EQ(governor_.effects_held(), unanswered_acts() + leases_.size());
    }
  }
  [[nodiscard]] std::size_t acts() const { return acts_.size(); }

 private:
  static policy::Plan plan() {
    auto first = continues({notify_step(), signal_step(SIGCONT), signal_step(SIGKILL)});
    auto second = throttles({throttle_step(), throttle_step(policy::TargetKind::server, true), signal_step(SIGTERM)});
    first.cooldown = second.cooldown = cooldown;
    auto observes = first;
    observes.name = "observes";
    observes.mode = policy::Mode::observe;
    observes.match.server_name = "server101";
    first.rate_count = second.rate_count = 1000;
    return {{observes, first, second}};
  }
  static GovernorOptions options(std::size_t at_once) {
    auto all = armed();
    all.effects_at_once = at_once;
    all.host_rate_count = host_rate;
    all.host_rate_window = seconds(20);
    return all;
  }

  std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }

  void tell() {
    const std::size_t number = pick(6);
    auto& id = ids_[number];
    if (id.empty()) id = "f" + std::to_string(next_id_++);
    const auto server = static_cast<Pid>(100 + number % 4);
    auto one = number < 3 ? finding(id, server) : finding(id, server, static_cast<Pid>(200 + pick(3)));
    one.gap = pick(10) == 0;
    one.measure.value = static_cast<double>(pick(50)) / 10;
    one.measure.time = now_ - milliseconds(pick(500));
    const bool closes = pick(6) == 0;
    if (closes) {
      one.end = now_;
      id.clear();
    }
    governor_.on(FindingUpdate{closes ? FindingUpdate::Kind::closed : FindingUpdate::Kind::updated, one, now_}, decide_,
                 judge_);
  }

  void decided(const Decision& decision) {
    EXPECT_TRUE(ids_seen_.insert(decision.id).second) << "an id twice";
    if (decision.verdict == Decision::Verdict::refused) return;
    EXPECT_GT(decision.target.pid, 0);
    if (decision.verdict == Decision::Verdict::act && decision.action.kind != Action::Kind::notify) {
      acts_.push_back(now_);
      EXPECT_LT(unanswered_acts() + leases_.size(), at_once_) << "too many at once";
      EXPECT_TRUE(acts_.size() <= host_rate || now_ - acts_[acts_.size() - 1 - host_rate] >= seconds(20));
    }
    unanswered_.push_back(decision);
  }

  void judged(const Judgement& judgement) {
    EXPECT_TRUE(judged_.insert(judgement.effect).second) << "judged twice";
    EXPECT_EQ(judgement.undo, judgement.why != Effect::EndedBy::none);
    if (judgement.undo && pick(2) == 0) end_lease(judgement.effect, judgement.why);
  }

  [[nodiscard]] std::size_t unanswered_acts() const {
    return static_cast<std::size_t>(std::count_if(unanswered_.begin(), unanswered_.end(), [](const Decision& one) {
      return one.verdict == Decision::Verdict::act && one.action.kind != Action::Kind::notify;
    }));
  }

  void answer() {
    if (unanswered_.empty()) return;
    const std::size_t which = pick(unanswered_.size());
    Effect effect;
    effect.decision = unanswered_[which];
    unanswered_.erase(unanswered_.begin() + static_cast<std::ptrdiff_t>(which));
    effect.id = "e" + effect.decision.id;
    effect.begin = now_;
    effect.lease_until = now_ + effect.decision.action.lease;
    const bool dry = effect.decision.verdict == Decision::Verdict::would_act;
    const bool leased = effect.lease_until > effect.begin;
    effect.state = pick(8) == 0 ? Effect::State::failed
                   : dry        ? Effect::State::would_have
                   : leased     ? Effect::State::active
                                : Effect::State::ended;
    if (effect.state == Effect::State::active) leases_[effect.id] = effect;
    governor_.on(effect);
  }

  void end_one() {
    if (leases_.empty()) return;
    const auto which = std::next(leases_.begin(), static_cast<std::ptrdiff_t>(pick(leases_.size())));
    end_lease(which->first, pick(4) == 0 ? Effect::EndedBy::operator_request : Effect::EndedBy::expiry);
  }
  void end_lease(const std::string& id, Effect::EndedBy why) {
    const auto found = leases_.find(id);
    if (found == leases_.end()) return;
    Effect effect = found->second;
    leases_.erase(found);
    effect.state = Effect::State::ended;
    effect.ended_by = why;
    effect.end = now_;
    governor_.on(effect);
  }

  static constexpr Duration cooldown = seconds(3);
  static constexpr std::uint32_t host_rate = 8;

  std::mt19937 random_;
  std::size_t at_once_;
  Governor governor_;
  Time now_{seconds(1000)};
  std::map<std::size_t, std::string> ids_{};
  int next_id_ = 0;
  std::vector<Decision> unanswered_{};
  std::map<std::string, Effect> leases_{};
  std::vector<Time> acts_{};
  std::set<std::string> ids_seen_{};
  std::set<std::string> judged_{};
  Emit<Decision> decide_ = [this](const Decision& decision) { decided(decision); };
  Emit<Judgement> judge_ = [this](const Judgement& judgement) { judged(judgement); };
};

TEST(Property, LimitsHoldWhateverTheOrder) {
  std::size_t acts = 0;
  for (unsigned seed = 0; seed < 60 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Storm storm(seed, 1 + seed % 3);
    storm.run(1500);
    acts += storm.acts();
  }
  EXPECT_GT(acts, 1000u);  // it was about something
}

}  // namespace
}  // namespace inferscope::act
