// SPDX-License-Identifier: Apache-2.0
#include "model/explanation.h"

#include <gtest/gtest.h>

namespace inferscope {
namespace {

using namespace std::chrono_literals;

RequestName name() {
  RequestName name;
  name.trace_id[0] = 0x7f;
  name.trace_id[1] = 0x3a;
  return name;
}

TEST(Explanation, OneLineTellsWhatMatters) {
  Explanation told;
  told.parts = {{.kind = TimeKind::head_of_line, .time = 2900ms, .request = name(), .tokens = 8192},
                {.kind = TimeKind::decode, .time = 400ms},
                {.kind = TimeKind::run_queue, .time = 97ms, .pid = 5, .name = "hog"},
                {.kind = TimeKind::deliver, .time = 50us}};
  EXPECT_EQ(describe(told),
            "3.4 s: 2.9 s waiting behind the prompt of request 7f3a0000 (about 8,192 tokens), 400 ms decode, 97 ms "
            "run-queue delay, most behind hog (pid 5)");
}

TEST(Explanation, WhatIsLeftOutIsSummedUp) {
  Explanation told;
  told.parts = {{.kind = TimeKind::decode, .time = 400ms},
                {.kind = TimeKind::prefill, .time = 300ms},
                {.kind = TimeKind::queue, .time = 200ms},
                {.kind = TimeKind::intake, .time = 100ms},
                {.kind = TimeKind::disk, .time = 90ms}};
  EXPECT_EQ(describe(told),
            "1.1 s: 400 ms decode, 300 ms prefill, 200 ms waiting for a place in the batch, 100 ms taking it in, 90 ms "
            "else");
}

TEST(Explanation, TheCauseIsTheLongestDelayOfWeight) {
  Explanation told;
  told.parts = {{.kind = TimeKind::decode, .time = 900ms},
                {.kind = TimeKind::disk, .time = 60ms},
                {.kind = TimeKind::run_queue, .time = 40ms}};
  ASSERT_TRUE(told.cause());
  EXPECT_EQ(told.cause()->kind, TimeKind::disk);
  told.parts[1].time = 40ms;
  EXPECT_FALSE(told.cause()) << "less than a twentieth";
  EXPECT_FALSE(Explanation{}.cause());
}

TEST(Explanation, DelaysAreTheHostsAndOthers) {
  EXPECT_FALSE(is_delay(TimeKind::deliver));
  EXPECT_TRUE(is_delay(TimeKind::head_of_line));
  EXPECT_EQ(name_of(TimeKind::slow_reader), "slow_reader");
  EXPECT_EQ(static_cast<std::size_t>(TimeKind::slow_reader) + 1, time_kinds);
}

}  // namespace
}  // namespace inferscope
