// SPDX-License-Identifier: Apache-2.0
#include "act/case_runner.h"

#include <gtest/gtest.h>

#include "policy/policy_file.h"
#include "policy/shipped.h"

namespace inferscope::act {
namespace {

/// The result of the one case with this text, of a ladder that throttles and then ends the culprit.
CaseResult result(const std::string& text) {
  const std::string yaml = R"(
name: ladder
mode: enforce
match: {finding: slow, cause: cpu_contention}
steps:
  - throttle: {target: culprit, quota: 0.2, for: 30s}
  - signal: {target: culprit, name: TERM}
cases:
  - name: one
    findings: [{at: 0ms, cause: cpu_contention, culprit: {name: batch}, ratio: 2}]
)" + text;
  const auto written = policy::parse_policies(yaml, "test.yaml");
  if (!written) {
    ADD_FAILURE() << written.error().text();
    return {};
  }
  return run_case(written->at(0).policy, written->at(0).cases.at(0));
}

constexpr const char* whole = R"(
    expect:
      - {at: 0ms, verdict: act, step: 0, target: culprit}
      - {at: 2s, outcome: unchanged, undone: true}
      - {at: 2s, verdict: act, step: 1}
      - {at: 4s, outcome: unchanged, undone: false}
)";

TEST(CaseRunner, PassesWhatIsWhole) {
  const auto passed = result(whole);
  EXPECT_TRUE(passed.passed) << passed.expected << " / " << passed.got;
}

TEST(CaseRunner, SaysTheFirstDifference) {
  struct Difference {
    const char* expect;
    const char* expected;
    const char* got;
  };
  for (const Difference& one : {
           Difference{"[]", "nothing more", "at 0 ms act step 0 on the culprit (slow, cause cpu_contention"},
           Difference{"[{at: 0ms, verdict: would_act}]", "at 0 ms would_act", "at 0 ms act step 0"},
           Difference{"[{at: 0ms, verdict: act, step: 1}]", "at 0 ms act step 1", "at 0 ms act step 0"},
           Difference{"[{at: 0ms, verdict: act, target: server}]", "at 0 ms act on the server", "at 0 ms act step 0"},
           Difference{"[{at: 0ms, verdict: refused, reason: gap}]", "at 0 ms refused (gap)", "at 0 ms act step 0"},
           Difference{"[{at: 200ms, verdict: act}]", "at 200 ms act", "at 0 ms act step 0"},
           Difference{"[{at: 0ms, verdict: act}, {at: 2s, outcome: worse}]", "at 2 s worse",
                      "at 2 s unchanged, undone"},
           Difference{"[{at: 0ms, verdict: act}, {at: 2s, outcome: unchanged, undone: false}]",
                      "at 2 s unchanged, not undone", "at 2 s unchanged, undone"},
       }) {
    const auto different = result(std::string("    expect: ") + one.expect);
    EXPECT_FALSE(different.passed) << one.expect;
    EXPECT_EQ(different.expected, one.expected);
    EXPECT_EQ(different.got.substr(0, std::string(one.got).size()), one.got);
  }
  const auto missing = result(std::string(whole) + "      - {at: 5s, verdict: act}\n");
  EXPECT_EQ(missing.expected, "at 5 s act");
  EXPECT_EQ(missing.got, "nothing");
}

TEST(CaseRunner, ModeAndArmingAreTheCases) {
  EXPECT_TRUE(result("    armed: false\n    expect: [{at: 0ms, verdict: would_act}]").passed);
  EXPECT_TRUE(result("    mode: observe\n    expect: [{at: 0ms, verdict: would_act}]").passed);
}

TEST(CaseRunner, CasesOfAllShippedPolicies) {
  for (const policy::ShippedFile& file : policy::shipped_files()) {
    const auto written = policy::parse_policies(file.text, std::string(file.name));
    ASSERT_TRUE(written) << written.error().text();
    for (const auto& [policy, cases] : *written)
      for (const policy::Case& one : cases) {
        const CaseResult outcome = run_case(policy, one);
        EXPECT_TRUE(outcome.passed) << one.source << " " << one.name << "\nexpected " << outcome.expected
                                    << "\ngot      " << outcome.got;
      }
  }
}

}  // namespace
}  // namespace inferscope::act
