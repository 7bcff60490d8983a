// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "core/stage_stats.h"
#include "core/time.h"
#include "model/metric.h"
#include "model/record.h"
#include "model/request_trace.h"

namespace inferscope::exporters {

/// Where finished traces go, or findings, decisions and effects, or what the agent tells of itself; a sink takes what
/// it is for and leaves the rest. put() never blocks: a sink that cannot keep up drops and counts. Called by one
/// thread; stats() by any.
class Sink {
 public:
  virtual ~Sink() = default;

  virtual void put(const RequestTrace& /*trace*/) {}
  virtual void put(const std::shared_ptr<const Record>& /*record*/) {}
  virtual void put(const std::shared_ptr<const Metrics>& /*metrics*/) {}
  /// Sends what is queued, for at most so long. The last call before destruction.
  virtual void shut_down(Duration limit) = 0;

  [[nodiscard]] virtual std::string name() const = 0;
  /// What it takes, and what its stats() count: "traces", "records", "metrics".
  [[nodiscard]] virtual std::string unit() const { return "traces"; }
  /// out: delivered; held: queued or on the way.
  [[nodiscard]] virtual StageStats stats() const = 0;
};

}  // namespace inferscope::exporters
