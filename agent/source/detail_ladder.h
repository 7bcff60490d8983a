// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "core/time.h"

namespace inferscope::source {

/// How much of one kind of detail is told: level 0 is all of it. A level that was given up is taken up again when what
/// it would cost was under 70 % of the room for it for a while: 10 seconds, and twice as long, up to 5 minutes, each
/// time that it turned out wrong.
class DetailLadder {
 public:
  struct Shape {
    int lowest = 1;
    int slow_from = 1;  ///< from this level on, probes are taken out, which takes a second
    bool guesses =
        true;  ///< what a level costs is known while it is told only: after 5 minutes it is tried in any case
  };
  explicit DetailLadder(const Shape& shape) : shape_(shape), steps_(static_cast<std::size_t>(shape.lowest) + 1) {}

  [[nodiscard]] int level() const { return level_; }

  /// Each look begins so.
  void pass(Duration interval);
  /// By so many levels; not while it is not known yet what the last step has gained, nor if there is no level below.
  bool lower(double cost, int by);
  /// By one, if it is time. `expected`: what the level above would cost.
  bool rise(double expected, double room);
  /// What the level above would cost: as much more than this one as when it was given up.
  [[nodiscard]] double expected_above(double cost);

 private:
  /// How a level was come to.
  struct Step {
    double before = 0;              ///< what the level above cost
    std::optional<double> after{};  ///< what this one cost right after
  };
  [[nodiscard]] Step& here() { return steps_[static_cast<std::size_t>(level_)]; }
  [[nodiscard]] bool settled() const;
  void move(int by);

  static constexpr Duration first_hold_off = std::chrono::seconds(10);

  Shape shape_;
  std::vector<Step> steps_;
  int level_ = 0;
  Duration interval_{};
  Duration since_change_{};
  Duration calm_{};  ///< for so long the level above would have been affordable
  Duration hold_off_ = first_hold_off;
  bool rose_ = false;  ///< and has yet to prove right
};

}  // namespace inferscope::source
