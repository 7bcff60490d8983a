// SPDX-License-Identifier: Apache-2.0
#include "runtime/pipeline.h"

#include <utility>

namespace inferscope::runtime {

Pipeline::Pipeline(Emit<RequestTrace> traces, CaptureControl* control)
    : assembler_({}, control),
      traces_(std::move(traces)),
      calls_([this](const CallUpdate& update) { correlator_.on(update, traces_); }),
      exchanges_([this](const ExchangeUpdate& update) { interpreter_.on(update, calls_); }) {}

void Pipeline::on(const Event& event) {
  // Processes and the clock first: what they tell belongs to the calls that this very event may close.
  correlator_.on(event);
  assembler_.on(event, exchanges_);
}

void Pipeline::tick(Time now) {
  assembler_.tick(now, exchanges_);
}

void Pipeline::finish(Time now) {
  assembler_.finish(now, exchanges_);
}

void Pipeline::in_flight(Time now, const Emit<RequestTrace>& emit) const {
  correlator_.in_flight(now, emit);
}

std::map<std::string, StageStats> Pipeline::stats() const {
  return {{"assemble (bytes)", assembler_.stats()},
          {"interpret (exchanges)", interpreter_.stats()},
          {"correlate (calls)", correlator_.stats()}};
}

}  // namespace inferscope::runtime
