// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/emit.h"
#include "core/stage_stats.h"
#include "core/time.h"
#include "detect/finding_book.h"
#include "model/event.h"
#include "model/finding.h"
#include "model/inference_call.h"
#include "model/request_trace.h"

namespace inferscope::detect {

struct Limits {
  std::size_t servers = 1024;
  std::size_t requests = 8192;  ///< open ones, of all servers
};

/// What a bound cost. None of these makes a finding drop.
struct Counters {
  std::uint64_t servers_ignored = 0;
  std::uint64_t requests_ignored = 0;
};

/// Finds trouble while requests are open. Judges at fixed times of the event stream (multiples of 50 ms), which are run
/// when an event or a tick shows that they are past: so a recording gives the findings that the live stream gave.
class Detect {
 public:
  static constexpr Duration interval = std::chrono::milliseconds(50);

  /// `name_request` may be empty: findings then name requests without their trace.
  explicit Detect(NameRequest name_request = {}, Limits limits = {});
  ~Detect();
  Detect(const Detect&) = delete;
  Detect& operator=(const Detect&) = delete;

  void on(const Event& event, const Emit<FindingUpdate>& emit);
  void on(const CallUpdate& update, const Emit<FindingUpdate>& emit);
  /// A finished request.
  void on(const RequestTrace& trace, const Emit<FindingUpdate>& emit);
  /// All events up to `settled` have come.
  void tick(Time settled, const Emit<FindingUpdate>& emit);
  /// Closes what is open.
  void finish(Time now, const Emit<FindingUpdate>& emit);

  /// Unit: findings.
  [[nodiscard]] StageStats stats() const;
  [[nodiscard]] Counters counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace inferscope::detect
