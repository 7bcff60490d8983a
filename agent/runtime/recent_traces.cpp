// SPDX-License-Identifier: Apache-2.0
#include "runtime/recent_traces.h"

#include <algorithm>

#include "model/trace_attributes.h"

namespace inferscope::runtime {
namespace {

std::size_t size_of(const Headers& headers) {
  std::size_t size = headers.capacity() * sizeof(Header);
  for (const Header& header : headers) size += header.name.capacity() + header.value.capacity();
  return size;
}

std::size_t size_of(const RequestTrace& trace) {
  return sizeof(trace) + trace.call.token_times.capacity() * sizeof(Time) + size_of(trace.exchange.request.headers) +
         size_of(trace.exchange.response.headers) + trace.process.command_line.capacity() +
         trace.exchange.request.target.capacity() + trace.exchange.gaps.capacity() * sizeof(Gap);
}

}  // namespace

void RecentTraces::add(const RequestTrace& trace) {
  auto copy = std::make_shared<const RequestTrace>(trace);
  const std::lock_guard lock(mutex_);
  bytes_ += size_of(*copy);
  entries_.push_back({++total_, std::move(copy)});
  while (bytes_ > limit_bytes_ && entries_.size() > 1) {
    bytes_ -= size_of(*entries_.front().trace);
    entries_.pop_front();
  }
}

std::vector<RecentTraces::Entry> RecentTraces::after(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto begin = std::partition_point(entries_.begin(), entries_.end(),
                                          [number](const Entry& entry) { return entry.number <= number; });
  return {begin, entries_.end()};
}

std::vector<RecentTraces::Entry> RecentTraces::last(std::size_t count) const {
  const std::lock_guard lock(mutex_);
  return {entries_.end() - static_cast<std::ptrdiff_t>(std::min(count, entries_.size())), entries_.end()};
}

std::vector<RecentTraces::Entry> RecentTraces::find(std::string_view id_prefix) const {
  const std::lock_guard lock(mutex_);
  std::vector<Entry> found;
  for (const Entry& entry : entries_)
    if (hex(entry.trace->trace_id).starts_with(id_prefix) || hex(entry.trace->span_id).starts_with(id_prefix))
      found.push_back(entry);
  return found;
}

std::uint64_t RecentTraces::total() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace inferscope::runtime
