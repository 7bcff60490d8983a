// SPDX-License-Identifier: Apache-2.0
#include "source/detail_ladder.h"

#include <algorithm>

namespace inferscope::source {
namespace {

constexpr double share_to_rise = 0.7;
constexpr Duration longest_hold_off = std::chrono::minutes(5);
/// Probes are not out at once, so what a level costs is told by a look after this.
constexpr Duration settling = std::chrono::seconds(1);

}  // namespace

bool DetailLadder::settled() const {
  return level_ < shape_.slow_from || since_change_ >= settling;
}

void DetailLadder::move(int by) {
  level_ += by;
  since_change_ = calm_ = Duration::zero();
  rose_ = by < 0;
}

void DetailLadder::pass(Duration interval) {
  interval_ = interval;
  since_change_ += interval;
  if (!rose_ || since_change_ <= hold_off_) return;
  rose_ = false;
  hold_off_ = first_hold_off;
}

bool DetailLadder::lower(double cost, int by) {
  calm_ = Duration::zero();
  if (level_ == shape_.lowest || !settled()) return false;
  if (rose_) hold_off_ = std::min(2 * hold_off_, longest_hold_off);
  if (!here().after) here().after = cost;
  by = std::min(by, shape_.lowest - level_);
  for (int below = level_ + 1; below <= level_ + by; ++below)
    steps_[static_cast<std::size_t>(below)] = {.before = cost};
  move(by);
  return true;
}

double DetailLadder::expected_above(double cost) {
  if (level_ == 0 || !settled()) return cost;
  if (!here().after) here().after = cost;
  return *here().after > 0 ? cost * here().before / *here().after : 0;
}

bool DetailLadder::rise(double expected, double room) {
  if (level_ == 0 || !settled()) return false;
  calm_ = expected < share_to_rise * room ? calm_ + interval_ : Duration::zero();
  const bool tried = shape_.guesses && since_change_ >= longest_hold_off;
  if (calm_ < hold_off_ && !tried) return false;
  move(-1);
  return true;
}

}  // namespace inferscope::source
