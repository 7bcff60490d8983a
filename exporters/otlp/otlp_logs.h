// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "model/record.h"

namespace inferscope::exporters {

/// An ExportLogsServiceRequest, encoded: one log record for each, with its event name, severity, text and attributes.
std::string encode_logs(std::span<const std::shared_ptr<const Record>> records, const std::string& service_name,
                        const std::map<std::string, std::string>& resource_attributes);

}  // namespace inferscope::exporters
