// SPDX-License-Identifier: Apache-2.0
#include "detect/detect.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "detect/detector.h"
#include "detect/server.h"
#include "model/time_math.h"

namespace inferscope::detect {
namespace {

/// Of the exponential average of a request's own gaps: about the last ten count.
constexpr double gap_fading = 0.1;
/// After a long pause of the event stream (a suspended host) only so many judgements are made up for.
constexpr int most_ticks_at_once = 2400;

}  // namespace

class Detect::Impl {
 public:
  Impl(NameRequest name_request, Limits limits) : limits_(limits), book_(std::move(name_request)) {}

  void on(const Event& event, const Emit<FindingUpdate>& emit) {
    judge_until(event.time, emit);
    begin(event.time, emit);
    if (const auto* started = std::get_if<ProcessStarted>(&event.body)) on_started(*started);
    if (const auto* exited = std::get_if<ProcessExited>(&event.body)) on_exited(*exited);
    if (const auto* sample = std::get_if<ProcessSample>(&event.body)) on_sample(*sample);
    if (const auto* opened = std::get_if<ConnectionOpened>(&event.body)) on_opened(*opened);
    if (std::holds_alternative<EventsLost>(event.body))
      for (auto& [pid, server] : servers_) server.last_loss = now_;
    if (const auto* clock = std::get_if<ClockSet>(&event.body)) unix_minus_kernel_ns_ = clock->unix_minus_kernel_ns;
  }

  void on(const CallUpdate& update, const Emit<FindingUpdate>& emit) {
    if (update.exchange.role != Role::server || update.call.dialect.empty() || !update.exchange.connection) return;
    if (update.call.is_session()) return;  // it is silent for as long as its user is
    begin(std::max(now_, update.time), emit);
    const auto found = servers_.find(update.exchange.pid);
    if (found == servers_.end()) return;
    Server& server = found->second;
    const auto key = std::make_pair(update.exchange.connection->id, update.exchange.sequence);
    auto request = server.requests.find(key);
    if (request == server.requests.end()) {
      if (update.kind == CallUpdate::Kind::closed || !open(server, key, update)) return;
      request = server.requests.find(key);
    }
    learn_of(server, request->second, update);
    if (update.kind == CallUpdate::Kind::token) on_token(server, request->second, update);
    if (update.kind != CallUpdate::Kind::closed) return;
    Context context = this->context();
    for (const auto& detector : detectors_) detector->on_closed(server, request->second, update, context);
    server.requests.erase(request);
    --open_requests_;
  }

  void on(const RequestTrace& trace, const Emit<FindingUpdate>& emit) {
    if (trace.role != Role::server || trace.call.dialect.empty()) return;
    const auto found = servers_.find(trace.process.pid);
    if (found == servers_.end()) return;
    begin(std::max(now_, trace.end), emit);
    Context context = this->context();
    for (const auto& detector : detectors_) detector->on_trace(found->second, trace, context);
  }

  void judge_until(Time time, const Emit<FindingUpdate>& emit) {
    if (!next_) {
      // The first multiple of the interval after the stream's beginning.
      next_ = Time{(time.time_since_epoch() / interval + 1) * interval};
      return;
    }
    const auto due = elapsed(*next_, time) / interval;
    if (due > most_ticks_at_once) *next_ += (due - most_ticks_at_once) * interval;
    for (; *next_ <= time; *next_ += interval) judge(*next_, emit);
  }

  void finish(Time now, const Emit<FindingUpdate>& emit) {
    judge_until(now, emit);
    begin(now, emit);
    book_.lose_sight_of_all("the agent stopped watching");
  }

  [[nodiscard]] StageStats stats() const { return book_.stats(); }
  [[nodiscard]] Counters counters() const { return counters_; }

 private:
  Context context() { return {book_, now_, unix_minus_kernel_ns_}; }

  void begin(Time now, const Emit<FindingUpdate>& emit) {
    now_ = now;
    book_.tell(&emit, now);
  }

  void judge(Time now, const Emit<FindingUpdate>& emit) {
    begin(now, emit);
    Context context = this->context();
    for (auto& [pid, server] : servers_)
      for (const auto& detector : detectors_) detector->tick(server, context);
    for (const auto& detector : detectors_) detector->tick(context);
  }

  void on_started(const ProcessStarted& started) {
    Context context = this->context();
    for (const auto& detector : detectors_) detector->on_started(started, context);
    const auto known = servers_.find(started.pid);
    if (known != servers_.end()) {
      if (known->second.process.start_time_ns == started.start_time_ns) {
        known->second.process.name = started.name;  // another program in the same process, or told again
        known->second.process.executable = started.executable;
        return;
      }
      forget(known);
    }
    if (servers_.size() >= limits_.servers) {
      ++counters_.servers_ignored;
      return;
    }
    servers_[started.pid].process = {.pid = started.pid,
                                     .start_time_ns = started.start_time_ns,
                                     .name = started.name,
                                     .executable = started.executable};
  }

  void on_exited(const ProcessExited& exited) {
    const auto found = servers_.find(exited.pid);
    if (found == servers_.end()) return;
    std::vector<Finding*> open;
    book_.each(found->second, [&open](Finding& finding) { open.push_back(&finding); });
    for (Finding* finding : open) book_.lose_sight(*finding, "its process ended");
    Context context = this->context();
    for (const auto& detector : detectors_) detector->on_exited(found->second, exited, context);
    forget(found);
  }

  void forget(std::map<Pid, Server>::iterator server) {
    open_requests_ -= server->second.requests.size();
    servers_.erase(server);
  }

  void on_sample(const ProcessSample& sample) {
    const auto found = servers_.find(sample.process.pid);
    if (found == servers_.end()) return;
    Server& server = found->second;
    // The start event says who it is; only the cgroup is news.
    server.process.cgroup = sample.process.cgroup;
    server.process.cgroup_id = sample.process.cgroup_id;
    server.samples.emplace_back(now_, sample);
    while (elapsed(server.samples.front().first, now_) > Server::samples_kept) server.samples.pop_front();
  }

  void on_opened(const ConnectionOpened& opened) {
    if (opened.connection.role != Role::server) return;
    const auto found = servers_.find(opened.connection.pid);
    if (found == servers_.end()) return;
    found->second.last_accept = now_;
    if (opened.connection.local.port != 0) found->second.port = opened.connection.local.port;
  }

  bool open(Server& server, std::pair<ConnectionId, std::uint64_t> key, const CallUpdate& update) {
    if (open_requests_ >= limits_.requests) {
      ++counters_.requests_ignored;
      return false;
    }
    ++open_requests_;
    ++server.calls;
    OpenRequest& request = server.requests[key];
    request.ref = {key.first, key.second, {}, {}};
    request.begin = update.exchange.request.begin.value_or(update.time);
    if (server.port == 0) server.port = update.exchange.connection->local.port;
    return true;
  }

  static void learn_of(Server& server, OpenRequest& request, const CallUpdate& update) {
    if (request.model.empty()) {
      const auto& model = update.call.request.model ? update.call.request.model : update.call.response.model;
      if (model) request.model = server.bounded_model(*model);
    }
    request.streams = update.call.request.stream.value_or(request.streams);
    if (!update.exchange.gaps.empty()) request.streams = request.streams && request.tokens > 0;
    if (request.ready || !update.exchange.request.end) return;
    request.ready = update.exchange.request.end;
    request.load = {server.working(), update.call.request.prompt_bytes.value_or(update.exchange.request.body_bytes)};
  }

  void on_token(Server& server, OpenRequest& request, const CallUpdate& update) {
    const double gap = request.last_token ? to_seconds(elapsed(*request.last_token, update.time)) : 0;
    if (!request.first_token) request.first_token = update.time;
    request.last_token = update.time;
    ++request.tokens;
    if (gap > 0) {
      server.gaps.add(gap);
      request.usual_gap =
          request.usual_gap > 0 ? request.usual_gap * std::pow(gap / request.usual_gap, gap_fading) : gap;
    }
    Context context = this->context();
    for (const auto& detector : detectors_) detector->on_token(server, request, gap, context);
  }

  Limits limits_;
  FindingBook book_;
  Detectors detectors_ = make_detectors();
  std::map<Pid, Server> servers_{};
  std::size_t open_requests_ = 0;
  std::optional<Time> next_{};
  Time now_{};
  std::int64_t unix_minus_kernel_ns_ = 0;
  Counters counters_{};
};

Detect::Detect(NameRequest name_request, Limits limits)
    : impl_(std::make_unique<Impl>(std::move(name_request), limits)) {}
Detect::~Detect() = default;

void Detect::on(const Event& event, const Emit<FindingUpdate>& emit) {
  impl_->on(event, emit);
}
void Detect::on(const CallUpdate& update, const Emit<FindingUpdate>& emit) {
  impl_->on(update, emit);
}
void Detect::on(const RequestTrace& trace, const Emit<FindingUpdate>& emit) {
  impl_->on(trace, emit);
}
void Detect::tick(Time settled, const Emit<FindingUpdate>& emit) {
  impl_->judge_until(settled, emit);
}
void Detect::finish(Time now, const Emit<FindingUpdate>& emit) {
  impl_->finish(now, emit);
}
StageStats Detect::stats() const {
  return impl_->stats();
}
Counters Detect::counters() const {
  return impl_->counters();
}

}  // namespace inferscope::detect
