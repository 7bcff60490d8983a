// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "model/request_trace.h"

namespace inferscope::exporters {

/// The protobuf bytes of an ExportTraceServiceRequest. Each trace becomes an HTTP span (server or client), below it a
/// GenAI span if it is inference, and below that a span for each phase that was seen: "queue and prefill" up to the
/// first token, "decode" from the first token to the last. Traces are grouped by process, which is the resource.
std::string encode_spans(std::span<const std::shared_ptr<const RequestTrace>> traces, const std::string& service_name,
                         const std::map<std::string, std::string>& resource_attributes);

}  // namespace inferscope::exporters
