// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "core/result.h"
#include "core/time.h"
#include "exporters/sink.h"

namespace inferscope::exporters {

struct OtlpOptions {
  std::string endpoint{};                        ///< full URL, for example http://localhost:4318/v1/traces
  std::map<std::string, std::string> headers{};  ///< sent with each request
  Duration timeout = std::chrono::seconds(10);   ///< for one request
  bool gzip = false;
  std::size_t queue_traces = 4096;  ///< more are dropped and counted
  std::size_t batch_traces = 256;
  Duration batch_delay = std::chrono::milliseconds(200);
  Duration retry_first = std::chrono::milliseconds(500);  ///< doubled each time, with jitter
  Duration retry_most = std::chrono::seconds(30);
  Duration retry_until = std::chrono::minutes(5);  ///< then the batch is dropped and counted
  std::string service_name = "inferscope";
  std::map<std::string, std::string> resource_attributes{};
};

/// OTLP/HTTP with protobuf, as https://opentelemetry.io/docs/specs/otlp/ describes it.
Result<std::unique_ptr<Sink>> make_otlp_sink(const OtlpOptions& options);

}  // namespace inferscope::exporters
