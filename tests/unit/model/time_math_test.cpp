// SPDX-License-Identifier: Apache-2.0
#include "model/time_math.h"

#include <gtest/gtest.h>

namespace inferscope {
namespace {

constexpr auto most = std::numeric_limits<std::int64_t>::max();
constexpr auto least = std::numeric_limits<std::int64_t>::min();

TEST(TimeMath, StopsAtTheEndsOfTheRange) {
  EXPECT_EQ(saturating_add(2, 3), 5);
  EXPECT_EQ(saturating_add(most, 1), most);
  EXPECT_EQ(saturating_add(least, -1), least);
  EXPECT_EQ(elapsed(Time{Duration{2}}, Time{Duration{5}}), Duration{3});
  EXPECT_EQ(elapsed(Time{Duration{5}}, Time{Duration{2}}), Duration{-3});
  EXPECT_EQ(elapsed(Time::min(), Time::max()), Duration::max());
  EXPECT_EQ(elapsed(Time::max(), Time::min()), Duration::min());
}

}  // namespace
}  // namespace inferscope
