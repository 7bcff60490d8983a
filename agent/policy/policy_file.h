// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "policy/case.h"
#include "policy/plan.h"

/// Policies from YAML. docs/policies.md has the language, its defaults and its bounds.
namespace inferscope::policy {

inline constexpr std::size_t file_limit_bytes = 1u << 20;
inline constexpr std::size_t policies_limit = 256;
inline constexpr std::size_t steps_limit = 16;
/// Entries of all cases of a file: aliases could make more of a short text than memory holds.
inline constexpr std::size_t case_entries_limit = 4096;

/// One policy, or a list of them under `policies`. What is malformed, contradicts itself or is dangerous is refused;
/// errors begin with "NAME:LINE:COLUMN: ".
Result<std::vector<WrittenPolicy>> parse_policies(std::string_view text, const std::string& name);

/// Files, and the *.yaml files of folders in the order of their names. No name may stand twice.
Result<std::vector<WrittenPolicy>> load_policies(const std::vector<std::string>& paths);

Plan plan_of(const std::vector<WrittenPolicy>& written);

}  // namespace inferscope::policy
