// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "act/history.h"
#include "core/emit.h"
#include "core/stage_stats.h"
#include "core/time.h"
#include "model/action.h"
#include "model/event.h"
#include "model/finding.h"
#include "policy/plan.h"

namespace inferscope::act {

/// What the host's configuration allows. What is not set observes.
struct GovernorOptions {
  bool armed = false;
  std::size_t effects_at_once = 1;    ///< a blast radius; messages do not count, they touch nobody
  std::uint32_t host_rate_count = 6;  ///< effects of all policies …
  Duration host_rate_window = std::chrono::minutes(10);
};

/// How an effect turned out by its finding's own measure. At most one for each effect.
struct Judgement {
  std::string effect{};  ///< id
  Effect::Outcome outcome = Effect::Outcome::pending;
  bool undo = false;  ///< its lease is to end now, for the reason `why`
  Effect::EndedBy why = Effect::EndedBy::none;
  Time time{};
};

struct GovernorCounts {
  std::uint64_t acted = 0;
  std::uint64_t would_have_acted = 0;
  std::map<std::string, std::uint64_t, std::less<>> refused{};  ///< by the code that begins a refusal's reason
};

/// Decides what is done about findings. Without clock, threads or I/O: the same updates give the same decisions.
/// docs/policies.md has the rules. Whoever carries the decisions out must tell what became of each with on(Effect);
/// that may be done from within `decide`.
class Governor {
 public:
  static constexpr std::size_t findings_kept = 1024;

  Governor(policy::Plan plan, GovernorOptions options);
  // Tracks point into the plan.
  Governor(const Governor&) = delete;
  Governor& operator=(const Governor&) = delete;

  void on(const FindingUpdate& update, const Emit<Decision>& decide, const Emit<Judgement>& judge);
  /// Which processes are watched servers: one that is well is nobody's culprit either.
  void on(const Event& event);
  /// Done, would have been done, failed, ended, or stuck. Also of effects that an earlier run of the agent decided on.
  void on(const Effect& effect);
  void tick(Time now, const Emit<Decision>& decide, const Emit<Judgement>& judge);

  /// Counts updates. Dropped are those of findings that there was no room for.
  [[nodiscard]] StageStats stats() const { return stats_; }
  [[nodiscard]] const GovernorCounts& counts() const { return counts_; }
  /// Leases that hold and actions under way; without dry runs and messages.
  [[nodiscard]] std::size_t effects_held() const { return done_.held(); }
  [[nodiscard]] std::size_t findings_open() const { return tracks_.size(); }

 private:
  /// A step that was decided on and is not judged yet.
  struct Attempt {
    std::string decision{};
    bool dry = false;
    double ratio = 0;  ///< of the measure when it was decided
    std::string effect{};
    std::optional<Time> begin{};  ///< unset until the effect is told
    bool leased = false;          ///< and not ended yet
  };
  /// A finding and how far its policy's ladder was climbed.
  struct Track {
    Finding finding{};
    bool open = true;
    const policy::Policy* policy = nullptr;  ///< that acted on it; another may be chosen as long as none did
    std::uint32_t step = 0;
    bool over = false;  ///< nothing more is done about it
    std::optional<Attempt> attempt{};
    std::string undoing{};  ///< decision whose lease must end before the next
    std::set<std::tuple<std::string, std::uint32_t, std::string>> told{};  ///< refusals: policy, step, code
  };
  struct Refusal {
    std::string code{};
    std::string text{};
  };
  /// A step as it would be taken now.
  struct Intent {
    const policy::Policy& policy;
    const policy::Step& step;
    bool dry = false;
    ProcessTarget target{};
    HistoryEntry entry{};
  };

  void consider(Track& track, Time now, const Emit<Decision>& decide, const Emit<Judgement>& judge);
  void judge_attempt(Track& track, Time now, const Emit<Judgement>& judge);
  void conclude(Track& track, Effect::Outcome outcome, Time now, const Emit<Judgement>& judge);
  [[nodiscard]] const policy::Policy* policy_for(const Track& track, Time now) const;
  void attempt_step(Track& track, const policy::Policy& policy, Time now, const Emit<Decision>& decide);
  [[nodiscard]] std::optional<Refusal> refusal(const Track& track, const Intent& intent, Time now) const;
  [[nodiscard]] std::optional<Refusal> target_refusal(const Track& track, const Intent& intent) const;
  [[nodiscard]] std::optional<Refusal> history_refusal(const Track& track, const Intent& intent, Time now) const;
  static void give_up(Track& track);
  [[nodiscard]] bool finished(const Track& track) const { return !track.open && !track.attempt; }
  History& history(bool dry) { return dry ? would_be_done_ : done_; }
  [[nodiscard]] const History& history(bool dry) const { return dry ? would_be_done_ : done_; }

  policy::Plan plan_;
  GovernorOptions options_;
  std::map<std::string, Track> tracks_{};   ///< by the finding's id
  std::map<Pid, std::uint64_t> servers_{};  ///< watched processes, by start time; as many as the source watches
  History done_;
  History would_be_done_;  ///< a dry run goes by its own history, as a real one would by its
  StageStats stats_{};
  GovernorCounts counts_{};
};

}  // namespace inferscope::act
