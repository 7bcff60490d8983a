// SPDX-License-Identifier: Apache-2.0
#include "detect/detect.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "detect/cusum.h"
#include "detect/load_baseline.h"
#include "detect/quantile_sketch.h"
#include "tests/unit/detect/play.h"

namespace inferscope::detect {
namespace {

/// Trouble of several kinds, one after the other.
std::string story(milliseconds tick) {
  Play play;
  play.tick(tick);
  play.sampled();
  for (ConnectionId id = 1; id <= 20; ++id) play.serve(id, 40, milliseconds(20));
  play.open(90);
  play.tokens(60, milliseconds(45));
  play.facts.state = 'T';
  play.wait(milliseconds(1000));
  play.facts.state = 'R';
  play.tokens(100, milliseconds(20));
  play.close(90, 0, Exchange::Ending::process_exited);
  play.event(ProcessExited{100, 0, 9});
  play.finish();
  std::string text;
  for (const auto& told : play.all())
    text += fmt::format("{} {} {} {} {} {} {}\n", static_cast<int>(told.kind), told.finding.id,
                        name_of(told.finding.kind), name_of(told.finding.cause.kind), to_ns(told.time),
                        told.finding.measure.value, told.finding.summary);
  return text;
}

TEST(Detect, FindsTheSameWhateverTheRhythmOfTicks) {
  const std::string fine = story(milliseconds(1));
  EXPECT_NE(fine.find("slow"), std::string::npos);
  EXPECT_NE(fine.find("stall"), std::string::npos);
  EXPECT_NE(fine.find("down"), std::string::npos);
  EXPECT_EQ(fine, story(milliseconds(7)));
  EXPECT_EQ(fine, story(milliseconds(25)));
}

TEST(Detect, EachOpenedFindingIsClosedOnce) {
  Play play;
  play.sampled();
  play.open(1);
  play.tokens(20, milliseconds(20));
  play.facts.state = 'T';
  play.wait(milliseconds(1000));
  EXPECT_EQ(play.detect().stats().held, 1u);
  play.finish();
  EXPECT_EQ(play.opened().size(), 1u);
  ASSERT_EQ(play.closed().size(), 1u);
  EXPECT_TRUE(play.closed()[0].finding.lost_sight);
  EXPECT_TRUE(play.detect().stats().balanced());
  EXPECT_EQ(play.detect().stats().held, 0u);
}

TEST(Detect, OpenRequestsAreBoundedAndCounted) {
  Play play({}, {.servers = 1, .requests = 2});
  for (ConnectionId id = 1; id <= 3; ++id) play.open(id);
  EXPECT_GE(play.detect().counters().requests_ignored, 1u);
  play.start(101, 8);
  EXPECT_EQ(play.detect().counters().servers_ignored, 1u);
  for (ConnectionId id = 1; id <= 3; ++id) play.close(id);
  play.open(7);
  EXPECT_EQ(play.detect().counters().requests_ignored, 2u) << "both updates of request 3, none of 7";
}

TEST(Detect, AReusedPidIsAnotherServer) {
  Play play;
  play.open(1);
  play.start(100, 8);
  play.sampled();
  play.facts.state = 'T';
  play.wait(milliseconds(2000));
  EXPECT_TRUE(play.all().empty()) << "the open request was the earlier process's";
}

TEST(QuantileSketch, IsWithinItsRelativeError) {
  QuantileSketch sketch(1'000'000);
  for (int i = 1; i <= 20'000; ++i) sketch.add(i * 1e-4);
  for (const double share : {0.01, 0.25, 0.5, 0.9, 0.99, 1.0})
    EXPECT_NEAR(sketch.quantile(share) / (share * 2), 1, 2.1 * QuantileSketch::relative_error) << share;
  EXPECT_EQ(QuantileSketch().quantile(0.5), 0);
}

TEST(QuantileSketch, ForgetsAndBearsAnyValue) {
  QuantileSketch sketch(1000);
  for (int i = 0; i < 2000; ++i) sketch.add(1);
  for (int i = 0; i < 4000; ++i) sketch.add(10);
  EXPECT_NEAR(sketch.quantile(0.5), 10, 0.5);
  EXPECT_LE(sketch.count(), 1000u);
  for (const double value : {0.0, -1.0, 1e300, std::nan(""), HUGE_VAL}) sketch.add(value);
  EXPECT_GT(sketch.quantile(1), 0);
}

TEST(Cusum, AddsUpSmallShiftsAndDrains) {
  Cusum sum;
  for (int i = 0; i < 100; ++i) sum.add(i % 2 ? 0.5 : -0.5);
  EXPECT_FALSE(sum.shifted_up());
  sum.add(100);
  EXPECT_FALSE(sum.shifted_up()) << "one outlier, however large";
  for (int i = 0; i < 20; ++i) sum.add(0);
  for (int i = 0; i < 12; ++i) sum.add(1.5);
  EXPECT_TRUE(sum.shifted_up());
  EXPECT_FALSE(sum.shifted_down());
  for (int i = 0; i < 12; ++i) sum.add(-1.5);
  EXPECT_FALSE(sum.shifted_up());
  EXPECT_TRUE(sum.shifted_down());
}

TEST(LoadBaseline, LearnsByLoadAndSaysSoWhileItDoes) {
  LoadBaseline baseline(LoadBaseline::PromptSize::matters);
  const Load one{1, 400}, four{4, 400}, four_long{4, 400'000};
  for (int i = 0; i < 19; ++i) baseline.learn(one, 0.02);
  EXPECT_FALSE(baseline.usual(one));
  baseline.learn(one, 0.02);
  ASSERT_TRUE(baseline.usual(one));
  EXPECT_NEAR(baseline.usual(one)->seconds, 0.02, 0.001);
  EXPECT_EQ(baseline.usual(one)->spread, LoadBaseline::smallest_spread);
  EXPECT_NEAR(baseline.usual(one)->residual(0.04), std::log(2) / 0.08, 0.5);
  EXPECT_FALSE(baseline.usual(four));
  for (int i = 0; i < 20; ++i) baseline.learn(four, 0.05);
  EXPECT_NEAR(baseline.usual(four_long)->seconds, 0.05, 0.002) << "that of its concurrency stands in";
  baseline.forget();
  EXPECT_FALSE(baseline.usual(one));
}

}  // namespace
}  // namespace inferscope::detect
