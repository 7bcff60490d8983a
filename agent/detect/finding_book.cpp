// SPDX-License-Identifier: Apache-2.0
#include "detect/finding_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/hash.h"
#include "model/time_math.h"

namespace inferscope::detect {
namespace {

constexpr Duration measure_interval = std::chrono::milliseconds(500);

/// An id only has to be the same in a replay and different from others.
std::string make_id(std::string_view text) {
  return fmt::format("{:016x}", fnv1a(text));
}

}  // namespace

Finding* FindingBook::find(Finding::Kind kind, const Server& server, const std::string& topic) {
  const auto entry = open_.find({kind, server.process.pid, server.process.start_time_ns, topic});
  return entry == open_.end() ? nullptr : &entry->second.finding;
}

Finding* FindingBook::open(const Server& server, const std::string& topic, Finding draft,
                           std::int64_t unix_minus_kernel_ns) {
  ++stats_.in;
  if (open_.size() >= most_open) {
    stats_.drop("open finding limit", 1);
    return nullptr;
  }
  draft.server = server.process;
  draft.port = server.port;
  draft.detected = now_;
  draft.unix_minus_kernel_ns = unix_minus_kernel_ns;
  draft.gap = draft.gap || server.blind_since(draft.begin);
  draft.id = make_id(fmt::format("{}/{}/{}/{}/{}/{}", name_of(draft.kind), server.process.pid,
                                 server.process.start_time_ns, topic, to_ns(now_), unix_minus_kernel_ns));
  const Key key{draft.kind, server.process.pid, server.process.start_time_ns, topic};
  Entry& entry = open_[key] = {std::move(draft), std::nullopt};
  return &entry.finding;
}

void FindingBook::concern(Finding& finding, const OpenRequest& request) {
  const auto same = [&request](const RequestRef& other) {
    return other.connection == request.ref.connection && other.sequence == request.ref.sequence;
  };
  if (std::any_of(finding.requests.begin(), finding.requests.end(), same)) return;
  if (finding.requests.size() >= Finding::requests_kept) return;
  RequestRef ref = request.ref;
  if (name_request_) ref = name_request_(ref.connection, ref.sequence, finding.id);
  finding.requests.push_back(ref);
  finding.requests_total = std::max<std::uint64_t>(finding.requests_total, finding.requests.size());
}

std::map<FindingBook::Key, FindingBook::Entry>::iterator FindingBook::entry_of(const Finding& finding) {
  return std::find_if(open_.begin(), open_.end(), [&](const auto& one) { return &one.second.finding == &finding; });
}

void FindingBook::changed(Finding& finding, bool measure_only) {
  const auto entry = entry_of(finding);
  if (entry == open_.end()) return;
  const bool first = !entry->second.told;
  if (!first && measure_only && elapsed(*entry->second.told, now_) < measure_interval) return;
  entry->second.told = now_;
  if (emit_) (*emit_)({first ? FindingUpdate::Kind::opened : FindingUpdate::Kind::updated, finding, now_});
}

void FindingBook::close_entry(std::map<Key, Entry>::iterator entry, const std::string& how, bool lost_sight) {
  Finding finding = std::move(entry->second.finding);
  open_.erase(entry);
  finding.end = now_;
  finding.lost_sight = lost_sight;
  if (!how.empty()) finding.summary += "; " + how;
  ++stats_.out;
  if (emit_) (*emit_)({FindingUpdate::Kind::closed, finding, now_});
}

void FindingBook::close(Finding& finding, const std::string& how) {
  if (const auto entry = entry_of(finding); entry != open_.end()) close_entry(entry, how, false);
}

void FindingBook::lose_sight(Finding& finding, const std::string& why) {
  if (const auto entry = entry_of(finding); entry != open_.end()) close_entry(entry, why, true);
}

void FindingBook::lose_sight_of_all(const std::string& why) {
  while (!open_.empty()) close_entry(open_.begin(), why, true);
}

void FindingBook::each(const Server& server, const std::function<void(Finding&)>& see) {
  for (auto& [key, entry] : open_)
    if (std::get<1>(key) == server.process.pid && std::get<2>(key) == server.process.start_time_ns) see(entry.finding);
}

StageStats FindingBook::stats() const {
  StageStats stats = stats_;
  stats.held = open_.size();
  return stats;
}

}  // namespace inferscope::detect
