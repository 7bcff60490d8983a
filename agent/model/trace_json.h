// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "model/request_trace.h"

namespace inferscope {

/// One JSON object on one line, without the line's end: ids in hexadecimal, start_time_unix_nano and
/// end_time_unix_nano as integers, then the attributes of model/trace_attributes.h as flat keys. With `token_times`
/// also inferscope.token_times: seconds from the request's first byte, one per content event. What was not seen is
/// absent. The same trace always gives the same bytes.
std::string to_json(const RequestTrace& trace, bool token_times = false);

}  // namespace inferscope
