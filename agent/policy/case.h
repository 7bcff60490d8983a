// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/plan.h"

/// What an author of a policy wants to see it do: findings over time, and what must be decided on them. Written beside
/// the policy; agent/act/case_runner.h runs them through the real governor.
namespace inferscope::policy {

/// A finding as it is from `at` on, until its next entry.
struct CaseFinding {
  Duration at{};      ///< since the case began; times in `finding` count from then, too
  Finding finding{};  ///< `id` is the author's word for it
  bool closed = false;
};

/// A decision (`verdict`) or a judgement of one (`outcome`); what is not set may be anything.
struct CaseExpectation {
  Duration at{};
  std::optional<Decision::Verdict> verdict{};
  std::string reason{};  ///< code of a refusal, "cooldown"
  std::optional<std::uint32_t> step{};
  std::optional<TargetKind> target{};
  std::optional<Effect::Outcome> outcome{};
  std::optional<bool> undone{};
};

struct Case {
  std::string name{};
  bool armed = true;
  Mode mode = Mode::observe;              ///< the policy's, unless the case sets its own
  std::vector<CaseFinding> findings{};    ///< in the order of time
  std::vector<CaseExpectation> expect{};  ///< all that happens, in the order of time
  std::string source{};                   ///< "FILE:LINE"
};

/// A policy as its file has it.
struct WrittenPolicy {
  Policy policy{};
  std::vector<Case> cases{};
};

}  // namespace inferscope::policy
