// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "model/event.h"

namespace inferscope::cli {

/// One event in one line without its end, content left out; times in seconds of the kernel's clock.
std::string event_line(const Event& event);

}  // namespace inferscope::cli
