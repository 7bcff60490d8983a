// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/result.h"
#include "model/event.h"
#include "source/recording.pb.h"

namespace inferscope::source {

void encode(const Event& event, recording::Event& out);
/// Views in the result point into `in`. Enumerations out of range and content longer than its transfer are refused.
Result<Event> decode(const recording::Event& in);

}  // namespace inferscope::source
