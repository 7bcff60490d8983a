// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "core/emit.h"
#include "core/result.h"
#include "model/event.h"
#include "runtime/pipeline.h"
#include "source/event_source.h"

namespace inferscope::runtime {

/// Runs a source through a pipeline to its end, or until `stop`; `seen` gets each event before the pipeline does. After
/// an error the pipeline is finished as well: what came before it was used.
Status replay(source::EventSource& source, Pipeline& pipeline, const std::atomic<bool>& stop,
              const Emit<Event>& seen = {});

}  // namespace inferscope::runtime
