// SPDX-License-Identifier: Apache-2.0
#include "runtime/replay.h"

namespace inferscope::runtime {

Status replay(source::EventSource& source, Pipeline& pipeline, const std::atomic<bool>& stop, const Emit<Event>& seen) {
  const Emit<Event> take = [&](const Event& event) {
    if (seen) seen(event);
    pipeline.on(event);
  };
  Status status = success();
  while (!stop && status.ok() && !source.finished()) {
    status = source.poll(std::chrono::milliseconds(100), take);
    pipeline.tick(source.settled());
  }
  pipeline.finish(source.now());
  return status;
}

}  // namespace inferscope::runtime
