// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "runtime/status.h"

namespace inferscope::runtime {
namespace {

/// "key=value key=value" -> value, of one metric.
std::map<std::string, double> points_of(const Metrics& metrics, std::string_view name) {
  const auto found = std::find_if(metrics.all.begin(), metrics.all.end(),
                                  [name](const Metric& metric) { return metric.name == name; });
  if (found == metrics.all.end()) return {};
  std::map<std::string, double> points;
  for (const Metric::Point& point : found->points) {
    std::string where;
    for (const Attribute& attribute : point.attributes) {
      where += where.empty() ? "" : " ";
      const auto* number = std::get_if<std::int64_t>(&attribute.value);
      where += number ? std::to_string(*number) : std::get<std::string>(attribute.value);
    }
    const bool fresh =
        points.emplace(where, std::visit([](auto value) { return static_cast<double>(value); }, point.value)).second;
    EXPECT_TRUE(fresh) << name << ": " << where << " twice";
  }
  return points;
}

TEST(StatusMetrics, ProbesOfAProcess) {
  StatusView view{.uptime = std::chrono::seconds(10)};
  view.probe_uses.push_back({.pid = 42,
                             .level = ProbeLevel::Level::waits,
                             .threads = false,
                             .of_gpus = 0.5,
                             .of_threads = 0.25,
                             .of_tls = 0.125,
                             .of_sockets = 2,
                             .allowed = 0.01});
  const Metrics metrics = metrics_of(view, 30'000'000'000);
  EXPECT_EQ(metrics.begin_unix_ns, 20'000'000'000);
  EXPECT_EQ(
      points_of(metrics, "inferscope.probe.cost"),
      (std::map<std::string, double>{{"42 gpus", 0.5}, {"42 threads", 0.25}, {"42 tls", 0.125}, {"42 sockets", 2}}));
  EXPECT_EQ(points_of(metrics, "inferscope.probe.budget"), (std::map<std::string, double>{{"42", 0.01}}));
  EXPECT_EQ(points_of(metrics, "inferscope.probe.level"), (std::map<std::string, double>{{"42 gpus full", 0},
                                                                                         {"42 gpus sums", 0},
                                                                                         {"42 gpus waits", 1},
                                                                                         {"42 gpus off", 0},
                                                                                         {"42 threads on", 0},
                                                                                         {"42 threads off", 1}}));
}

TEST(StatusMetrics, StagesAndCounters) {
  StatusView view{.watched_processes = 3};
  view.capabilities.push_back({.name = "socket", .active = true});
  view.capabilities.push_back({.name = "uring"});
  view.counters.transfers = 5;
  view.counters.records_refused = 1;
  view.stages["assemble (bytes)"] = {.in = 10, .out = 6, .held = 1, .dropped = {{"cut", 3}}};
  const Metrics metrics = metrics_of(view, 0);
  EXPECT_EQ(points_of(metrics, "inferscope.processes"), (std::map<std::string, double>{{"", 3}}));
  EXPECT_EQ(points_of(metrics, "inferscope.probe.active"),
            (std::map<std::string, double>{{"socket", 1}, {"uring", 0}}));
  EXPECT_EQ(points_of(metrics, "inferscope.stage.in"), (std::map<std::string, double>{{"assemble (bytes)", 10}}));
  EXPECT_EQ(points_of(metrics, "inferscope.stage.out").at("assemble (bytes)"), 6);
  EXPECT_EQ(points_of(metrics, "inferscope.stage.held").at("assemble (bytes)"), 1);
  EXPECT_EQ(points_of(metrics, "inferscope.stage.dropped").at("assemble (bytes) cut"), 3);
  const auto counters = points_of(metrics, "inferscope.kernel.count");
  EXPECT_EQ(counters.at("transfers"), 5);
  EXPECT_EQ(counters.at("records_refused"), 1);
  EXPECT_EQ(counters.size(), 22u) << "each of LiveCounters";
  for (const Metric& metric : metrics.all) {
    EXPECT_FALSE(metric.unit.empty() || metric.description.empty()) << metric.name;
    EXPECT_EQ(metric.kind == Metric::Kind::sum, metric.name.find(".stage.") != std::string_view::npos
                                                    ? metric.name != "inferscope.stage.held"
                                                    : metric.name == "inferscope.kernel.count")
        << metric.name;
  }
}

}  // namespace
}  // namespace inferscope::runtime
