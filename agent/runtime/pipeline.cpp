// SPDX-License-Identifier: Apache-2.0
#include "runtime/pipeline.h"

#include <utility>

namespace inferscope::runtime {

Pipeline::Pipeline(Emit<RequestTrace> traces, Emit<FindingUpdate> findings, CaptureControl* control,
                   const std::vector<interpret::DialectDefinition>& dialects)
    : assembler_({}, control),
      interpreter_({}, dialects),
      engine_messages_(control),
      detect_([this](ConnectionId connection, std::uint64_t sequence, const std::string& finding) {
        const auto [trace, span] = correlator_.mark(connection, sequence, finding);
        return RequestRef{connection, sequence, trace, span};
      }),
      findings_(findings ? std::move(findings) : [](const FindingUpdate&) {}),
      traces_([this, out = std::move(traces)](const RequestTrace& trace) {
        out(trace);
        detect_.on(trace, findings_);
      }),
      // Judged before the trace is closed, so that what is found in its last moment still marks it.
      calls_([this](const CallUpdate& update) {
        detect_.on(update, findings_);
        correlator_.on(update, traces_);
      }),
      exchanges_([this](const ExchangeUpdate& update) { interpreter_.on(update, calls_); }),
      engines_([this](const EngineUpdate& update) { correlator_.on(update); }),
      messages_([this](const PeerMessage& message) { engine_messages_.on(message, engines_); }) {}

void Pipeline::on(const Event& event) {
  // Processes and the clock first: what they tell belongs to the calls that this very event may close.
  correlator_.on(event);
  detect_.on(event, findings_);
  assembler_.on(event, exchanges_, messages_);
}

void Pipeline::tick(Time settled) {
  detect_.tick(settled, findings_);
  assembler_.tick(settled, exchanges_);
}

void Pipeline::finish(Time now) {
  detect_.finish(now, findings_);
  assembler_.finish(now, exchanges_);
}

void Pipeline::in_flight(Time now, const Emit<RequestTrace>& emit) const {
  correlator_.in_flight(now, emit);
}

std::map<std::string, StageStats> Pipeline::stats() const {
  return {{"assemble (bytes)", assembler_.stats()},
          {"interpret (exchanges)", interpreter_.stats()},
          {"interpret (engine messages)", engine_messages_.stats()},
          {"correlate (calls)", correlator_.stats()},
          {"correlate (engine requests)", correlator_.engine_requests()},
          {"correlate (explained requests)", correlator_.explained_requests()},
          {"detect (findings)", detect_.stats()}};
}

}  // namespace inferscope::runtime
