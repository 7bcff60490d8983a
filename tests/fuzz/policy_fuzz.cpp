// stage: act
// SPDX-License-Identifier: Apache-2.0
// Any text as a policy file: what is accepted is within its bounds and does nothing that the language forbids, what is
// refused is told with its place, and cases that are short enough run to their end.
#include <signal.h>

#include <string>

#include "act/case_runner.h"
#include "model/text.h"
#include "policy/policy_file.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;

namespace {

using policy::TargetKind;
using test::require;

void check(const policy::Step& step, const policy::Match& match) {
  const Action& action = step.action;
  const bool stops = action.kind == Action::Kind::freeze || action.signal == SIGSTOP;
  const bool leased = stops || action.kind == Action::Kind::throttle || action.kind == Action::Kind::weight;
  require(leased == (action.lease > Duration::zero()));
  require(leased || !step.hold);
  require(action.lease <= (stops ? Duration(std::chrono::seconds(60)) : Duration(std::chrono::hours(1))));
  require((action.kind == Action::Kind::throttle) == (action.quota > 0));
  require((action.kind == Action::Kind::weight || action.weight == 0) && action.weight <= 10000);
  require((action.kind == Action::Kind::signal) == !signal_name(action.signal).empty());
  require(action.kind == Action::Kind::notify || action.url.empty());
  require(action.url.empty() || action.url.starts_with("http"));
  require((step.target == TargetKind::cgroup) == !step.cgroup.empty());
  require(step.cgroup.empty() || (step.cgroup[0] == '/' && step.cgroup.size() > 1 && is_clean_text(step.cgroup, 1024)));
  require((step.cgroup + "/").find("/../") == std::string::npos);
  require(action.kind != Action::Kind::signal || step.target != TargetKind::cgroup);
  require(step.target != TargetKind::culprit || match.causes == std::vector{Cause::Kind::cpu_contention});
}

void check(const policy::Policy& policy) {
  require(!policy.name.empty() && policy.name.size() <= 64 && is_clean_text(policy.description, 4096));
  require(!policy.steps.empty() && policy.steps.size() <= policy::steps_limit);
  require(policy.steps.size() <= policy.rate_count && policy.rate_count <= 1000);
  require(policy.verify.recovered_below < policy.verify.worse_above);
  require(policy.verify.within > Duration::zero() && policy.cooldown > Duration::zero());
  require(policy.rate_window > Duration::zero() && policy.rate_window <= std::chrono::hours(24));
  const policy::Match& match = policy.match;
  require(match.min_confidence >= 0 && match.min_confidence <= 1 && match.min_share >= 0 && match.min_share <= 1);
  bool acted = false;
  for (const policy::Step& step : policy.steps) {
    check(step, match);
    require(acted || step.action.signal != SIGKILL);
    acted = acted || step.action.kind != Action::Kind::notify;
  }
  require(!acted || !match.causes.empty() || !match.server_executable.empty() || !match.server_name.empty() ||
          !match.server_cgroup.empty());
}

bool short_enough(const policy::Case& one) {
  constexpr Duration most = std::chrono::seconds(20);
  return one.findings.back().at <= most && (one.expect.empty() || one.expect.back().at <= most);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto written = policy::parse_policies(text, "fuzz");
  if (!written) {
    require(written.error().kind == Error::Kind::usage);
    require(written.error().cause.starts_with("fuzz:"));
    return 0;
  }
  require(!written->empty());
  int runs = 0;
  for (const auto& [policy, cases] : *written) {
    check(policy);
    for (const policy::Case& one : cases) {
      if (!short_enough(one) || ++runs > 4) continue;
      const act::CaseResult result = act::run_case(policy, one);
      require(result.passed == result.expected.empty());
    }
  }
  return 0;
}
