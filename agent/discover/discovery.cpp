// SPDX-License-Identifier: Apache-2.0
#include "discover/discovery.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

namespace inferscope::discover {
namespace {

using std::chrono::milliseconds;
/// When a new process is looked at again: runtimes are loaded late, models later still.
constexpr std::array<Duration, 5> look_delays{milliseconds(100), milliseconds(400), milliseconds(1500),
                                              milliseconds(5000), milliseconds(20000)};
constexpr Duration cleanup_interval = std::chrono::seconds(60);

ProcessStarted to_event(const Candidate& candidate) {
  const ProcessInfo& process = candidate.process;
  return {.pid = process.pid,
          .parent = process.parent,
          .start_time_ns = process.start_time_ns,
          .name = process.name,
          .executable = process.executable,
          .command_line = process.command_line,
          .reason = candidate.reason};
}

}  // namespace

Discovery::Discovery(DiscoveryOptions options, ProcReader proc, Actions actions)
    : options_(std::move(options)), proc_(std::move(proc)), actions_(std::move(actions)) {
  const auto asks = [](const Rule& rule) { return rule.port.has_value(); };
  rules_ask_ports_ = std::any_of(options_.watch.begin(), options_.watch.end(), asks) ||
                     std::any_of(options_.ignore.begin(), options_.ignore.end(), asks);
}

Candidate Discovery::judge(Pid pid, Ports look) {
  Candidate candidate;
  if (pid == getpid()) return candidate;  // what it does would be told to it, which it would do something about
  const auto info = proc_.read(pid);
  if (!info || info->executable.empty()) return candidate;
  candidate.process = *info;
  std::set<std::uint16_t> ports;
  if (look == Ports::always || rules_ask_ports_) ports = proc_.listening_ports(pid);
  if (const Rule* rule = exclusion_of(*info, ports)) {
    candidate.verdict = Verdict::ignored;
    candidate.reason = "excluded by the configuration: " + describe(*rule);
    return candidate;
  }
  for (const Rule& rule : options_.watch)
    if (matches(rule, *info, ports)) {
      candidate.verdict = Verdict::watched;
      candidate.reason = "named by the configuration: " + describe(rule);
      return candidate;
    }
  if (!options_.automatic) return candidate;
  if (const auto server = known_server(*info)) {
    candidate.verdict = Verdict::watched;
    candidate.reason = "is known as " + *server;
  } else if (const auto library = inference_library(proc_.mapped_libraries(pid))) {
    candidate.verdict = Verdict::watched;
    candidate.reason = "maps " + *library;
  } else if (!ports.empty()) {
    candidate.verdict = Verdict::sampled;
    candidate.reason =
        *ports.rbegin() == 0
            ? "listens on a unix socket; watched once it receives an inference request"
            : fmt::format("listens on port {}; watched once it receives an inference request", *ports.rbegin());
  }
  return candidate;
}

const Rule* Discovery::exclusion_of(const ProcessInfo& info, const std::set<std::uint16_t>& ports) const {
  for (const Rule& rule : options_.ignore)
    if (matches(rule, info, ports)) return &rule;
  return nullptr;
}

void Discovery::ignore(Pid pid) {
  pending_.erase(pid);
  watched_.erase(pid);
  actions_.ignore(pid);
}

void Discovery::keep_watching(Pid pid, const std::string& reason) {
  const auto info = proc_.read(pid);
  if (!info) return;
  if (exclusion_of(*info, rules_ask_ports_ ? proc_.listening_ports(pid) : std::set<std::uint16_t>()))
    ignore(pid);
  else
    watch({*info, Verdict::watched, reason});
}

void Discovery::watch(const Candidate& candidate) {
  watched_[candidate.process.pid] = candidate.process.start_time_ns;
  pending_.erase(candidate.process.pid);
  actions_.watch(to_event(candidate));
}

void Discovery::decide(Pid pid, Time now, Look look) {
  const Candidate candidate = judge(pid, look == Look::accepting ? Ports::always : Ports::if_a_rule_asks);
  switch (candidate.verdict) {
    case Verdict::watched:
      watch(candidate);
      break;
    case Verdict::ignored:
      ignore(pid);
      break;
    case Verdict::sampled:
      if (look == Look::accepting) actions_.sample(pid);
      [[fallthrough]];
    case Verdict::none:
      if (candidate.process.pid == 0) {
        pending_.erase(pid);  // gone
      } else if (look != Look::again) {
        pending_[pid] = {0, now + look_delays[0]};
      }
      break;
  }
}

void Discovery::scan(Time now) {
  proc_.forget_sockets();
  for (const Pid pid : proc_.pids()) decide(pid, now, Look::accepting);
}

void Discovery::on_executed(const ProcessNotice& notice) {
  const auto known = watched_.find(notice.pid);
  const auto info = proc_.read(notice.pid);
  if (known != watched_.end() && info && info->start_time_ns != known->second)
    watched_.erase(known);  // its exit was not told, and the number is another process's now
  if (watched_.contains(notice.pid))
    keep_watching(notice.pid, "child of a watched process, or a watched process with a new program");
  else
    decide(notice.pid, notice.time, Look::first);
}

void Discovery::on(const ProcessNotice& notice) {
  proc_.forget_sockets();
  switch (notice.kind) {
    case ProcessNotice::Kind::executed:
      on_executed(notice);
      break;
    case ProcessNotice::Kind::forked:
      keep_watching(notice.pid, fmt::format("child of watched process {}", notice.parent));
      break;
    case ProcessNotice::Kind::accepts_connections:
      decide(notice.pid, notice.time, Look::accepting);
      break;
    case ProcessNotice::Kind::received_inference:
      keep_watching(notice.pid, fmt::format("received an inference request ({})",
                                            notice.sample.substr(0, notice.sample.find_first_of("?\r\n"))));
      break;
  }
}

void Discovery::on(const ProcessExited& exited) {
  watched_.erase(exited.pid);
  pending_.erase(exited.pid);
}

void Discovery::tick(Time now) {
  bool looked = false;
  for (auto it = pending_.begin(); it != pending_.end();) {
    auto& [pid, pending] = *it++;
    if (now < pending.next) continue;
    if (!std::exchange(looked, true)) proc_.forget_sockets();
    const Pid one = pid;
    if (++pending.looks < look_delays.size()) {
      pending.next = now + look_delays[pending.looks];
      decide(one, now, Look::again);
    } else {
      decide(one, now, Look::again);
      pending_.erase(one);
    }
  }
  if (now < next_cleanup_) return;
  next_cleanup_ = now + cleanup_interval;
  for (auto it = watched_.begin(); it != watched_.end();) {
    const auto info = proc_.read(it->first);
    it = info && info->start_time_ns == it->second ? std::next(it) : watched_.erase(it);
  }
}

std::vector<Candidate> Discovery::candidates() {
  proc_.forget_sockets();
  std::vector<Candidate> found;
  for (const Pid pid : proc_.pids())
    if (Candidate candidate = judge(pid, Ports::always); candidate.verdict != Verdict::none)
      found.push_back(std::move(candidate));
  return found;
}

}  // namespace inferscope::discover
