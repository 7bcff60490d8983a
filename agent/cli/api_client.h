// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace inferscope::cli {

/// Asks the running agent; gives each line of its answer to `on_line` until the answer ends or `on_line` returns false.
/// `target` is path and query, such as "/v1/traces?last=20".
Status ask_agent(const std::string& socket_path, const std::string& target,
                 const std::function<bool(std::string_view line)>& on_line);
/// The same for what changes something. An answer that is an error is one: its text is the agent's.
Status tell_agent(const std::string& socket_path, const std::string& target,
                  const std::function<bool(std::string_view line)>& on_line);

}  // namespace inferscope::cli
