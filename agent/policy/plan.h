// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/time.h"
#include "model/action.h"
#include "model/finding.h"

/// What an operator wants done about findings, as typed values. Immutable once read. docs/policies.md has the language.
namespace inferscope::policy {

enum class Mode : std::uint8_t {
  observe,  ///< 0 on purpose: what nobody set observes
  enforce,
};

/// Which findings a policy is for. All that is set must hold.
struct Match {
  Finding::Kind kind{};
  std::vector<Cause::Kind> causes{};  ///< any of them; empty: any at all
  double min_confidence = 0.8;
  double min_share = 0;  ///< of Cause::share
  double min_ratio = 0;  ///< of Measure::ratio()
  Duration lasting{};    ///< since Finding::begin
  // Shell patterns; empty matches anything.
  std::string server_executable{};  ///< path of the program, or its last part
  std::string server_name{};
  std::string server_cgroup{};
  std::string model{};
  std::string culprit_name{};
  std::string culprit_cgroup{};

  [[nodiscard]] bool matches(const Finding& finding, Time now) const;
};

enum class TargetKind : std::uint8_t { server, culprit, cgroup };

/// One rung of the ladder.
struct Step {
  Action action{};
  TargetKind target = TargetKind::server;
  std::string cgroup{};  ///< for TargetKind::cgroup: path from the root of the hierarchy, never "/"
  bool hold = false;     ///< keep the lease to its end although the finding is over (else it ends with it)
};

/// When an action counts as a success: judged by the finding's own measure, with data younger than the action.
struct Verify {
  Duration within = std::chrono::seconds(2);  ///< then the next step
  double recovered_below = 1.2;               ///< of Measure::ratio(); a finding that closes has recovered, too
  double worse_above = 1.5;                   ///< of the ratio when the action was decided: then undone at once
};

struct Policy {
  std::string name{};
  std::string description{};
  Mode mode = Mode::observe;
  Match match{};
  std::vector<Step> steps{};  ///< the ladder, at least one
  Verify verify{};
  Duration cooldown = std::chrono::seconds(60);     ///< per target, after an effect's end
  std::uint32_t rate_count = 3;                     ///< effects of this policy …
  Duration rate_window = std::chrono::minutes(10);  ///< … in this time
  std::string source{};                             ///< "FILE:LINE", for messages
};

struct Plan {
  std::vector<Policy> policies{};  ///< the first that matches a finding is the one that acts
};

}  // namespace inferscope::policy
