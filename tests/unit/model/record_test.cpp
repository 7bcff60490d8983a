// SPDX-License-Identifier: Apache-2.0
#include "model/record.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "model/names.h"

namespace inferscope {
namespace {

Finding finding() {
  Finding one{.id = "0123456789abcdef", .kind = Finding::Kind::slow};
  one.server = {.pid = 17, .start_time_ns = 5, .name = "server"};
  one.model = "m";
  one.port = 8080;
  one.begin = time_from_ns(1'000);
  one.unix_minus_kernel_ns = 1'000'000;
  one.confidence = 0.9;
  one.summary = "it is slow";
  one.measure = {0.04, 0.02, "s", time_from_ns(2'000)};
  one.evidence = {{"time_per_output_token", 0.04, 0.02, "s"}, {"concurrent_requests", 4, {}, "{request}"}};
  one.cause = {Cause::Kind::cpu_contention, 0.5, ProcessTarget{.pid = 666, .cgroup = "/hog", .name = "hog"}, "a hog"};
  RequestRef named{1, 2};
  named.trace_id[0] = 0xab;
  named.span_id[0] = 0xcd;
  one.requests = {{.connection = 9}, named};
  one.requests_total = 3;
  return one;
}

TEST(Record, OfAFinding) {
  const Finding one = finding();
  const Record record = record_of({FindingUpdate::Kind::opened, one, time_from_ns(3'000)});
  EXPECT_TRUE(record.open);
  EXPECT_EQ(record.severity, Record::Severity::warn);
  EXPECT_EQ((*record.trace_id)[0], 0xab);
  const std::string json = to_json(record);
  for (const char* part :
       {R"("event":"inferscope.finding")", R"("id":"0123456789abcdef")", R"("time_unix_nano":1003000)",
        R"("inferscope.finding.begin_unix_nano":1001000)", R"("inferscope.finding.ratio":2)",
        R"("inferscope.cause.culprit.pid":666)", R"("inferscope.cause.share":0.5)",
        R"(["time_per_output_token 0.04 s, usual 0.02 s","concurrent_requests 4 {request}"])",
        R"("inferscope.finding.span_ids":["cd00000000000000"])", R"("inferscope.finding.requests":3)",
        R"("gen_ai.request.model":"m")", R"("server.port":8080)"})
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  EXPECT_EQ(json.find("inferscope.finding.gap"), std::string::npos);
  EXPECT_EQ(json.find('\n'), std::string::npos);
}

TEST(Record, OfAFindingThatIsOver) {
  Finding one = finding();
  one.end = time_from_ns(9'000);
  one.gap = true;
  const Record record = record_of({FindingUpdate::Kind::closed, one, time_from_ns(9'000)});
  EXPECT_FALSE(record.open);
  EXPECT_EQ(record.severity, Record::Severity::info);
  EXPECT_NE(to_json(record).find(R"("inferscope.finding.end_unix_nano":1009000)"), std::string::npos);
  EXPECT_NE(to_json(record).find(R"("inferscope.finding.gap":true)"), std::string::npos);
}

TEST(Record, OfADecisionAndAnEffect) {
  Effect effect{.id = "e"};
  effect.decision = {.id = "d",
                     .time = time_from_ns(10),
                     .finding = "f",
                     .policy = "p",
                     .action = {.kind = Action::Kind::throttle, .quota = 0.2, .lease = std::chrono::seconds(30)},
                     .target = {.pid = 666, .cgroup = "/hog", .name = "hog"},
                     .verdict = Decision::Verdict::act,
                     .reason = "because"};
  EXPECT_EQ(record_of(effect.decision, 0).text,
            "act: throttle to 0.2 processors for 30 s on hog (pid 666) by policy p: because");
  effect.state = Effect::State::active;
  effect.begin = time_from_ns(10);
  effect.lease_until = time_from_ns(30'000);
  effect.earlier = "-1";
  EXPECT_TRUE(record_of(effect, time_from_ns(20)).open);
  EXPECT_NE(to_json(record_of(effect, time_from_ns(20))).find(R"("inferscope.effect.lease_until_unix_nano":30000)"),
            std::string::npos);
  effect.state = Effect::State::stuck;
  effect.problem = "read-only";
  const Record stuck = record_of(effect, time_from_ns(20));
  EXPECT_TRUE(stuck.open);
  EXPECT_EQ(stuck.severity, Record::Severity::error);
  EXPECT_NE(stuck.text.find("read-only"), std::string::npos);
  effect.state = Effect::State::ended;
  effect.ended_by = Effect::EndedBy::expiry;
  effect.outcome = Effect::Outcome::recovered;
  effect.problem.clear();
  EXPECT_EQ(record_of(effect, time_from_ns(20)).text,
            "ended: throttle to 0.2 processors for 30 s on hog (pid 666), by expiry, recovered");
}

TEST(Record, HostileNamesDoNotReachTerminalsOrBackends) {
  Finding one = finding();
  one.cause.culprit->name = "evil\x1b[2J\xff\n";
  one.summary = "x\ny\xfe";
  const std::string json = to_json(record_of({FindingUpdate::Kind::opened, one, time_from_ns(3'000)}));
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_EQ(json.find('\xff'), std::string::npos);
  EXPECT_EQ(json.find('\xfe'), std::string::npos);
}

TEST(Names, GoBothWays) {
  for (const auto kind : {Finding::Kind::stall, Finding::Kind::down, Finding::Kind::slow, Finding::Kind::errors})
    EXPECT_EQ(finding_kind_of(name_of(kind)), kind);
  for (int kind = 0; kind <= static_cast<int>(Cause::Kind::exited); ++kind)
    EXPECT_EQ(cause_kind_of(name_of(static_cast<Cause::Kind>(kind))), static_cast<Cause::Kind>(kind));
  EXPECT_EQ(signal_of("SIGTERM"), SIGTERM);
  EXPECT_EQ(signal_of("HUP"), SIGHUP);
  EXPECT_EQ(signal_of("SEGV"), std::nullopt);
  EXPECT_EQ(signal_name(SIGCONT), "CONT");
  EXPECT_EQ(finding_kind_of("nonsense"), std::nullopt);
}

}  // namespace
}  // namespace inferscope
