// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "detect/detect.h"

namespace inferscope::detect {

using std::chrono::milliseconds;

/// A server and its requests, played to the detectors; the clock moves only when told.
class Play {
 public:
  struct Told {
    FindingUpdate::Kind kind{};
    Finding finding{};
    Time time{};
  };
  struct Request {
    std::shared_ptr<Exchange> exchange = std::make_shared<Exchange>();
    InferenceCall call{};
  };

  explicit Play(NameRequest name_request = {}, Limits limits = {}) : detect_(std::move(name_request), limits) {
    event(ClockSet{1'000});
    start();
  }

  void start(Pid pid = 100, std::uint64_t start_time = 7, const std::string& executable = "/usr/bin/server") {
    event(ProcessStarted{.pid = pid, .start_time_ns = start_time, .name = "server", .executable = executable});
  }

  Play& wait(milliseconds time) {
    const Time end = now_ + time;
    while (now_ < end) {
      now_ = std::min({end, now_ + tick_, next_sample_ && *next_sample_ > now_ ? *next_sample_ : end});
      if (next_sample_ && now_ >= *next_sample_) {
        next_sample_ = now_ + milliseconds(200);
        event(facts);
      }
      detect_.tick(now_, emit_);
    }
    return *this;
  }
  /// How finely time passes; results must not depend on it.
  void tick(milliseconds tick) { tick_ = tick; }
  /// From now on the host tells `facts` five times a second.
  void sampled() { next_sample_ = now_; }

  template <class Body>
  void event(Body body) {
    detect_.on(Event{now_, std::move(body)}, emit_);
  }

  Request& open(ConnectionId id, std::uint64_t prompt_bytes = 400, bool stream = true, const std::string& model = "m") {
    Request& request = requests_[id] = {};
    Exchange& exchange = *request.exchange;
    exchange.connection = std::make_shared<Connection>(
        Connection{.id = id, .pid = 100, .role = Role::server, .local = {Family::ipv4, "127.0.0.1", 8080}});
    exchange.role = Role::server;
    exchange.pid = 100;
    exchange.request.begin = now_;
    request.call.dialect = "openai";
    request.call.operation = "chat";
    tell(CallUpdate::Kind::opened, request);
    exchange.request.end = now_;
    request.call.request.model = model;
    request.call.request.stream = stream;
    request.call.request.prompt_bytes = prompt_bytes;
    tell(CallUpdate::Kind::request, request);
    return request;
  }
  void token(ConnectionId id) { tell(CallUpdate::Kind::token, requests_.at(id)); }
  void close(ConnectionId id, int status = 200, Exchange::Ending ending = Exchange::Ending::complete) {
    Request request = requests_.at(id);
    requests_.erase(id);
    request.exchange->ending = ending;
    request.exchange->response.status = status;
    tell(CallUpdate::Kind::closed, request);
    RequestTrace trace;
    trace.role = Role::server;
    trace.process.pid = 100;
    trace.connection = *request.exchange->connection;
    trace.exchange = *request.exchange;
    trace.call = request.call;
    trace.end = now_;
    trace.outcome = status == 200 && ending == Exchange::Ending::complete ? Outcome::ok : Outcome::error;
    detect_.on(trace, emit_);
  }

  /// Each of the open requests gets `count` tokens, `gap` apart, give or take a tenth.
  void tokens(std::size_t count, milliseconds gap) {
    std::uniform_real_distribution<double> noise(0.9, 1.1);
    for (std::size_t i = 0; i < count; ++i) {
      wait(milliseconds(static_cast<int>(std::lround(static_cast<double>(gap.count()) * noise(random_)))));
      for (auto& [id, request] : requests_) tell(CallUpdate::Kind::token, request);
    }
  }
  /// A request of `count` tokens from its beginning to its end.
  void serve(ConnectionId id, std::size_t count, milliseconds gap, std::uint64_t prompt_bytes = 400) {
    open(id, prompt_bytes);
    tokens(count, gap);
    close(id);
  }

  void finish() { detect_.finish(now_, emit_); }

  [[nodiscard]] std::vector<Told> told(FindingUpdate::Kind kind) const {
    std::vector<Told> some;
    for (const Told& one : told_)
      if (one.kind == kind) some.push_back(one);
    return some;
  }
  [[nodiscard]] std::vector<Told> opened() const { return told(FindingUpdate::Kind::opened); }
  [[nodiscard]] std::vector<Told> closed() const { return told(FindingUpdate::Kind::closed); }
  [[nodiscard]] const std::vector<Told>& all() const { return told_; }
  [[nodiscard]] Time now() const { return now_; }
  [[nodiscard]] const Detect& detect() const { return detect_; }

  /// What the host says of the server.
  ProcessSample facts{.process = {.pid = 100, .start_time_ns = 7, .cgroup_id = 3, .cgroup = "/s", .name = "server"},
                      .state = 'S',
                      .interval = milliseconds(200),
                      .thread = 100,
                      .ran = milliseconds(180)};

 private:
  void tell(CallUpdate::Kind kind, Request& request) {
    detect_.on(CallUpdate{kind, request.call, *request.exchange, now_}, emit_);
  }

  Detect detect_;
  std::vector<Told> told_{};
  Emit<FindingUpdate> emit_ = [this](const FindingUpdate& update) {
    told_.push_back({update.kind, update.finding, update.time});
  };
  std::map<ConnectionId, Request> requests_{};
  std::minstd_rand random_{1};
  Time now_ = time_from_ns(5'000'000'000);
  milliseconds tick_{5};
  std::optional<Time> next_sample_{};
};

inline double seconds_between(Time a, Time b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace inferscope::detect
