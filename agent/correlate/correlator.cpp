// SPDX-License-Identifier: Apache-2.0
#include "correlate/correlator.h"

#include <algorithm>
#include <deque>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "correlate/engine_requests.h"
#include "correlate/engine_steps.h"
#include "correlate/ids.h"
#include "correlate/links.h"
#include "correlate/verdict.h"
#include "model/time_math.h"

namespace inferscope::correlate {
namespace {

constexpr std::size_t findings_of_one_trace = 8;

ExchangeKey key_of(const Exchange& exchange) {
  return {exchange.connection ? exchange.connection->id : 0, exchange.sequence};
}

/// Everything but the times of the tokens, which would double what a long stream takes.
void copy_without_times(InferenceCall& to, const InferenceCall& from) {
  to.dialect = from.dialect;
  to.operation = from.operation;
  to.provider = from.provider;
  to.request = from.request;
  to.response = from.response;
  to.usage = from.usage;
  to.engine = from.engine;
  to.failure = from.failure;
  to.first_event = from.first_event;
  to.first_token = from.first_token;
  to.last_token = from.last_token;
}

/// What the engine counted is better than counted events, of which one may bring several tokens.
void complete_usage(RequestTrace& trace) {
  InferenceCall::Usage& usage = trace.call.usage;
  if (!trace.engine || !trace.engine->complete) return;
  if (!usage.input_tokens) usage.input_tokens = trace.engine->prompt_tokens;
  if (!usage.cached_input_tokens) usage.cached_input_tokens = trace.engine->cached_tokens;
  const bool counted =
      usage.source == InferenceCall::CountSource::none || usage.source == InferenceCall::CountSource::events;
  if (!counted || trace.engine->output_tokens == 0) return;
  usage.output_tokens = trace.engine->output_tokens;
  usage.source = InferenceCall::CountSource::engine;
}

}  // namespace

class Correlator::Impl {
 public:
  explicit Impl(const Limits& limits)
      : limits_(limits),
        links_({limits.links, limits.keep_link}),
        engine_requests_({.requests = limits.engine_requests}),
        engine_steps_({.requests = limits.open_calls}) {}

  void on(const Event& event) {
    engine_steps_.on(event);
    if (const auto* started = std::get_if<ProcessStarted>(&event.body)) start(*started, event.time);
    if (const auto* exited = std::get_if<ProcessExited>(&event.body)) exit(*exited, event.time);
    if (const auto* clock = std::get_if<ClockSet>(&event.body)) unix_minus_kernel_ns_ = clock->unix_minus_kernel_ns;
  }

  void on(const EngineUpdate& update) { engine_requests_.on(update); }

  void on(const CallUpdate& update, const Emit<RequestTrace>& emit) {
    const ExchangeKey key = key_of(update.exchange);
    if (update.kind == CallUpdate::Kind::opened) {
      open(key, update);
      return;
    }
    const auto found = open_.find(key);
    if (found == open_.end()) return;  // its `opened` was counted as dropped
    RequestTrace& trace = found->second;
    if (update.kind == CallUpdate::Kind::request) engine_steps_.on(key, update, name_of(key, trace));
    if (update.kind == CallUpdate::Kind::token) engine_steps_.on(key, update, {});
    switch (update.kind) {
      case CallUpdate::Kind::opened:
        break;
      case CallUpdate::Kind::request:
        links_.requested(key, update.exchange, update.asked);
        note_request(trace, update);
        break;
      case CallUpdate::Kind::token:
        note_token(trace, update);
        break;
      case CallUpdate::Kind::closed:
        close(key, trace, update);
        emit(trace);
        ++stats_.out;
        open_.erase(found);
        break;
    }
  }

  void in_flight(Time now, const Emit<RequestTrace>& emit) const {
    std::vector<std::pair<ExchangeKey, const RequestTrace*>> calls;
    calls.reserve(open_.size());
    for (const auto& [key, trace] : open_) calls.emplace_back(key, &trace);
    std::sort(calls.begin(), calls.end(), [](const auto& a, const auto& b) {
      return std::tie(a.second->begin, a.first.connection, a.first.sequence) <
             std::tie(b.second->begin, b.first.connection, b.first.sequence);
    });
    for (const auto& [key, open] : calls) {
      RequestTrace trace = *open;
      trace.end = std::max(now, trace.begin);
      identify(trace);
      trace.lost = loss_of(trace.exchange, trace.call);
      trace.complete = trace.lost.empty();
      trace.engine = engine_requests_.find(trace);
      trace.explanation = engine_steps_.explain(key, trace.end);
      complete_usage(trace);
      derive_durations(trace);
      place(trace, links_.look_up(key));
      emit(trace);
    }
  }

  std::pair<TraceId, SpanId> mark(ExchangeKey key, const std::string& finding) {
    const auto found = open_.find(key);
    if (found == open_.end()) return {};
    RequestTrace& trace = found->second;
    if (trace.findings.size() < findings_of_one_trace) trace.findings.push_back(finding);
    const RequestName name = name_of(key, trace);
    return {name.trace_id, name.span_id};
  }

  [[nodiscard]] StageStats stats() const {
    StageStats stats = stats_;
    stats.held = open_.size();
    return stats;
  }
  [[nodiscard]] StageStats engine_requests() const { return engine_requests_.stats(); }
  [[nodiscard]] StageStats explained_requests() const { return engine_steps_.stats(); }
  [[nodiscard]] Counters counters() const { return {processes_forgotten_, links_.forgotten()}; }

 private:
  void open(ExchangeKey key, const CallUpdate& update) {
    ++stats_.in;
    if (open_.contains(key)) {
      stats_.drop("opened twice", 1);
      return;
    }
    if (open_.size() >= limits_.open_calls) {
      stats_.drop("open call limit", 1);
      return;
    }
    const Exchange& exchange = update.exchange;
    RequestTrace& trace = open_[key];
    trace.role = exchange.role;
    trace.tid = exchange.tid;
    trace.process.pid = exchange.pid;
    trace.unix_minus_kernel_ns = unix_minus_kernel_ns_;
    trace.begin = exchange.request.begin.value_or(exchange.response.begin.value_or(update.time));
    identify(trace);
    const IdSeed seed{key.connection, key.sequence, to_ns(trace.begin), trace.process.start_time_ns,
                      unix_minus_kernel_ns_};
    trace.span_id = make_http_span_id(seed);
    // Whether it is an inference call can still change; the id is the same either way.
    trace.call_span_id = make_call_span_id(seed);
    trace.trace_id = make_trace_id(seed);
    refresh(trace, update);
    links_.opened(key, exchange, update.time, seed);
    engine_steps_.on(key, update, {trace.trace_id, trace.span_id});
  }

  /// As far as it is known by now.
  [[nodiscard]] RequestName name_of(ExchangeKey key, const RequestTrace& trace) const {
    const TraceContext context = links_.look_up(key);
    return {context.trace_id != TraceId{} ? context.trace_id : trace.trace_id, trace.span_id};
  }

  static void refresh(RequestTrace& trace, const CallUpdate& update) {
    trace.exchange = update.exchange;
    if (update.exchange.connection) trace.connection = *update.exchange.connection;
    copy_without_times(trace.call, update.call);
  }

  /// The head is there since the call was opened.
  static void note_request(RequestTrace& trace, const CallUpdate& update) {
    auto& request = trace.exchange.request;
    request.end = update.exchange.request.end;
    request.body_bytes = update.exchange.request.body_bytes;
    request.body_hash = update.exchange.request.body_hash;
    trace.exchange.gaps = update.exchange.gaps;
    trace.exchange.gaps_total = update.exchange.gaps_total;
    copy_without_times(trace.call, update.call);
  }

  /// The hot path: copies text only with the first token.
  static void note_token(RequestTrace& trace, const CallUpdate& update) {
    if (!trace.call.first_token) refresh(trace, update);
    trace.call.last_token = update.call.last_token;
    trace.call.usage = update.call.usage;
    trace.call.response.content_events = update.call.response.content_events;
    trace.call.response.tool_calls = update.call.response.tool_calls;
    trace.exchange.response.body_bytes = update.exchange.response.body_bytes;
  }

  void close(ExchangeKey key, RequestTrace& trace, const CallUpdate& update) {
    trace.exchange = update.exchange;
    if (update.exchange.connection) trace.connection = *update.exchange.connection;
    trace.call = update.call;
    trace.role = update.exchange.role;
    identify(trace);
    const bool complete = update.exchange.ending == Exchange::Ending::complete;
    trace.end = std::max(trace.begin, complete ? update.exchange.response.end.value_or(update.time) : update.time);
    trace.outcome = outcome_of(trace.exchange, trace.call);
    trace.lost = loss_of(trace.exchange, trace.call);
    trace.complete = trace.lost.empty();
    trace.engine = engine_requests_.find(trace);
    trace.explanation = engine_steps_.close(key, update, trace.end);
    complete_usage(trace);
    derive_durations(trace);
    place(trace, links_.closed(key, update.exchange, update.time));
  }

  static void place(RequestTrace& trace, TraceContext context) {
    if (context.trace_id != TraceId{}) trace.trace_id = context.trace_id;
    trace.parent_span_id = context.parent;
    trace.trace_state = std::move(context.state);
    if (trace.call.operation.empty()) trace.call_span_id.reset();
  }

  /// A process that was not known when the call began may be known by now.
  void identify(RequestTrace& trace) const {
    if (trace.process.start_time_ns != 0 || !trace.process.name.empty()) return;
    const auto process = processes_.find(trace.process.pid);
    if (process != processes_.end()) trace.process = process->second;
  }

  void start(const ProcessStarted& started, Time time) {
    expire(time);
    if (!processes_.contains(started.pid)) {
      for (; processes_.size() >= limits_.processes && !exited_.empty(); ++processes_forgotten_) forget_oldest();
      if (processes_.size() >= limits_.processes) {
        ++processes_forgotten_;
        return;
      }
    }
    processes_[started.pid] = {started.pid, started.start_time_ns, started.name, started.executable,
                               started.command_line};
  }

  void exit(const ProcessExited& exited, Time time) {
    expire(time);
    if (!exited_.empty() && exited_.size() >= limits_.processes) forget_oldest();
    const auto process = processes_.find(exited.pid);
    if (process != processes_.end()) exited_.push_back({exited.pid, process->second.start_time_ns, time});
  }

  void expire(Time now) {
    while (!exited_.empty() && elapsed(exited_.front().time, now) > limits_.keep_process) forget_oldest();
  }

  void forget_oldest() {
    const Exited oldest = exited_.front();
    exited_.pop_front();
    const auto process = processes_.find(oldest.pid);
    // Its number may name another process by now.
    if (process != processes_.end() && process->second.start_time_ns == oldest.start_time_ns) processes_.erase(process);
  }

  struct Exited {
    Pid pid = 0;
    std::uint64_t start_time_ns = 0;
    Time time{};
  };

  Limits limits_;
  Links links_;
  EngineRequests engine_requests_;
  EngineSteps engine_steps_;
  std::unordered_map<ExchangeKey, RequestTrace, ExchangeKeyHash> open_{};
  std::unordered_map<Pid, ProcessIdentity> processes_{};
  std::deque<Exited> exited_{};
  std::int64_t unix_minus_kernel_ns_ = 0;
  std::uint64_t processes_forgotten_ = 0;
  StageStats stats_{};
};

Correlator::Correlator(Limits limits) : impl_(std::make_unique<Impl>(limits)) {}
Correlator::~Correlator() = default;
Correlator::Correlator(Correlator&&) noexcept = default;
Correlator& Correlator::operator=(Correlator&&) noexcept = default;

void Correlator::on(const Event& event) {
  impl_->on(event);
}
void Correlator::on(const EngineUpdate& update) {
  impl_->on(update);
}
void Correlator::on(const CallUpdate& update, const Emit<RequestTrace>& emit) {
  impl_->on(update, emit);
}
void Correlator::in_flight(Time now, const Emit<RequestTrace>& emit) const {
  impl_->in_flight(now, emit);
}
std::pair<TraceId, SpanId> Correlator::mark(ConnectionId connection, std::uint64_t sequence,
                                            const std::string& finding) {
  return impl_->mark({connection, sequence}, finding);
}
StageStats Correlator::stats() const {
  return impl_->stats();
}
Counters Correlator::counters() const {
  return impl_->counters();
}
StageStats Correlator::engine_requests() const {
  return impl_->engine_requests();
}
StageStats Correlator::explained_requests() const {
  return impl_->explained_requests();
}

}  // namespace inferscope::correlate
