// SPDX-License-Identifier: Apache-2.0
#include "policy/policy_file.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "policy/describe.h"
#include "policy/shipped.h"
#include "tests/support/temp_folder.h"

namespace inferscope::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

WrittenPolicy parsed(std::string_view yaml) {
  const auto written = parse_policies(yaml, "test.yaml");
  if (!written) {
    ADD_FAILURE() << written.error().text();
    return {};
  }
  EXPECT_EQ(written->size(), 1u);
  return written->front();
}

std::string refused(std::string_view yaml) {
  const auto written = parse_policies(yaml, "test.yaml");
  if (written) return "accepted";
  EXPECT_EQ(written.error().kind, Error::Kind::usage);
  EXPECT_NE(written.error().remedy, "");
  return written.error().cause;
}

/// A policy for a stopped server with these steps.
std::string with_steps(const std::string& steps) {
  return "name: x\nmatch: {finding: stall, cause: stopped}\nsteps:\n" + steps + "\n";
}
/// A policy for a culprit with these lines.
std::string with(const std::string& lines, const std::string& match = "finding: slow, cause: cpu_contention") {
  return "name: x\nmatch: {" + match + "}\nsteps: [{freeze: {target: culprit, for: 2s}}]\n" + lines + "\n";
}
std::string with_match(const std::string& match) {
  return with("", match);
}

TEST(PolicyFile, Defaults) {
  const Policy policy = parsed("name: told\nmatch: {finding: errors}\nsteps: [notify: ]\n").policy;
  EXPECT_EQ(policy.name, "told");
  EXPECT_EQ(policy.mode, Mode::observe);
  EXPECT_EQ(policy.match.kind, Finding::Kind::errors);
  EXPECT_TRUE(policy.match.causes.empty());
  EXPECT_EQ(policy.match.min_confidence, 0.8);
  EXPECT_EQ(policy.match.lasting, Duration::zero());
  ASSERT_EQ(policy.steps.size(), 1u);
  EXPECT_EQ(policy.steps[0].action, Action{});
  EXPECT_EQ(policy.verify.within, seconds(2));
  EXPECT_EQ(policy.cooldown, seconds(60));
  EXPECT_EQ(policy.rate_count, 3u);
  EXPECT_EQ(policy.rate_window, minutes(10));
  EXPECT_EQ(policy.source, "test.yaml:1");
}

TEST(PolicyFile, EveryKey) {
  const auto written = parsed(R"(
name: everything-1_2
description: >
  A paragraph
  of reason.
mode: enforce
match:
  finding: slow
  cause: [cpu_contention]
  min_confidence: 0.95
  min_share: 0.3
  min_ratio: 1.3
  lasting: 300ms
  server: {executable: /opt/*, name: llama*, cgroup: /system.slice/*}
  model: tiny*
  culprit: {name: batch*, cgroup: /user.slice/*}
steps:
  - notify: {url: "https://example.com:8443/hook?x=1", secret_file: /etc/key}
  - weight: {target: culprit, value: 10, for: 60s}
  - throttle: {target: {cgroup: /batch.slice}, quota: 0.2, for: 30s, hold: true}
  - freeze: {target: server, for: 2s}
  - signal: {target: culprit, name: SIGSTOP, for: 5s}
  - signal: {target: culprit, name: TERM}
  - signal: KILL
verify: {within: 4s, recovered_below: 1.1, worse_above: 2}
cooldown: 2m
rate: {count: 7, window: 20m}
cases:
  - name: nothing
    armed: false
    mode: observe
    findings: [{at: 0ms}]
    expect: []
)");
  const Policy& policy = written.policy;
  EXPECT_EQ(policy.description, "A paragraph of reason.");
  EXPECT_EQ(policy.mode, Mode::enforce);
  const Match& match = policy.match;
  EXPECT_EQ(match.causes, std::vector{Cause::Kind::cpu_contention});
  EXPECT_EQ(match.min_confidence, 0.95);
  EXPECT_EQ(match.min_share, 0.3);
  EXPECT_EQ(match.min_ratio, 1.3);
  EXPECT_EQ(match.lasting, milliseconds(300));
  EXPECT_EQ(match.server_executable, "/opt/*");
  EXPECT_EQ(match.server_name, "llama*");
  EXPECT_EQ(match.server_cgroup, "/system.slice/*");
  EXPECT_EQ(match.model, "tiny*");
  EXPECT_EQ(match.culprit_name, "batch*");
  EXPECT_EQ(match.culprit_cgroup, "/user.slice/*");
  ASSERT_EQ(policy.steps.size(), 7u);
  const auto& steps = policy.steps;
  EXPECT_EQ(steps[0].action.url, "https://example.com:8443/hook?x=1");
  EXPECT_EQ(steps[0].action.secret_file, "/etc/key");
  EXPECT_EQ(steps[1].action.kind, Action::Kind::weight);
  EXPECT_EQ(steps[1].action.weight, 10u);
  EXPECT_EQ(steps[1].target, TargetKind::culprit);
  EXPECT_EQ(steps[1].action.lease, seconds(60));
  EXPECT_FALSE(steps[1].hold);
  EXPECT_EQ(steps[2].action.quota, 0.2);
  EXPECT_EQ(steps[2].target, TargetKind::cgroup);
  EXPECT_EQ(steps[2].cgroup, "/batch.slice");
  EXPECT_TRUE(steps[2].hold);
  EXPECT_EQ(steps[3].action.kind, Action::Kind::freeze);
  EXPECT_EQ(steps[3].target, TargetKind::server);
  EXPECT_EQ(steps[4].action.signal, SIGSTOP);
  EXPECT_EQ(steps[4].action.lease, seconds(5));
  EXPECT_EQ(steps[5].action.signal, SIGTERM);
  EXPECT_EQ(steps[6].action.signal, SIGKILL);
  EXPECT_EQ(policy.verify.within, seconds(4));
  EXPECT_EQ(policy.verify.recovered_below, 1.1);
  EXPECT_EQ(policy.verify.worse_above, 2);
  EXPECT_EQ(policy.cooldown, minutes(2));
  EXPECT_EQ(policy.rate_count, 7u);
  EXPECT_EQ(policy.rate_window, minutes(20));
  ASSERT_EQ(written.cases.size(), 1u);
  EXPECT_FALSE(written.cases[0].armed);
  EXPECT_EQ(written.cases[0].mode, Mode::observe);
}

TEST(PolicyFile, DescribesItself) {
  const Policy policy =
      parsed(with_steps("  - signal: CONT\n  - throttle: {target: server, quota: 2, for: 1m, hold: true}")).policy;
  EXPECT_EQ(describe(policy.match), "stall, cause stopped, confidence from 0.8");
  EXPECT_EQ(describe(policy.steps[0]), "signal CONT to server");
  EXPECT_EQ(describe(policy.steps[1]), "throttle server to 2 processors for 60 s (held)");
}

TEST(PolicyFile, ListOfPolicies) {
  const auto written =
      parse_policies("policies:\n  - " + std::string("{name: a, match: {finding: down}, steps: [notify: {}]}\n") +
                         "  - {name: b, match: {finding: down}, steps: [notify: {}]}\n",
                     "list.yaml");
  ASSERT_TRUE(written) << written.error().text();
  ASSERT_EQ(written->size(), 2u);
  EXPECT_EQ((*written)[1].policy.source, "list.yaml:3");
  EXPECT_EQ(plan_of(*written).policies[0].name, "a");
}

TEST(PolicyFile, OneDocument) {
  const std::string text = "name: a\nmatch: {finding: down}\nsteps: [notify: {}]\n";
  for (const std::string& whole : {"--- # a comment\n" + text, "# c\n\n---\r\n" + text, text + "...\n# end\n",
                                   "%YAML 1.2\n---\n" + text, text + "description: ---x\n"})
    EXPECT_TRUE(parse_policies(whole, "x")) << whole;
  for (const std::string& two :
       {text + "---\n" + text, text + "--- {}\n", text + "...\n" + text, std::string("--- {}\n---\n")})
    EXPECT_NE(refused(two).find("a second document begins here"), std::string::npos) << two;
  EXPECT_EQ(refused(text + "---\n").substr(0, 14), "test.yaml:4:1:");
}

TEST(PolicyFile, RefusalsNameTheirPlace) {
  EXPECT_EQ(refused("name: x\nmatch: {finding: stall}\nsteps: [notify: {}]\nextra: 1\n").substr(0, 41),
            "test.yaml:4:1: unknown key 'extra' in a p");
  EXPECT_EQ(refused("name: x\nmatch: {finding: stall, cause: stopped}\nsteps:\n  - signal: CONT\n  - signal: INT\n"),
            "test.yaml:5:13: signal must be one of STOP, CONT, TERM, KILL, USR1, USR2, HUP");
}

struct Bad {
  std::string yaml;
  const char* says;
};

void expect_refused(const std::vector<Bad>& all) {
  for (const Bad& bad : all) {
    const std::string cause = refused(bad.yaml);
    EXPECT_EQ(cause.rfind("test.yaml:", 0), 0u) << cause << "\n" << bad.yaml;
    EXPECT_NE(cause.find(bad.says), std::string::npos) << cause << "\n" << bad.yaml;
  }
}

TEST(PolicyFile, RefusesWhatIsMalformed) {
  expect_refused({
      {"", "one policy, or a list"},
      {"[]", "one policy, or a list"},
      {"policies: []", "holds no policy"},
      {"policies: {}", "must be a list"},
      {"policies: [x]", "must be a mapping"},
      {"name: x\n---\nname: y\n", "second document"},
      {"match: {finding: stall}\nsteps: [notify: {}]", "needs a name"},
      {"name: X\nmatch: {finding: stall}\nsteps: [notify: {}]", "name must be"},
      {"name: ''\n", "name must be"},
      {"name: x\nsteps: [notify: {}]", "needs 'match'"},
      {"name: x\nmatch:\nsteps: [notify: {}]", "match must be a mapping"},
      {"name: x\nmatch: {}\nsteps: [notify: {}]", "needs 'finding'"},
      {"name: x\nmatch: {finding: odd}\nsteps: [notify: {}]", "finding must be one of"},
      {"name: x\nmatch: {finding: stall}", "at least one step"},
      {"name: x\nmatch: {finding: stall}\nsteps: []", "at least one step"},
      {"name: x\nmatch: {finding: stall}\nsteps: {notify: {}}", "steps must be a list"},
      {with("mode: kill"), "mode must be one of"},
      {with("description: \"a\\eb\""), "without control characters"},
      {with("cooldown: 0s"), "cooldown must be from"},
      {with("rate: {count: 0}"), "from 1 to 1000"},
      {with("rate: {window: 0s}"), "window must be from"},
      {with("verify: {within: 0s}"), "within must be from"},
      {with_match("finding: slow, cause: odd"), "cause must be one of"},
      {with_match("finding: slow, cause: []"), "empty list"},
      {with_match("finding: slow, cause: [stopped, stopped]"), "stands twice"},
      {with_match("finding: slow, cause: cpu_contention, min_confidence: 1.1"), "from 0 to 1"},
      {with_match("finding: slow, cause: cpu_contention, min_share: -1"), "from 0 to 1"},
      {with_match("finding: slow, cause: cpu_contention, min_ratio: .nan"), "from 1 to 1000"},
      {with_match("finding: slow, cause: cpu_contention, lasting: 2"), "must be a duration"},
      {with_match("finding: slow, cause: cpu_contention, server: {name: ''}"), "must not be empty"},
      {with_steps("  - {}"), "must be one action"},
      {with_steps("  - signal"), "must be one action"},
      {with_steps("  - {signal: CONT, notify: {}}"), "must be one action"},
      {with_steps("  - pray: {}"), "unknown key 'pray'"},
      {with_steps("  - signal: {target: server}"), "needs a name"},
      {with_steps("  - signal: 18"), "signal must be one of"},
      {with_steps("  - throttle: 1"), "must be a mapping"},
      {with_steps("  - throttle: {target: server, for: 1s}"), "needs a quota"},
      {with_steps("  - weight: {target: server, for: 1s}"), "needs a value"},
      {with_steps("  - weight: {target: server, value: [idle], for: 1s}"), "value must be"},
      {with_steps("  - freeze: {for: 1s}"), "needs a target"},
      {with_steps("  - freeze: {target: everybody, for: 1s}"), "target must be one of"},
      {with_steps("  - freeze: {target: [server], for: 1s}"), "target must be server"},
      {with_steps("  - notify: {url: 'ftp://x'}"), "must begin with"},
      {with_steps("  - notify: {url: 'http:///x'}"), "names no host"},
      {with_steps("  - notify: {url: 'https://:80'}"), "names no host"},
      {with_steps("  - notify: {url: 'https://a b'}"), "ASCII without spaces"},
      {with_steps("  - notify: {secret_file: /x}"), "no url"},
      {with_steps("  - notify: {url: 'https://x', secret_file: x}"), "whole path"},
  });
}

TEST(PolicyFile, RefusesWhatIsDangerous) {
  expect_refused({
      {"name: x\nmatch: {finding: stall}\nsteps: [signal: CONT]", "act on every server"},
      {"name: x\nmatch: {finding: stall, model: tiny}\nsteps: [signal: CONT]", "act on every server"},
      {"name: x\nmatch: {finding: stall, cause: [stopped, none]}\nsteps: [signal: CONT]", "act on every server"},
      {"name: x\nmatch: {finding: stall, cause: unknown}\nsteps: [notify: {}, signal: CONT]", "act on every server"},
      {"name: x\nmatch: {finding: stall, server: {name: '**'}}\nsteps: [signal: CONT]", "matches anything"},
      {with_steps("  - signal: STOP"), "STOP needs 'for'"},
      {with_steps("  - signal: {name: STOP, for: 61s}"), "for must be from"},
      {with_steps("  - signal: KILL"), "KILL may not be the first"},
      {with_steps("  - notify: {}\n  - signal: KILL"), "KILL may not be the first"},
      {with_steps("  - throttle: {target: server, quota: 1}"), "throttle needs 'for'"},
      {with_steps("  - weight: {target: server, value: 1}"), "weight needs 'for'"},
      {with_steps("  - freeze: {target: server}"), "freeze needs 'for'"},
      {with_steps("  - freeze: {target: server, for: 61s}"), "for must be from"},
      {with_steps("  - throttle: {target: server, quota: 1, for: 61m}"), "for must be from"},
      {with_steps("  - throttle: {target: server, quota: 0, for: 1s}"), "quota must be"},
      {with_steps("  - throttle: {target: server, quota: -1, for: 1s}"), "quota must be"},
      {with_steps("  - weight: {target: server, value: 0, for: 1s}"), "value must be"},
      {with_steps("  - freeze: {target: {cgroup: /}, for: 1s}"), "root cgroup"},
      {with_steps("  - freeze: {target: {cgroup: ''}, for: 1s}"), "must not be empty"},
      {with_steps("  - freeze: {target: {}, for: 1s}"), "names no cgroup"},
      {with_steps("  - freeze: {target: {cgroup: a}, for: 1s}"), "path from the root"},
      {with_steps("  - freeze: {target: {cgroup: /a/}, for: 1s}"), "path from the root"},
      {with_steps("  - freeze: {target: {cgroup: /a/..}, for: 1s}"), "without '.'"},
      {with_steps("  - freeze: {target: {cgroup: /../a}, for: 1s}"), "without '.'"},
      {with_steps("  - freeze: {target: {cgroup: //a}, for: 1s}"), "without '.'"},
      {with_steps("  - freeze: {target: {cgroup: \"/a\\0b\"}, for: 1s}"), "control characters"},
      {with_steps("  - notify: {url: 'https://user:word@x'}"), "secret_file"},
      {with_steps("  - signal: {target: {cgroup: /a}, name: TERM}"), "one process"},
  });
}

TEST(PolicyFile, RefusesWhatContradictsItself) {
  expect_refused({
      {with_steps("  - signal: {target: culprit, name: TERM}"), "only cpu_contention has a culprit"},
      {with_match("finding: slow, cause: [cpu_contention, throttled]"), "only cpu_contention has a culprit"},
      {with_match("finding: slow, server: {name: x}"), "only cpu_contention has a culprit"},
      {"name: x\nmatch: {finding: slow, culprit: {name: x}}\nsteps: [notify: {}]", "only cpu_contention"},
      {"name: x\nmatch: {finding: down, cause: exited}\nsteps: [signal: TERM]", "the server is gone"},
      {with_steps("  - signal: {name: TERM, for: 2s}"), "are for STOP"},
      {with_steps("  - signal: {name: CONT, hold: true}"), "are for STOP"},
      {with("verify: {recovered_below: 2, worse_above: 2}"), "must be less than verify.worse_above"},
      {with("verify: {recovered_below: 1.4}", "finding: slow, cause: cpu_contention, min_ratio: 1.3"),
       "count as recovered"},
      {with_steps("  - signal: CONT\n  - signal: USR1") + "rate: {count: 1}", "the last would never come"},
      {"policies: [{name: a, match: {finding: down}, steps: [notify: {}]}, {name: a, match: {finding: down}, steps: "
       "[notify: {}]}]",
       "two policies named"},
      {"policies: []\nname: x", "unknown key 'name'"},
  });
}

TEST(PolicyFile, RefusesBadCases) {
  const auto one = [](const std::string& text) { return with("cases: [" + text + "]"); };
  expect_refused({
      {with("cases: {}"), "cases must be a list"},
      {one("x"), "a case must be a mapping"},
      {one("{findings: [{at: 0s}], expect: []}"), "needs a name"},
      {one("{name: a, expect: []}"), "needs findings"},
      {one("{name: a, findings: [{at: 0s}]}"), "needs 'expect'"},
      {one("{name: a, findings: [{}], expect: []}"), "needs 'at'"},
      {one("{name: a, findings: [{at: 121m}], expect: []}"), "at must be from"},
      {one("{name: a, findings: [{at: 2s}, {at: 1s}], expect: []}"), "order of time"},
      {one("{name: a, findings: [{at: 2s, closed: true}, {at: 3s}], expect: []}"), "closed already"},
      {one("{name: a, findings: [{at: 0s}], expect: [{at: 1s}]}"), "either a decision"},
      {one("{name: a, findings: [{at: 0s}], expect: [{at: 1s, verdict: act, outcome: worse}]}"), "either a decision"},
      {one("{name: a, findings: [{at: 0s}], expect: [{at: 1s, verdict: act, reason: gap}]}"), "'reason' is for"},
      {one("{name: a, findings: [{at: 0s}], expect: [{at: 1s, verdict: act, undone: true}]}"), "'undone' is for"},
      {one("{name: a, findings: [{at: 0s}], expect: [{at: 1s, outcome: worse, step: 1}]}"), "are for a verdict"},
      {one("{name: a, findings: [{at: 0s}], expect: [{verdict: act}]}"), "needs 'at'"},
      {one("{name: a, findings: [{at: 0s}], expect: []}, {name: a, findings: [{at: 0s}], expect: []}"), "two cases"},
  });
}

TEST(PolicyFile, AliasesCannotBlowUpCases) {
  std::string entries;
  for (int i = 0; i < 500; ++i) entries += "{at: 0s}, ";
  std::string yaml = with("cases:\n  - {name: c, findings: &f [" + entries + "], expect: []}");
  for (int i = 0; i < 10; ++i) yaml += "  - {name: c" + std::to_string(i) + ", findings: *f, expect: []}\n";
  expect_refused({{yaml, "4096 entries in all"}});
  expect_refused({{std::string(file_limit_bytes + 1, '#'), "longer than"}});
}

TEST(PolicyFile, CasesInheritWhatDidNotChange) {
  const auto written = parsed(with(R"(
cases:
  - name: a
    findings:
      - {at: 100ms, ratio: 3, server: {name: s, cgroup: /c}, culprit: {name: b}, cause: cpu_contention, share: 0.4}
      - {at: 200ms, ratio: 2, gap: true}
      - {id: other, at: 200ms, kind: stall, server: {name: b, identity: false}}
      - {at: 300ms, closed: true}
    expect: []
)"));
  const auto& findings = written.cases.at(0).findings;
  ASSERT_EQ(findings.size(), 4u);
  EXPECT_EQ(findings[1].finding.measure.ratio(), 2);
  EXPECT_TRUE(findings[1].finding.gap);
  EXPECT_EQ(findings[1].finding.server, findings[0].finding.server);
  EXPECT_EQ(findings[1].finding.begin, Time(milliseconds(100)));
  EXPECT_EQ(findings[1].finding.cause.share, 0.4);
  EXPECT_EQ(findings[2].finding.kind, Finding::Kind::stall);
  EXPECT_EQ(findings[2].finding.cause.kind, Cause::Kind::unknown);
  EXPECT_EQ(findings[2].finding.server.pid, 0);
  EXPECT_EQ(findings[2].finding.server.cgroup_id, findings[0].finding.cause.culprit->cgroup_id);
  EXPECT_TRUE(findings[3].closed);
  EXPECT_EQ(findings[3].finding.end, Time(milliseconds(300)));
}

TEST(PolicyFile, LoadsFilesAndFolders) {
  const test::TempFolder folder;
  const auto named = [](const std::string& name) {
    return "name: " + name + "\nmatch: {finding: down}\nsteps: [notify: {}]\n";
  };
  folder.write("all/b.yaml", named("b"));
  folder.write("all/a.yaml", named("a"));
  folder.write("all/notes.txt", "not: [yaml");
  folder.write("c.yaml", named("c"));
  folder.write("again.yaml", named("a"));
  folder.write("empty/x", "");

  const auto written = load_policies({folder.file("c.yaml"), folder.file("all")});
  ASSERT_TRUE(written) << written.error().text();
  std::string names;
  for (const auto& one : *written) names += one.policy.name;
  EXPECT_EQ(names, "cab");

  const auto twice = load_policies({folder.file("all"), folder.file("again.yaml")});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().cause,
            folder.file("again.yaml") + ":1: the policy 'a' is there already, at " + folder.file("all/a.yaml") + ":1");
  EXPECT_EQ(twice.error().kind, Error::Kind::usage);
  EXPECT_FALSE(load_policies({folder.file("none.yaml")}));
  const auto empty = load_policies({folder.file("empty")});
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->empty());
}

TEST(Shipped, AllOfItParsesObservesAndHasItsReasonAndCases) {
  ASSERT_FALSE(shipped_files().empty());
  std::size_t policies = 0;
  for (const ShippedFile& file : shipped_files()) {
    const auto written = parse_policies(file.text, std::string(file.name));
    ASSERT_TRUE(written) << written.error().text();
    for (const WrittenPolicy& one : *written) {
      ++policies;
      EXPECT_EQ(one.policy.mode, Mode::observe) << one.policy.name;
      EXPECT_GT(one.policy.description.size(), 100u) << one.policy.name;
      EXPECT_FALSE(one.cases.empty()) << one.policy.name;
      EXPECT_EQ(file.name, "policies/" + one.policy.name + ".yaml");
    }
  }
  EXPECT_EQ(shipped_plan().policies.size(), policies);
}

}  // namespace
}  // namespace inferscope::policy
