// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <utility>

#include "model/attributes.h"
#include "model/text.h"
#include "runtime/status.h"

namespace inferscope::runtime {
namespace {

using Level = ProbeLevel::Level;
using Points = std::vector<Metric::Point>;

constexpr std::array levels{Level::full, Level::sums, Level::waits, Level::off};

std::int64_t whole(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

/// Of what its probes are, and how those are used: of each state that there is, whether it is in it.
void add_states(Points& points, std::int64_t pid, const char* of,
                std::initializer_list<std::pair<std::string_view, bool>> states) {
  for (const auto& [state, now] : states)
    points.push_back({{{attribute::process_pid, pid},
                       {attribute::probe_of, std::string(of)},
                       {attribute::probe_state, std::string(state)}},
                      std::int64_t{now}});
}

void add_probes(const std::vector<source::ProbeUse>& uses, std::vector<Metric>& out) {
  Points costs, budgets, states;
  for (const source::ProbeUse& use : uses) {
    const std::int64_t pid = use.pid;
    for (const auto& [of, cost] : {std::pair("gpus", use.of_gpus), std::pair("threads", use.of_threads),
                                   std::pair("tls", use.of_tls), std::pair("sockets", use.of_sockets)})
      costs.push_back({{{attribute::process_pid, pid}, {attribute::probe_of, std::string(of)}}, cost});
    budgets.push_back({{{attribute::process_pid, pid}}, use.allowed});
    for (const Level level : levels) add_states(states, pid, "gpus", {{name_of(level), use.level == level}});
    add_states(states, pid, "threads", {{"on", use.threads}, {"off", !use.threads}});
  }
  out.push_back({attribute::metric_probe_cost, "{cpu}", "What the probes in a process cost lately, in processors.",
                 Metric::Kind::gauge, std::move(costs)});
  out.push_back(
      {attribute::metric_probe_budget, "{cpu}", "What they may cost.", Metric::Kind::gauge, std::move(budgets)});
  out.push_back({attribute::metric_probe_level, "1", "In how much detail a process is seen: 1 for the state it is in.",
                 Metric::Kind::gauge, std::move(states)});
}

void add_stages(const std::map<std::string, StageStats>& stages, std::vector<Metric>& out) {
  Points in, passed, held, dropped;
  for (const auto& [name, stats] : stages) {
    const Attribute stage{attribute::stage_name, clean_text(name)};
    in.push_back({{stage}, whole(stats.in)});
    passed.push_back({{stage}, whole(stats.out)});
    held.push_back({{stage}, whole(stats.held)});
    for (const auto& [reason, count] : stats.dropped)
      dropped.push_back({{stage, {attribute::drop_reason, clean_text(reason)}}, whole(count)});
  }
  out.push_back({attribute::metric_stage_in, "{item}", "What a stage took.", Metric::Kind::sum, std::move(in)});
  out.push_back({attribute::metric_stage_out, "{item}", "What it passed on.", Metric::Kind::sum, std::move(passed)});
  out.push_back({attribute::metric_stage_held, "{item}", "What it holds.", Metric::Kind::gauge, std::move(held)});
  out.push_back(
      {attribute::metric_stage_dropped, "{item}", "What it dropped, and why.", Metric::Kind::sum, std::move(dropped)});
}

}  // namespace

Metrics metrics_of(const StatusView& view, std::int64_t unix_ns) {
  Metrics metrics{.begin_unix_ns = unix_ns - view.uptime.count(), .unix_ns = unix_ns};
  std::vector<Metric>& out = metrics.all;
  out.push_back({attribute::metric_processes,
                 "{process}",
                 "Watched ones.",
                 Metric::Kind::gauge,
                 {{{}, whole(view.watched_processes)}}});
  Points active;
  for (const source::Capability& capability : view.capabilities)
    active.push_back({{{attribute::probe_name, capability.name}}, std::int64_t{capability.active}});
  out.push_back({attribute::metric_probe_active, "1", "Which kinds of probes this kernel has taken.",
                 Metric::Kind::gauge, std::move(active)});
  add_probes(view.probe_uses, out);
  add_stages(view.stages, out);
  Points counters;
  source::for_each_counter(view.counters, [&counters](std::string_view name, std::uint64_t value) {
    counters.push_back({{{attribute::counter_name, std::string(name)}}, whole(value)});
  });
  out.push_back({attribute::metric_kernel_count, "{event}", "What the kernel's side counted.", Metric::Kind::sum,
                 std::move(counters)});
  return metrics;
}

}  // namespace inferscope::runtime
