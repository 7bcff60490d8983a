// SPDX-License-Identifier: Apache-2.0
#include "runtime/agent.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

#include "core/log.h"
#include "interpret/inference_paths.h"
#include "model/trace_json.h"
#include "runtime/status.h"

namespace inferscope::runtime {
namespace {

constexpr Duration shut_down_limit = std::chrono::seconds(3);
constexpr std::size_t default_last = 20;

std::string lines_of(const std::vector<RecentTraces::Entry>& entries, bool token_times) {
  std::string text;
  for (const auto& entry : entries) (text += to_json(*entry.trace, token_times)) += '\n';
  return text;
}

std::size_t number_of(const std::string& text, std::size_t otherwise) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : otherwise;
}

web::ApiReply ndjson(std::string body) {
  return {.content_type = "application/x-ndjson", .body = std::move(body)};
}

}  // namespace

source::LiveOptions live_options(const Config& config) {
  return {.event_ring_bytes = config.capture.event_ring_bytes,
          .control_ring_bytes = config.capture.control_ring_bytes,
          .connections = config.capture.connections,
          .transfer_head_bytes = config.capture.transfer_head_bytes,
          .transfer_tail_bytes = config.capture.transfer_tail_bytes,
          .message_budget_bytes = config.capture.message_budget_bytes,
          .inference_paths = config.watch.automatic ? interpret::inference_paths() : std::vector<std::string>(),
          .overhead_budget = config.overhead.budget};
}

Result<std::vector<std::unique_ptr<exporters::Sink>>> make_sinks(const Config& config) {
  std::vector<std::unique_ptr<exporters::Sink>> sinks;
  Status status = success();
  const auto add = [&](bool wanted, const auto& make, const auto& options) {
    if (!wanted || !status) return;
    auto sink = make(options);
    if (sink)
      sinks.push_back(std::move(sink).value());
    else
      status = sink.error();
  };
  const auto& otlp = config.otlp;
  add(config.otlp_enabled, exporters::make_otlp_sink, otlp);
  add(config.otlp_enabled && !otlp.logs_endpoint.empty(), exporters::make_otlp_log_sink, otlp);
  add(config.otlp_enabled && !otlp.metrics_endpoint.empty(), exporters::make_otlp_metric_sink, otlp);
  add(!config.jsonl.path.empty(), exporters::make_jsonl_sink, config.jsonl);
  if (!status) return status.error();
  return sinks;
}

Agent::Agent(Config config) : config_(std::move(config)), recent_(config_.api.history_bytes) {}
Agent::~Agent() = default;

Status Agent::start() {
  auto sinks = make_sinks(config_);
  if (!sinks) return sinks.error();
  sinks_ = std::move(sinks).value();

  auto source = source::LiveSource::open(live_options(config_));
  if (!source) return source.error();
  source_ = std::move(source).value();
  started_ = metrics_told_ = source_->now();
  for (const auto& capability : source_->capabilities())
    if (!capability.problem.empty())
      log::write(capability.essential && !capability.active ? log::Level::error
                 : capability.needed                        ? log::Level::warn
                                                            : log::Level::debug,
                 "a probe is not available", {{"probe", capability.name}, {"problem", capability.problem}});

  pipeline_ = std::make_unique<Pipeline>(
      [this](const RequestTrace& trace) {
        recent_.add(trace);
        for (const auto& sink : sinks_) sink->put(trace);
      },
      [this](const FindingUpdate& update) { responder_->on(update); }, source_.get(), config_.dialects);
  auto responder = Responder::open(
      config_,
      [this](const std::shared_ptr<const Record>& record) {
        for (const auto& sink : sinks_) sink->put(record);
      },
      source_->now(), source_->unix_minus_kernel_ns());
  if (!responder) return responder.error();
  responder_ = std::move(responder).value();
  discovery_ = std::make_unique<discover::Discovery>(
      config_.watch, discover::ProcReader(),
      discover::Discovery::Actions{
          .watch =
              [this](const ProcessStarted& process) {
                log::info("watching",
                          {{"pid", std::to_string(process.pid)}, {"name", process.name}, {"why", process.reason}});
                if (auto status = source_->watch(process); !status) log::error(status.error().text());
                tls_.follow(process.pid, source_->now());
                gpu_.follow(process.pid, source_->now());
              },
          .sample = [this](Pid pid) { (void)source_->sample(pid); },
          .ignore = [this](Pid pid) { (void)source_->ignore(pid); }});
  source_->on_notice([this](const ProcessNotice& notice) { discovery_->on(notice); });
  discovery_->scan(source_->now());

  if (config_.api.socket.empty()) return success();
  serve();
  serve_findings();
  return api_.start(config_.api.socket);
}

void Agent::serve() {
  api_.handle("/v1/traces", [this](const web::ApiRequest& request) {
    const bool token_times = request.get("token_times") == "1";
    if (const std::string id = request.get("id"); !id.empty()) return ndjson(lines_of(recent_.find(id), token_times));
    return ndjson(lines_of(recent_.last(number_of(request.get("last"), default_last)), token_times));
  });
  api_.feed("/v1/traces", [this](const web::ApiRequest& request, std::uint64_t& cursor) {
    if (cursor == 0) {
      const std::uint64_t last = number_of(request.get("last"), 0);
      const std::uint64_t total = recent_.total();
      cursor = 1 + (total > last ? total - last : 0);  // 1 above the number, so that 0 is only the beginning
    }
    const auto entries = recent_.after(cursor - 1);
    if (!entries.empty()) cursor = entries.back().number + 1;
    return lines_of(entries, request.get("token_times") == "1");
  });
  api_.handle("/v1/in-flight", [this](const web::ApiRequest&) {
    return ndjson(ask([this] {
      std::string text;
      pipeline_->in_flight(source_->now(), [&text](const RequestTrace& trace) { (text += to_json(trace)) += '\n'; });
      return text;
    }));
  });
  api_.handle("/v1/status", [this](const web::ApiRequest&) {
    return web::ApiReply{.body = ask([this] { return to_json(status()); })};
  });
}

/// What is on record, as JSON lines; what goes wrong as an answer 422 with its text.
void Agent::serve_findings() {
  const auto query_of = [](const web::ApiRequest& request, const char* event) {
    return store::Query{.event = event,
                        .id = request.get("id"),
                        .finding = request.get("finding"),
                        .open_only = request.get("open") == "1",
                        .last = number_of(request.get("last"), default_last)};
  };
  const auto serve_records = [this, query_of](const char* path, const char* event) {
    api_.handle(path, [this, query_of, event](const web::ApiRequest& request) {
      return answer([this, query = query_of(request, event)]() -> Result<std::string> {
        auto lines = responder_->find(query);
        if (!lines) return lines.error();
        std::string text;
        for (const std::string& line : *lines) (text += line) += '\n';
        return text;
      });
    });
  };
  serve_records("/v1/findings", "inferscope.finding");
  serve_records("/v1/decisions", "inferscope.decision");
  serve_records("/v1/effects", "inferscope.effect");
  serve_records("/v1/records", "");
  api_.handle_post("/v1/effects/undo", [this](const web::ApiRequest& request) {
    return answer([this, id = request.get("id")]() -> Result<std::string> {
      auto done = responder_->undo(id, source_->now());
      if (!done) return done.error();
      return *done + "\n";
    });
  });
}

web::ApiReply Agent::answer(std::function<Result<std::string>()> task) {
  web::ApiReply reply = ndjson({});
  reply.body = ask([&reply, &task] {
    auto result = task();
    if (result) return std::move(result).value();
    reply.status = 422;
    return result.error().text();
  });
  return reply;
}

StatusView Agent::status() const {
  StatusView view{.uptime = source_->now() - started_,
                  .watched_processes = discovery_->watched(),
                  .traces = recent_.total(),
                  .acting = responder_->summary(),
                  .capabilities = source_->capabilities(),
                  .counters = source_->counters(),
                  .probe_uses = source_->probe_uses(),
                  .stages = pipeline_->stats()};
  view.stages.merge(responder_->stats());
  for (const auto& sink : sinks_) view.stages["export " + sink->name() + " (" + sink->unit() + ")"] = sink->stats();
  return view;
}

void Agent::tell_metrics(Time now) {
  metrics_told_ = now;
  const auto metrics =
      std::make_shared<const Metrics>(metrics_of(status(), to_ns(now) + source_->unix_minus_kernel_ns()));
  for (const auto& sink : sinks_) sink->put(metrics);
}

std::string Agent::ask(std::function<std::string()> task) {
  std::packaged_task<std::string()> packaged(std::move(task));
  auto result = packaged.get_future();
  {
    const std::lock_guard lock(tasks_mutex_);
    if (!accepting_tasks_) return {};
    tasks_.push_back(std::move(packaged));
  }
  return result.get();
}

void Agent::one_turn() {
  const Time now = source_->now();
  discovery_->tick(now);
  tls_.tick(now, [this](const TlsLibrary& library) { watch(library); });
  gpu_.tick(now, [this](const GpuLibrary& library) { watch(library); });
  pipeline_->tick(source_->settled());
  responder_->tick(now);
  if (elapsed(metrics_told_, now) >= config_.otlp.metrics_interval) tell_metrics(now);
  if (each_turn_) each_turn_();
  std::vector<std::packaged_task<std::string()>> tasks;
  {
    const std::lock_guard lock(tasks_mutex_);
    tasks.swap(tasks_);
  }
  for (auto& task : tasks) task();
}

void Agent::watch(const TlsLibrary& library) {
  auto status = library.problem.empty() ? source_->watch(library) : Status(Error{library.problem});
  if (status)
    return log::info("TLS is seen in the clear",
                     {{"pid", std::to_string(library.pid)}, {"library", describe(library)}});
  log::warn("TLS stays hidden",
            {{"pid", std::to_string(library.pid)}, {"library", describe(library)}, {"problem", status.error().text()}});
}

void Agent::watch(const GpuLibrary& library) {
  auto status = library.problem.empty() ? source_->watch(library) : Status(Error{library.problem});
  if (status)
    return log::info("calls to GPUs are seen", {{"pid", std::to_string(library.pid)}, {"library", describe(library)}});
  log::warn("calls to GPUs stay hidden",
            {{"pid", std::to_string(library.pid)}, {"library", describe(library)}, {"problem", status.error().text()}});
}

Status Agent::run(const std::atomic<bool>& stop) {
  const Emit<Event> take = [this](const Event& event) {
    if (tee_) tee_(event);
    if (const auto* exited = std::get_if<ProcessExited>(&event.body)) {
      discovery_->on(*exited);
      tls_.forget(exited->pid);
      gpu_.forget(exited->pid);
    }
    if (const auto* lost = std::get_if<EventsLost>(&event.body))
      log::warn("events were lost", {{"reason", lost->reason}, {"count", std::to_string(lost->count)}});
    if (const auto* level = std::get_if<ProbeLevel>(&event.body))
      log::warn("what is seen of a process has changed, for what its probes cost",
                {{"pid", std::to_string(level->pid)},
                 {"gpus", std::string(name_of(level->level))},
                 {"threads", level->threads ? "on" : "off"},
                 {"cost", fmt::format("{:.2f} % of a processor", 100 * level->cost)}});
    responder_->on(event);
    pipeline_->on(event);
  };
  Status status = success();
  const auto turn = [&] {
    status = source_->poll(config_.capture.poll_interval, take);
    one_turn();
  };
  while (!stop && status.ok()) turn();
  // What has happened so far is told, too.
  for (const Time asked = source_->now(); status.ok() && source_->settled() < asked;) turn();
  shut_down();
  return status;
}

void Agent::shut_down() {
  log::info("stopping: sending what is queued and taking the probes out, which takes some seconds");
  {
    const std::lock_guard lock(tasks_mutex_);
    accepting_tasks_ = false;
  }
  one_turn();  // answers whoever still waits
  api_.stop();
  const auto deadline = std::chrono::steady_clock::now() + shut_down_limit;
  const auto left = [deadline] {
    return std::max(Duration::zero(),
                    std::chrono::duration_cast<Duration>(deadline - std::chrono::steady_clock::now()));
  };
  responder_->shut_down(source_->now(), left());  // first: what was done to others must not outlast us
  pipeline_->finish(source_->now());
  tell_metrics(source_->now());
  for (const auto& sink : sinks_) sink->shut_down(left());
}

}  // namespace inferscope::runtime
