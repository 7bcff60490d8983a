// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/time.h"
#include "detect/server.h"
#include "model/finding.h"

namespace inferscope::detect {

/// What the host's facts of the last `window` say about why a server does not get on. The first that holds of: stopped,
/// frozen (now), out of quota, kept from a processor (for more than a fifth of the time).
Cause explain(const Server& server, Time now, Duration window = std::chrono::milliseconds(1500));

}  // namespace inferscope::detect
