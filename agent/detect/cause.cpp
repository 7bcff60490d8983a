// SPDX-License-Identifier: Apache-2.0
#include "detect/cause.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "model/text.h"
#include "model/time_math.h"

namespace inferscope::detect {
namespace {

/// Older facts explain nothing.
constexpr Duration stale = std::chrono::seconds(2);
constexpr double telling_share = 0.2;

/// What of the window the samples explain, in seconds.
struct Sums {
  double time = 0;
  double waited = 0;
  double throttled = 0;
  std::map<Pid, std::pair<ProcessTarget, double>> rivals{};
};

Sums sum_up(const Server& server, Time now, Duration window) {
  Sums sums;
  for (const auto& [time, sample] : server.samples) {
    if (elapsed(time, now) > window) continue;
    sums.time += to_seconds(sample.interval);
    sums.waited += to_seconds(sample.waited);
    sums.throttled += to_seconds(sample.throttled);
    if (!sample.rival) continue;
    auto& [process, ran] = sums.rivals[sample.rival->process.pid];
    process = sample.rival->process;
    ran += to_seconds(sample.rival->ran);
  }
  return sums;
}

double share_of(double part, double whole) {
  return whole > 0 ? std::clamp(part / whole, 0.0, 1.0) : 0;
}

}  // namespace

Cause explain(const Server& server, Time now, Duration window) {
  if (server.samples.empty() || elapsed(server.samples.back().first, now) > stale) return {};
  const ProcessSample& last = server.samples.back().second;
  const std::string name = clean_text(server.process.name, 64);
  if (last.state == 'T' || last.state == 't')
    return {Cause::Kind::stopped,
            1,
            {},
            fmt::format("process {} ({}) is stopped by a {}", last.process.pid, name,
                        last.state == 't' ? "debugger" : "signal")};
  if (last.frozen)
    return {Cause::Kind::frozen, 1, {}, fmt::format("the cgroup {} of {} is frozen", last.process.cgroup, name)};
  const Sums sums = sum_up(server, now, window);
  if (const double share = share_of(sums.throttled, sums.time); share > telling_share)
    return {Cause::Kind::throttled,
            share,
            {},
            fmt::format("the cgroup {} of {} was out of its processor quota for {:.0f} % of the time",
                        last.process.cgroup, name, share * 100)};
  const double share = share_of(sums.waited, sums.time);
  if (share <= telling_share) return {Cause::Kind::none, 0, {}, "the host's facts explain nothing: it is the server"};
  Cause cause{
      Cause::Kind::cpu_contention,
      share,
      {},
      fmt::format("thread {} of {} waited for a processor for {:.0f} % of the time", last.thread, name, share * 100)};
  const auto most = std::max_element(sums.rivals.begin(), sums.rivals.end(),
                                     [](const auto& a, const auto& b) { return a.second.second < b.second.second; });
  if (most != sums.rivals.end()) {
    cause.culprit = most->second.first;
    cause.text += fmt::format(", while {} (pid {}) used it", clean_text(cause.culprit->name, 64), cause.culprit->pid);
  }
  return cause;
}

}  // namespace inferscope::detect
