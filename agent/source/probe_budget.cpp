// SPDX-License-Identifier: Apache-2.0
#include "source/probe_budget.h"

#include <algorithm>

namespace inferscope::source {
namespace {

using Level = ProbeLevel::Level;

constexpr double share_of_own = 0.01;
/// Of what is allowed, that the probes of sockets and TLS cannot take.
constexpr double share_of_details = 0.5;

constexpr DetailLadder::Shape gpu_shape{.lowest = static_cast<int>(Level::off),
                                        .slow_from = static_cast<int>(Level::waits)};
constexpr DetailLadder::Shape thread_shape{.lowest = 1, .slow_from = 2, .guesses = false};

double cost_of(std::uint64_t count, Duration each) {
  return static_cast<double>(count) * to_seconds(each);
}

double cost_of(const ProbeHits& hits, const ProbeCosts& costs) {
  return cost_of(hits.emulated, costs.emulated) + cost_of(hits.stepped, costs.stepped) +
         cost_of(hits.returns, costs.returns);
}

}  // namespace

bool ProbeBudget::adapt(Process& process, double threads_if_told) {
  const ProbeUse& use = process.use;
  const double room = std::max(use.allowed - use.of_tls - use.of_sockets, share_of_details * use.allowed);
  const double gpu_room = std::max(room - use.of_threads, 0.0);
  if (use.of_gpus + use.of_threads <= room)
    return process.gpus.rise(process.gpus.expected_above(use.of_gpus), gpu_room) ||
           process.threads.rise(threads_if_told, std::max(room - use.of_gpus, 0.0));
  if (use.of_threads > use.of_gpus) return process.threads.lower(use.of_threads, 1);
  // That single calls are not told any more does not halve what a process costs.
  const bool far_too_much = use.level == Level::full && use.of_gpus > 2 * gpu_room;
  return process.gpus.lower(use.of_gpus, far_too_much ? 2 : 1);
}

std::optional<ProbeLevel> ProbeBudget::look(Pid pid, const Look& look, const ProbeCosts& costs) {
  Process& process =
      processes_
          .try_emplace(
              pid, Process{.use = {.pid = pid}, .gpus = DetailLadder(gpu_shape), .threads = DetailLadder(thread_shape)})
          .first->second;
  ProbeUse& use = process.use;
  const double interval = to_seconds(look.interval);
  const double threads_if_told = cost_of(look.turns, costs.turn) / interval;
  use.of_gpus = cost_of(look.gpu, costs) / interval;
  use.of_threads = use.threads ? threads_if_told : 0;
  use.of_tls = cost_of(look.tls, costs) / interval;
  use.of_sockets = (cost_of(look.calls, costs.call) + cost_of(look.transfers, costs.transfer)) / interval;
  use.allowed = std::max(share_, share_of_own * to_seconds(look.own) / interval);
  process.gpus.pass(look.interval);
  process.threads.pass(look.interval);
  if (!adapt(process, threads_if_told)) return std::nullopt;
  use.level = static_cast<Level>(process.gpus.level());
  use.threads = process.threads.level() == 0;
  return ProbeLevel{.pid = pid, .level = use.level, .threads = use.threads, .cost = use.cost()};
}

Level ProbeBudget::level(Pid pid) const {
  const auto found = processes_.find(pid);
  return found == processes_.end() ? Level::full : found->second.use.level;
}

std::vector<ProbeUse> ProbeBudget::uses() const {
  std::vector<ProbeUse> all;
  for (const auto& [pid, process] : processes_) all.push_back(process.use);
  return all;
}

}  // namespace inferscope::source
