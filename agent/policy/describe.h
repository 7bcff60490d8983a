// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "policy/plan.h"

/// Policies in words, for people.
namespace inferscope::policy {

std::string_view name_of(Mode mode);
std::string_view name_of(TargetKind target);

/// 30 s, 1.5 s, 10 min.
std::string text_of(Duration duration);
/// "throttle culprit to 0.2 processors for 30 s"
std::string describe(const Step& step);
/// "slow, cause cpu_contention, confidence from 0.8"
std::string describe(const Match& match);

}  // namespace inferscope::policy
