// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "core/stage_stats.h"
#include "core/time.h"
#include "model/request_trace.h"

namespace inferscope::exporters {

/// Where finished traces go. put() never blocks: a sink that cannot keep up drops and counts. Called by one thread;
/// stats() by any.
class Sink {
 public:
  virtual ~Sink() = default;

  virtual void put(const RequestTrace& trace) = 0;
  /// Sends what is queued, for at most so long. The last call before destruction.
  virtual void shut_down(Duration limit) = 0;

  [[nodiscard]] virtual std::string name() const = 0;
  /// Unit: traces. out: delivered; held: queued or on the way.
  [[nodiscard]] virtual StageStats stats() const = 0;
};

}  // namespace inferscope::exporters
