// SPDX-License-Identifier: Apache-2.0
#include "correlate/gpu_log.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "model/time_math.h"

namespace inferscope::correlate {

void GpuLog::on(const GpuWork& work) {
  // What a graph has begun is over with the wait that follows, whose begin is the same.
  if (work.ending != GpuWork::Ending::wait || work.end <= work.begin) return;
  if (threads_.size() >= threads_kept && !threads_.contains(work.tid)) {
    lost_until_ = std::max(lost_until_, work.end);
    return;
  }
  auto& windows = threads_[work.tid];
  const Time begin = windows.empty() ? work.begin : std::max(work.begin, windows.back().end);
  if (work.end > begin) windows.push_back({begin, std::clamp(work.wait_begin, begin, work.end), work.end});
  if (windows.size() <= windows_kept) return;
  lost_until_ = std::max(lost_until_, windows.front().end);
  windows.pop_front();
}

GpuLog::Use GpuLog::peek(Time begin, Time end) const {
  Use use;
  std::vector<std::pair<Time, Time>> waits;
  for (const auto& [tid, windows] : threads_)
    for (const Window& window : windows) {
      if (window.begin >= end) break;
      const Time until = std::min(window.end, end);
      use.busy += elapsed(window.begin, until);
      use.any = true;
      const Time from = std::max(window.wait_begin, begin);
      if (until > from) waits.emplace_back(from, until);
    }
  std::sort(waits.begin(), waits.end());
  Time covered = begin;
  for (const auto& [from, until] : waits) {
    if (until > covered) use.waiting += elapsed(std::max(from, covered), until);
    covered = std::max(covered, until);
  }
  return use;
}

GpuLog::Use GpuLog::take(Time begin, Time end) {
  const Use use = peek(begin, end);
  for (auto& [tid, windows] : threads_) {
    while (!windows.empty() && windows.front().end <= end) windows.pop_front();
    if (!windows.empty() && windows.front().begin < end) windows.front().begin = end;
    if (!windows.empty()) windows.front().wait_begin = std::max(windows.front().wait_begin, windows.front().begin);
  }
  std::erase_if(threads_, [](const auto& thread) { return thread.second.empty(); });
  return use;
}

}  // namespace inferscope::correlate
