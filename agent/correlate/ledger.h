// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <vector>

#include "correlate/thread_log.h"
#include "model/explanation.h"

namespace inferscope::correlate {

/// Where one request's time went so far. Bounded: what there is no room for is summed up without its details.
class Ledger {
 public:
  void add(TimePart part);
  void add(const HostDelay& delay, Duration time);
  void add(const EngineStep& step);
  /// Moves up to so much from one kind to another, those first of which no culprit is known.
  void move(TimeKind from, TimeKind to, Duration at_most);

  [[nodiscard]] Duration total() const;
  [[nodiscard]] Duration total(TimeKind kind) const;
  /// Fills in parts, steps and marks, in their orders.
  void tell(Explanation& out) const;

 private:
  std::vector<TimePart> parts_{};
  std::vector<EngineStep> steps_{};
  std::vector<DelayMark> marks_{};
  std::uint64_t steps_total_ = 0;
};

}  // namespace inferscope::correlate
