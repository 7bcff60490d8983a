// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace inferscope::interpret {

/// gen_ai.provider.name: who makes the server, as far as it says so. `server` and `host` are header values.
/// "unknown" if nothing tells: a path of the OpenAI API alone does not make a server OpenAI's.
std::string_view provider_of(std::string_view dialect, std::string_view server, std::string_view host,
                             bool has_timings);

}  // namespace inferscope::interpret
