// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "policy/plan.h"

namespace inferscope::policy {
namespace {

using std::chrono::seconds;

constexpr Time now{seconds(100)};

Finding finding() {
  Finding finding;
  finding.kind = Finding::Kind::slow;
  finding.server.name = "llama-server";
  finding.server.executable = "/opt/llama/llama-server";
  finding.server.cgroup = "/system.slice/llama.service";
  finding.model = "tiny-7b";
  finding.begin = now - seconds(3);
  finding.confidence = 0.9;
  finding.measure.value = 30;
  finding.measure.usual = 20;
  finding.cause.kind = Cause::Kind::cpu_contention;
  finding.cause.share = 0.5;
  finding.cause.culprit = ProcessTarget{};
  finding.cause.culprit->name = "batch";
  finding.cause.culprit->cgroup = "/user.slice/batch";
  return finding;
}

Match match() {
  Match match;
  match.kind = Finding::Kind::slow;
  return match;
}

TEST(Match, KindAloneMatches) {
  EXPECT_TRUE(match().matches(finding(), now));
  Match other = match();
  other.kind = Finding::Kind::stall;
  EXPECT_FALSE(other.matches(finding(), now));
}

TEST(Match, AnyOfTheCauses) {
  Match one = match();
  one.causes = {Cause::Kind::stopped, Cause::Kind::cpu_contention};
  EXPECT_TRUE(one.matches(finding(), now));
  one.causes = {Cause::Kind::stopped, Cause::Kind::frozen};
  EXPECT_FALSE(one.matches(finding(), now));
}

TEST(Match, NumbersAreLowerBoundsAndIncluded) {
  struct Bound {
    double Match::*member;
    double fits;
    double above;
  };
  for (const Bound& bound : {Bound{&Match::min_confidence, 0.9, 0.91}, Bound{&Match::min_share, 0.5, 0.51},
                             Bound{&Match::min_ratio, 1.5, 1.51}}) {
    Match one = match();
    one.*bound.member = bound.fits;
    EXPECT_TRUE(one.matches(finding(), now));
    one.*bound.member = bound.above;
    EXPECT_FALSE(one.matches(finding(), now));
  }
}

TEST(Match, NoNumberIsNoMatch) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  Match one = match();
  one.min_ratio = 1;
  Finding odd = finding();
  odd.confidence = none;
  EXPECT_FALSE(one.matches(odd, now));
  odd = finding();
  odd.cause.share = none;
  EXPECT_FALSE(one.matches(odd, now));
  odd = finding();
  odd.measure.value = none;
  EXPECT_FALSE(one.matches(odd, now));
  odd = finding();
  odd.measure.usual = 0;  // not known
  EXPECT_FALSE(one.matches(odd, now));
}

TEST(Match, LastingCountsFromTheBegin) {
  Match one = match();
  one.lasting = seconds(3);
  EXPECT_TRUE(one.matches(finding(), now));
  EXPECT_FALSE(one.matches(finding(), now - seconds(1)));
}

TEST(Match, ExecutableByPathOrLastPart) {
  Match one = match();
  for (const char* pattern : {"/opt/*/llama-server", "llama-*", "llama-server", "/opt/*"}) {
    one.server_executable = pattern;
    EXPECT_TRUE(one.matches(finding(), now)) << pattern;
  }
  for (const char* pattern : {"vllm", "/usr/*", "llama"}) {
    one.server_executable = pattern;
    EXPECT_FALSE(one.matches(finding(), now)) << pattern;
  }
}

TEST(Match, EachPatternMustFit) {
  for (const auto member :
       {&Match::server_name, &Match::server_cgroup, &Match::model, &Match::culprit_name, &Match::culprit_cgroup}) {
    Match one = match();
    one.*member = "*[ab]*";  // all of them have one of these letters
    EXPECT_TRUE(one.matches(finding(), now) || member == &Match::model);
    one.*member = "nothing";
    EXPECT_FALSE(one.matches(finding(), now));
  }
  Match one = match();
  one.model = "tiny-*";
  EXPECT_TRUE(one.matches(finding(), now));
}

TEST(Match, APatternForTheCulpritNeedsOne) {
  Match one = match();
  one.culprit_name = "?*";
  EXPECT_TRUE(one.matches(finding(), now));
  Finding nobody = finding();
  nobody.cause.culprit.reset();
  EXPECT_FALSE(one.matches(nobody, now));
  EXPECT_TRUE(match().matches(nobody, now));
}

}  // namespace
}  // namespace inferscope::policy
