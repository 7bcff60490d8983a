// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/result.h"
#include "discover/discovery.h"
#include "discover/gpu/gpu_watch.h"
#include "discover/tls/tls_watch.h"
#include "exporters/sink.h"
#include "runtime/config.h"
#include "runtime/pipeline.h"
#include "runtime/recent_traces.h"
#include "runtime/responder.h"
#include "runtime/status.h"
#include "source/live/live_source.h"
#include "web/api_server.h"

namespace inferscope::runtime {

/// The agent on this host: watches, traces, exports, and answers its API. One thread does all of it but the API and
/// the sinks' sending, so that the stages need no locks.
class Agent {
 public:
  explicit Agent(Config config);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Opens everything. After it the probes are in.
  Status start();
  /// Works until `stop` becomes true, then ends in order.
  Status run(const std::atomic<bool>& stop);

  /// Each event before the pipeline has it: the recorder.
  void tee(Emit<Event> tee) { tee_ = std::move(tee); }
  /// Called between two looks at the kernel, some hundred times a second.
  void each_turn(std::function<void()> task) { each_turn_ = std::move(task); }
  [[nodiscard]] const source::LiveSource& source() const { return *source_; }

 private:
  void serve();
  void serve_findings();
  void shut_down();
  void one_turn();
  void watch(const TlsLibrary& library);
  void watch(const GpuLibrary& library);
  /// Runs `task` between two turns of run() and returns its result; for the API's thread.
  std::string ask(std::function<std::string()> task);
  /// The same as an answer.
  web::ApiReply answer(std::function<Result<std::string>()> task);
  [[nodiscard]] StatusView status() const;
  void tell_metrics(Time now);

  Config config_;
  std::unique_ptr<source::LiveSource> source_{};
  std::unique_ptr<Pipeline> pipeline_{};
  std::unique_ptr<Responder> responder_{};
  std::unique_ptr<discover::Discovery> discovery_{};
  discover::TlsWatch tls_{};
  discover::GpuWatch gpu_{};
  std::vector<std::unique_ptr<exporters::Sink>> sinks_{};
  RecentTraces recent_;
  web::ApiServer api_{};
  Emit<Event> tee_{};
  std::function<void()> each_turn_{};
  Time started_{};
  Time metrics_told_{};  ///< last

  std::mutex tasks_mutex_{};
  std::vector<std::packaged_task<std::string()>> tasks_{};
  bool accepting_tasks_ = true;
};

/// Sinks that the configuration asks for.
Result<std::vector<std::unique_ptr<exporters::Sink>>> make_sinks(const Config& config);
source::LiveOptions live_options(const Config& config);

}  // namespace inferscope::runtime
