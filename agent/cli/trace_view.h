// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace inferscope::cli {

/// Traces for people. The input is one line of `inferscope trace --json`, so what is live and what is replayed is shown
/// by the same code.
std::string trace_heading();
/// One line without its end; empty for a line that is no trace.
std::string trace_row(std::string_view json, bool colour);
/// Everything about one request: a bar for each phase and the figures. `json` with inferscope.token_times.
std::string trace_waterfall(std::string_view json, bool colour);
/// True for a request that is inference, false for a health check and the like.
bool is_inference(std::string_view json);

}  // namespace inferscope::cli
