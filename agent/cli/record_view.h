// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace inferscope::cli {

/// Findings, decisions and effects for people. The input is one line of JSON, as `--json` prints it.
std::string finding_heading();
/// One line without its end; empty for a line that is none.
std::string finding_row(std::string_view json, bool colour);
std::string effect_heading();
std::string effect_row(std::string_view json, bool colour);
/// Decisions and effects by when they were made, so that cause stands before consequence.
void sort_by_time(std::vector<std::string>& decisions_and_effects);
/// One finding in full, with what was decided and done about it, in the order of time.
std::string finding_story(std::string_view finding, const std::vector<std::string>& decisions_and_effects, bool colour);

}  // namespace inferscope::cli
