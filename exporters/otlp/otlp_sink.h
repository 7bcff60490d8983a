// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "core/result.h"
#include "core/time.h"
#include "exporters/http/http_delivery.h"
#include "exporters/sink.h"

namespace inferscope::exporters {

struct OtlpOptions {
  std::string endpoint{};          ///< full URL, for example http://localhost:4318/v1/traces
  std::string logs_endpoint{};     ///< the same for findings, decisions and effects; empty: not sent
  std::string metrics_endpoint{};  ///< the same for what the agent tells of itself
  Duration metrics_interval = std::chrono::seconds(60);
  std::map<std::string, std::string> headers{};  ///< sent with each request
  bool gzip = false;
  std::size_t queue_traces = 4096;  ///< more are dropped and counted
  std::size_t batch_traces = 256;
  Duration batch_delay = std::chrono::milliseconds(200);
  DeliveryOptions delivery{};  ///< a batch that is given up is dropped and counted
  std::string service_name = "inferscope";
  std::map<std::string, std::string> resource_attributes{};
};

/// OTLP/HTTP with protobuf, as https://opentelemetry.io/docs/specs/otlp/ describes it.
Result<std::unique_ptr<Sink>> make_otlp_sink(const OtlpOptions& options);
/// The same for records, as OTLP logs.
Result<std::unique_ptr<Sink>> make_otlp_log_sink(const OtlpOptions& options);
/// The same for metrics.
Result<std::unique_ptr<Sink>> make_otlp_metric_sink(const OtlpOptions& options);

}  // namespace inferscope::exporters
