// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/emit.h"
#include "core/result.h"
#include "core/time.h"
#include "model/event.h"

namespace inferscope::source {

/// Where events come from: the running kernel, a recording, or a test's script. Used by one thread.
class EventSource {
 public:
  virtual ~EventSource() = default;

  /// Waits for events at most so long, then emits what is there, in order of time.
  virtual Status poll(Duration timeout, const Emit<Event>& emit) = 0;
  /// No more events will ever come.
  [[nodiscard]] virtual bool finished() const = 0;
  /// Up to here all events have been emitted; what did not come by then did not happen.
  [[nodiscard]] virtual Time settled() const = 0;
  /// The source's idea of now, in the time of its events.
  [[nodiscard]] virtual Time now() const = 0;
};

}  // namespace inferscope::source
