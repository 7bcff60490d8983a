// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "core/emit.h"
#include "core/stage_stats.h"
#include "detect/server.h"
#include "model/finding.h"

namespace inferscope::detect {

/// Names a request's trace and marks it with the finding that it is concerned by; given by whoever makes the traces.
using NameRequest = std::function<RequestRef(ConnectionId, std::uint64_t sequence, const std::string& finding)>;

/// The findings that are open, and the telling of what becomes of them. One of a kind, process and topic at a time.
class FindingBook {
 public:
  static constexpr std::size_t most_open = 1024;

  explicit FindingBook(NameRequest name_request) : name_request_(std::move(name_request)) {}

  /// Where updates go during the current call of the stage.
  void tell(const Emit<FindingUpdate>* emit, Time now) {
    emit_ = emit;
    now_ = now;
  }

  /// The open finding, or null.
  [[nodiscard]] Finding* find(Finding::Kind kind, const Server& server, const std::string& topic);
  /// Opens a finding that `draft` describes; null if there are too many. `topic` tells findings of one kind and process
  /// apart: a model and a measure. It is told with the first call of changed(), when it is filled in.
  Finding* open(const Server& server, const std::string& topic, Finding draft, std::int64_t unix_minus_kernel_ns);
  /// The request is concerned by the finding.
  void concern(Finding& finding, const OpenRequest& request);
  /// Tells that members changed, at most twice a second for the measure alone.
  void changed(Finding& finding, bool measure_only = false);
  /// The trouble is over.
  void close(Finding& finding, const std::string& how);
  /// Whether it is over cannot be seen any more.
  void lose_sight(Finding& finding, const std::string& why);
  void lose_sight_of_all(const std::string& why);

  /// Calls `see` for each open finding of the server.
  void each(const Server& server, const std::function<void(Finding&)>& see);

  /// Unit: findings. Dropped: "open finding limit".
  [[nodiscard]] StageStats stats() const;

 private:
  using Key = std::tuple<Finding::Kind, Pid, std::uint64_t, std::string>;
  struct Entry {
    Finding finding{};
    std::optional<Time> told{};
  };

  void close_entry(std::map<Key, Entry>::iterator entry, const std::string& how, bool lost_sight);
  std::map<Key, Entry>::iterator entry_of(const Finding& finding);

  NameRequest name_request_;
  std::map<Key, Entry> open_{};
  const Emit<FindingUpdate>* emit_ = nullptr;
  Time now_{};
  StageStats stats_{};
};

}  // namespace inferscope::detect
