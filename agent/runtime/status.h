// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/stage_stats.h"
#include "core/time.h"
#include "model/metric.h"
#include "source/live/live_source.h"

namespace inferscope::runtime {

/// What the running agent says of itself.
struct StatusView {
  Duration uptime{};
  std::size_t watched_processes = 0;
  std::uint64_t traces = 0;
  std::string acting{};  ///< in words: armed or not, how many policies
  std::vector<source::Capability> capabilities{};
  source::LiveCounters counters{};
  std::vector<source::ProbeUse> probe_uses{};
  std::map<std::string, StageStats> stages{};
};

std::string to_json(const StatusView& view);
/// The same as metrics, at a time.
Metrics metrics_of(const StatusView& view, std::int64_t unix_ns);

}  // namespace inferscope::runtime
