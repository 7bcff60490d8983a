// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "policy/plan.h"

namespace inferscope::policy {

/// A file of policies/ as it was when the agent was built.
struct ShippedFile {
  std::string_view name{};  ///< "policies/stalled-server.yaml"
  std::string_view text{};
};

/// In the order of their names.
const std::vector<ShippedFile>& shipped_files();

/// What applies where the operator gave no policies. All of it observes.
const Plan& shipped_plan();

}  // namespace inferscope::policy
