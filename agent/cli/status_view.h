// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace inferscope::cli {

/// What the agent says of itself (its /v1/status), for people: counters that are not zero, and for each stage what it
/// took, passed on, holds and dropped.
std::string status_text(std::string_view json);

}  // namespace inferscope::cli
