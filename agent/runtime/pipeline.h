// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "assemble/assembler.h"
#include "core/stage_stats.h"
#include "correlate/correlator.h"
#include "detect/detect.h"
#include "interpret/engine_messages.h"
#include "interpret/interpreter.h"
#include "model/capture_control.h"
#include "model/event.h"
#include "model/finding.h"
#include "model/request_trace.h"

namespace inferscope::runtime {

/// The stages behind a source, in a row: events in, finished traces and findings out. A deterministic function of its
/// events.
class Pipeline {
 public:
  Pipeline(Emit<RequestTrace> traces, Emit<FindingUpdate> findings = {}, CaptureControl* control = nullptr,
           const std::vector<interpret::DialectDefinition>& dialects = {});
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  void on(const Event& event);
  /// Nothing older than `settled` will come any more.
  void tick(Time settled);
  /// The end: what is open becomes a trace that says so.
  void finish(Time now);

  void in_flight(Time now, const Emit<RequestTrace>& emit) const;
  [[nodiscard]] std::map<std::string, StageStats> stats() const;

 private:
  assemble::Assembler assembler_;
  interpret::Interpreter interpreter_;
  interpret::EngineMessages engine_messages_;
  correlate::Correlator correlator_{};
  detect::Detect detect_;
  Emit<FindingUpdate> findings_;
  Emit<RequestTrace> traces_;
  Emit<CallUpdate> calls_;
  Emit<ExchangeUpdate> exchanges_;
  Emit<EngineUpdate> engines_;
  Emit<PeerMessage> messages_;
};

}  // namespace inferscope::runtime
