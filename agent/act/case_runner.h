// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "policy/case.h"

namespace inferscope::act {

struct CaseResult {
  bool passed = false;
  // The first difference; empty if there is none.
  std::string expected{};
  std::string got{};
};

/// Runs a policy's case through the governor, with an actuator that does what it is told and touches nothing. Between
/// its entries a finding stays as it is, with data that is always new. Ends a second after the last time that the case
/// names: what happens later is not looked at.
CaseResult run_case(const policy::Policy& policy, const policy::Case& one);

}  // namespace inferscope::act
