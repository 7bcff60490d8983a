// SPDX-License-Identifier: Apache-2.0
#include "correlate/engine_steps.h"

#include <unordered_map>
#include <utility>
#include <variant>

#include "correlate/engine_server.h"

namespace inferscope::correlate {
namespace {

/// From a worker to the process that serves what it works for.
constexpr int most_generations = 8;

}  // namespace

class EngineSteps::Impl {
 public:
  explicit Impl(const Limits& limits) : limits_(limits) {}

  void on(const Event& event) {
    if (const auto* transfer = std::get_if<Transfer>(&event.body)) {
      sent_ = {transfer->connection, transfer->tid};
    } else if (const auto* run = std::get_if<ThreadRun>(&event.body)) {
      if (EngineServer* server = server_of_thread(*run)) tell(*server, *run);
    } else if (const auto* work = std::get_if<GpuWork>(&event.body)) {
      if (EngineServer* server = server_of(work->pid)) server->on(*work);
    } else if (const auto* level = std::get_if<ProbeLevel>(&event.body)) {
      on(*level);
    } else if (const auto* reclaim = std::get_if<MemoryReclaim>(&event.body)) {
      if (EngineServer* server = server_of(reclaim->pid)) server->on(*reclaim);
    } else if (const auto* sample = std::get_if<ProcessSample>(&event.body)) {
      if (EngineServer* server = server_of(sample->process.pid)) server->on(*sample, event.time);
    } else if (const auto* stall = std::get_if<SendStall>(&event.body)) {
      if (EngineServer* server = server_of(stall->pid)) server->on(*stall);
    } else if (const auto* started = std::get_if<ProcessStarted>(&event.body)) {
      if (parents_.size() < limits_.servers * 16) parents_[started->pid] = started->parent;
    } else if (const auto* exited = std::get_if<ProcessExited>(&event.body)) {
      if (EngineServer* server = server_of(exited->pid)) server->on_exit(exited->pid);
      levels_.erase(exited->pid);
      parents_.erase(exited->pid);
      gone_.push_back(exited->pid);
      forget_gone();
    } else if (std::holds_alternative<EventsLost>(event.body)) {
      for (auto& [pid, server] : servers_) server.on_loss();
    }
  }

  void on(ExchangeKey key, const CallUpdate& update, const RequestName& name) {
    if (update.kind == CallUpdate::Kind::opened) return open(key, update);
    const auto owner = owners_.find(key);
    if (owner == owners_.end()) return;
    EngineServer& server = servers_.at(owner->second);
    if (update.kind == CallUpdate::Kind::request) server.note_request(key, update, name);
    if (update.kind == CallUpdate::Kind::token)
      server.note_token(key, sent_.first == key.connection ? sent_.second : update.exchange.tid, update.time);
  }

  std::optional<Explanation> explain(ExchangeKey key, Time now) const {
    const auto owner = owners_.find(key);
    return owner == owners_.end() ? std::nullopt : servers_.at(owner->second).explain(key, now);
  }

  std::optional<Explanation> close(ExchangeKey key, const CallUpdate& update, Time end) {
    const auto owner = owners_.find(key);
    if (owner == owners_.end()) return std::nullopt;
    auto told = servers_.at(owner->second).close(key, update, end);
    owners_.erase(owner);
    ++out_;
    forget_gone();
    return told;
  }

  [[nodiscard]] Totals totals() const {
    Totals sum = past_;
    for (const auto& [pid, server] : servers_) sum += server.totals();
    return sum;
  }
  [[nodiscard]] StageStats stats() const {
    StageStats stats{.in = in_, .out = out_, .held = owners_.size()};
    stats.drop("limit", refused_);
    return stats;
  }

 private:
  /// It may be told before the process serves its first request.
  void on(const ProbeLevel& level) {
    if (is_full(level))
      levels_.erase(level.pid);
    else if (levels_.size() < limits_.servers * 16)
      levels_[level.pid] = level;
    if (EngineServer* server = server_of(level.pid)) server->on(level);
  }

  void open(ExchangeKey key, const CallUpdate& update) {
    if (update.exchange.role != Role::server || update.call.dialect.empty() || update.call.is_session()) return;
    ++in_;
    const Pid pid = update.exchange.pid;
    const bool room =
        owners_.size() < limits_.requests && (servers_.contains(pid) || servers_.size() < limits_.servers);
    if (!room || owners_.contains(key)) {
      ++refused_;
      return;
    }
    owners_[key] = pid;
    const auto [server, is_new] = servers_.try_emplace(pid);
    if (is_new)
      for (const auto& [of, level] : levels_)
        if (server_of(of) == &server->second) server->second.on(level);
    server->second.open(key, update);
  }

  EngineServer* server_of(Pid pid) {
    for (int generation = 0; generation < most_generations && pid > 1; ++generation) {
      if (const auto server = servers_.find(pid); server != servers_.end()) return &server->second;
      const auto parent = parents_.find(pid);
      if (parent == parents_.end()) return nullptr;
      pid = parent->second;
    }
    return nullptr;
  }

  /// The loop may be in a process that the server did not start.
  EngineServer* server_of_thread(const ThreadRun& run) {
    if (EngineServer* server = server_of(run.pid)) return server;
    const auto loop = loops_.find(run.tid);
    if (loop == loops_.end()) return nullptr;
    const auto server = servers_.find(loop->second);
    return server == servers_.end() ? nullptr : &server->second;
  }

  void tell(EngineServer& server, const ThreadRun& run) {
    const auto before = server.loop();
    server.on(run);
    if (server.loop() == before) return;
    if (before) loops_.erase(*before);
    if (server.loop()) loops_[*server.loop()] = run.pid;
  }

  /// Requests of a process that ended are closed after that.
  void forget_gone() {
    std::erase_if(gone_, [this](Pid pid) {
      const auto server = servers_.find(pid);
      if (server == servers_.end()) return true;
      if (server->second.requests() > 0) return false;
      past_ += server->second.totals();
      if (server->second.loop()) loops_.erase(*server->second.loop());
      servers_.erase(server);
      return true;
    });
  }

  Limits limits_;
  std::unordered_map<Pid, EngineServer> servers_{};
  std::unordered_map<ExchangeKey, Pid, ExchangeKeyHash> owners_{};
  std::unordered_map<Pid, Pid> parents_{};
  std::unordered_map<Pid, ProbeLevel> levels_{};  ///< of those that are not seen in full
  std::unordered_map<Tid, Pid> loops_{};
  std::vector<Pid> gone_{};
  std::pair<ConnectionId, Tid> sent_{};  ///< the last transfer
  Totals past_{};
  std::uint64_t in_ = 0;
  std::uint64_t out_ = 0;
  std::uint64_t refused_ = 0;
};

EngineSteps::EngineSteps(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}
EngineSteps::~EngineSteps() = default;
EngineSteps::EngineSteps(EngineSteps&&) noexcept = default;
EngineSteps& EngineSteps::operator=(EngineSteps&&) noexcept = default;

void EngineSteps::on(const Event& event) {
  impl_->on(event);
}
void EngineSteps::on(ExchangeKey key, const CallUpdate& update, const RequestName& name) {
  impl_->on(key, update, name);
}
std::optional<Explanation> EngineSteps::explain(ExchangeKey key, Time now) const {
  return impl_->explain(key, now);
}
std::optional<Explanation> EngineSteps::close(ExchangeKey key, const CallUpdate& update, Time end) {
  return impl_->close(key, update, end);
}
EngineSteps::Totals EngineSteps::totals() const {
  return impl_->totals();
}
StageStats EngineSteps::stats() const {
  return impl_->stats();
}

}  // namespace inferscope::correlate
