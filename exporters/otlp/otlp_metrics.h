// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "model/metric.h"

namespace inferscope::exporters {

/// An ExportMetricsServiceRequest, encoded: gauges, and cumulative sums that never get less.
std::string encode_metrics(std::span<const std::shared_ptr<const Metrics>> batch, const std::string& service_name,
                           const std::map<std::string, std::string>& resource_attributes);

}  // namespace inferscope::exporters
