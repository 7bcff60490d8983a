// SPDX-License-Identifier: Apache-2.0
#include "discover/discovery.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/discover/fake_proc.h"

namespace inferscope::discover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = ProcessNotice::Kind;

constexpr Time start = time_from_ns(1'000'000'000'000);

/// A discovery over a fake /proc; keeps what it decided as "watch 42", "sample 43", "ignore 44".
struct Trial {
  test::FakeProc proc{};
  std::vector<std::string> decisions{};
  std::map<Pid, ProcessStarted> watched{};
  Discovery discovery;

  explicit Trial(DiscoveryOptions options = {})
      : discovery(std::move(options), proc.reader(),
                  {.watch =
                       [this](const ProcessStarted& process) {
                         decisions.push_back("watch " + std::to_string(process.pid));
                         watched[process.pid] = process;
                       },
                   .sample = [this](Pid pid) { decisions.push_back("sample " + std::to_string(pid)); },
                   .ignore = [this](Pid pid) { decisions.push_back("ignore " + std::to_string(pid)); }}) {}

  void notice(Kind kind, Pid pid, Pid parent = 0, std::string sample = {}, Time time = start) {
    discovery.on(ProcessNotice{.kind = kind, .pid = pid, .parent = parent, .time = time, .sample = std::move(sample)});
  }
  std::vector<std::string> take() { return std::exchange(decisions, {}); }
};

using Decisions = std::vector<std::string>;
const test::FakeProcess ollama{.pid = 42, .name = "ollama", .executable = "/usr/bin/ollama"};
const test::FakeProcess listener{.pid = 43,
                                 .executable = "/usr/bin/closed",
                                 .net_namespace = 2,
                                 .sockets = {5},
                                 .tcp = test::tcp_line("00000000:1F90", "0A", 5)};

TEST(Discovery, ScanFindsKnownServersAndListeners) {
  Trial trial;
  trial.proc.add(ollama);
  trial.proc.add(listener);
  trial.proc.add({.pid = 44, .executable = "/bin/bash"});
  trial.discovery.scan(start);
  EXPECT_EQ(trial.take(), (Decisions{"watch 42", "sample 43"}));
  EXPECT_EQ(trial.watched[42].reason, "is known as Ollama");
  EXPECT_EQ(trial.watched[42].name, "ollama");
  EXPECT_EQ(trial.watched[42].executable, "/usr/bin/ollama");
  EXPECT_NE(trial.watched[42].start_time_ns, 0u);
  EXPECT_EQ(trial.discovery.watched(), 1u);
}

TEST(Discovery, ItselfIsNotWatchedWhateverRulesSay) {
  Trial trial({.watch = {Rule{.executable = "/usr/bin/*"}}});
  trial.proc.add({.pid = getpid(), .executable = "/usr/bin/inferscope"});
  trial.proc.add({.pid = getpid() + 1, .executable = "/usr/bin/other"});
  trial.discovery.scan(start);
  EXPECT_EQ(trial.take(), (Decisions{"watch " + std::to_string(getpid() + 1)}));
  trial.notice(Kind::executed, getpid());
  EXPECT_EQ(trial.take(), Decisions{});
}

TEST(Discovery, ExecutedServerIsWatchedAtOnce) {
  Trial trial;
  trial.proc.add(ollama);
  trial.notice(Kind::executed, 42);
  EXPECT_EQ(trial.take(), (Decisions{"watch 42"}));
}

TEST(Discovery, LooksAgainForLibrariesThatAreMappedLater) {
  Trial trial;
  test::FakeProcess process{.pid = 50, .executable = "/opt/engine"};
  trial.proc.add(process);
  trial.notice(Kind::executed, 50);
  trial.discovery.tick(start + milliseconds(99));
  EXPECT_EQ(trial.take(), Decisions{});
  process.maps = "7f00-7f01 r-xp 0 08:01 1 /usr/lib/libcuda.so.1\n";
  trial.proc.add(process);
  trial.discovery.tick(start + milliseconds(99));
  EXPECT_EQ(trial.take(), Decisions{}) << "not before its time";
  trial.discovery.tick(start + milliseconds(100));
  EXPECT_EQ(trial.take(), (Decisions{"watch 50"}));
  EXPECT_EQ(trial.watched[50].reason, "maps libcuda.so.1 (CUDA driver)");
  trial.discovery.tick(start + seconds(60));
  EXPECT_EQ(trial.take(), Decisions{}) << "once";
}

TEST(Discovery, LooksLessAndLessOftenThenNoMore) {
  Trial trial;
  test::FakeProcess process{.pid = 50, .executable = "/opt/engine"};
  trial.proc.add(process);
  trial.notice(Kind::executed, 50);
  Time now = start;
  for (const auto delay : {milliseconds(100), milliseconds(400), milliseconds(1500), milliseconds(5000)})
    trial.discovery.tick(now += delay);
  process.maps = "7f00-7f01 r-xp 0 08:01 1 /usr/lib/libcuda.so.1\n";
  trial.proc.add(process);
  trial.discovery.tick(now + milliseconds(19999));
  EXPECT_EQ(trial.take(), Decisions{});
  trial.discovery.tick(now + seconds(20));
  EXPECT_EQ(trial.take(), (Decisions{"watch 50"})) << "the fifth look, after 27 seconds";

  trial.proc.add({.pid = 51, .executable = "/opt/engine"});
  trial.notice(Kind::executed, 51);
  now = start;
  for (int i = 0; i < 5; ++i) trial.discovery.tick(now += seconds(20));
  trial.proc.add({.pid = 51, .executable = "/opt/engine", .maps = process.maps});
  trial.discovery.tick(now + seconds(100));
  EXPECT_EQ(trial.take(), Decisions{}) << "it was looked at often enough";
}

TEST(Discovery, ExclusionWinsOverEverything) {
  Trial trial({.watch = {{.executable = "ollama"}}, .ignore = {{.user = "1000"}}});
  auto excluded = ollama;
  excluded.uid = 1000;
  excluded.sockets = listener.sockets;
  excluded.tcp = listener.tcp;
  trial.proc.add(excluded);
  trial.discovery.scan(start);
  trial.notice(Kind::executed, 42);
  trial.notice(Kind::accepts_connections, 42);
  trial.notice(Kind::received_inference, 42, 0, "POST /v1/chat/completions HTTP/1");
  trial.notice(Kind::forked, 42, 41);
  EXPECT_EQ(trial.take(), (Decisions{"ignore 42", "ignore 42", "ignore 42", "ignore 42", "ignore 42"}));
  EXPECT_EQ(trial.discovery.watched(), 0u);
}

TEST(Discovery, WatchedProcessThatBecomesAnExcludedProgramIsLetGo) {
  Trial trial({.ignore = {{.executable = "secret-tool"}}});
  trial.proc.add(ollama);
  trial.notice(Kind::executed, 42);
  ASSERT_EQ(trial.take(), (Decisions{"watch 42"}));
  trial.proc.add({.pid = 42, .executable = "/usr/bin/secret-tool"});
  trial.notice(Kind::executed, 42);
  EXPECT_EQ(trial.take(), (Decisions{"ignore 42"}));
  EXPECT_EQ(trial.discovery.watched(), 0u);
}

TEST(Discovery, RuleBeatsTheTables) {
  Trial trial({.watch = {{.executable = "ollama*"}}});
  trial.proc.add(ollama);
  trial.discovery.scan(start);
  EXPECT_EQ(trial.take(), (Decisions{"watch 42"}));
  EXPECT_EQ(trial.watched[42].reason, "named by the configuration: executable ollama*");
}

TEST(Discovery, WithoutAutomaticOnlyRulesWatch) {
  Trial trial({.automatic = false, .watch = {{.executable = "mine"}}});
  trial.proc.add(ollama);
  trial.proc.add(listener);
  trial.proc.add({.pid = 44, .executable = "/opt/mine"});
  trial.proc.add({.pid = 45, .executable = "/opt/x", .maps = "7f00-7f01 r-xp 0 08:01 1 /usr/lib/libcuda.so.1\n"});
  trial.discovery.scan(start);
  trial.notice(Kind::accepts_connections, 43);
  EXPECT_EQ(trial.take(), (Decisions{"watch 44"}));
}

TEST(Discovery, PortRuleWaitsForThePort) {
  Trial trial({.automatic = false, .watch = {{.port = std::uint16_t{8080}}}});
  auto process = listener;
  process.sockets.clear();
  trial.proc.add(process);
  trial.notice(Kind::executed, 43);
  EXPECT_EQ(trial.take(), Decisions{});
  trial.proc.add(listener);
  trial.notice(Kind::executed, 44);  // anything that makes it look at the sockets anew
  trial.discovery.tick(start + milliseconds(100));
  EXPECT_EQ(trial.take(), (Decisions{"watch 43"}));
  EXPECT_EQ(trial.watched[43].reason, "named by the configuration: port 8080");
}

TEST(Discovery, PortRuleSeesPortsThatOpenedSinceTheLastLook) {
  Trial trial({.automatic = false, .watch = {{.port = std::uint16_t{8080}}}});
  auto process = listener;
  process.sockets.clear();
  process.tcp.clear();
  trial.proc.add(process);
  trial.notice(Kind::executed, 43);
  trial.proc.add(listener);
  trial.discovery.tick(start + milliseconds(100));
  EXPECT_EQ(trial.take(), (Decisions{"watch 43"})) << "a look again looks at the sockets again";
}

TEST(Discovery, PortRuleExcludes) {
  Trial trial({.ignore = {{.port = std::uint16_t{8080}}}});
  trial.proc.add(listener);
  trial.discovery.scan(start);
  EXPECT_EQ(trial.take(), (Decisions{"ignore 43"}));
}

TEST(Discovery, WhoAcceptsConnectionsIsSampled) {
  Trial trial;
  trial.proc.add(listener);
  trial.notice(Kind::accepts_connections, 43);
  EXPECT_EQ(trial.take(), (Decisions{"sample 43"}));
  trial.proc.add(ollama);
  trial.notice(Kind::accepts_connections, 42);
  EXPECT_EQ(trial.take(), (Decisions{"watch 42"}));
}

TEST(Discovery, InferenceRequestMakesItWatched) {
  Trial trial;
  trial.proc.add(listener);
  trial.notice(Kind::received_inference, 43, 0, "POST /v1/chat/completions?key=s");
  EXPECT_EQ(trial.take(), (Decisions{"watch 43"}));
  EXPECT_EQ(trial.watched[43].reason, "received an inference request (POST /v1/chat/completions)");
}

TEST(Discovery, ChildOfAWatchedProcess) {
  Trial trial;
  trial.proc.add(ollama);
  trial.discovery.scan(start);
  trial.proc.add({.pid = 60, .parent = 42, .executable = "/usr/bin/runner"});
  trial.notice(Kind::forked, 60, 42);
  EXPECT_EQ(trial.watched[60].reason, "child of watched process 42");
  EXPECT_EQ(trial.watched[60].parent, 42);
  trial.notice(Kind::executed, 60);
  EXPECT_EQ(trial.take(), (Decisions{"watch 42", "watch 60", "watch 60"}));
  EXPECT_NE(trial.watched[60].reason.find("new program"), std::string::npos);
  EXPECT_EQ(trial.discovery.watched(), 2u);
}

TEST(Discovery, ProcessesThatAreGoneAreNoHarm) {
  Trial trial;
  for (const Kind kind : {Kind::executed, Kind::forked, Kind::accepts_connections, Kind::received_inference})
    trial.notice(kind, 99, 42, "POST /v1/chat/completions");
  for (int i = 1; i < 100; ++i) trial.discovery.tick(start + seconds(i));
  EXPECT_EQ(trial.take(), Decisions{});
  EXPECT_EQ(trial.discovery.watched(), 0u);
}

TEST(Discovery, ExitIsTheEndOfIt) {
  Trial trial;
  trial.proc.add(ollama);
  trial.proc.add({.pid = 50, .executable = "/opt/engine"});
  trial.discovery.scan(start);
  trial.notice(Kind::executed, 50);
  trial.discovery.on(ProcessExited{.pid = 42});
  trial.discovery.on(ProcessExited{.pid = 50});
  EXPECT_EQ(trial.discovery.watched(), 0u);
  trial.take();
  trial.proc.add({.pid = 50, .executable = "/opt/x", .maps = "7f00-7f01 r-xp 0 08:01 1 /usr/lib/libcuda.so.1\n"});
  trial.discovery.tick(start + seconds(60));
  EXPECT_EQ(trial.take(), Decisions{}) << "it is not looked at again";
}

TEST(Discovery, PidThatIsUsedAgainIsAnotherProcess) {
  Trial trial;
  trial.proc.add(ollama);
  trial.discovery.scan(start);
  ASSERT_EQ(trial.take(), (Decisions{"watch 42"}));
  // Its exit was not told (a full ring); then its number belongs to somebody else.
  trial.proc.add({.pid = 42, .executable = "/bin/bash", .start_ticks = 99999});
  trial.notice(Kind::executed, 42);
  EXPECT_EQ(trial.take(), Decisions{}) << "not watched because of an earlier owner of its number";
  EXPECT_EQ(trial.discovery.watched(), 0u);
}

TEST(Discovery, ForgetsWatchedProcessesWhoseExitWasNotTold) {
  Trial trial;
  trial.proc.add(ollama);
  trial.discovery.scan(start);
  trial.discovery.tick(start + seconds(1));
  EXPECT_EQ(trial.discovery.watched(), 1u);
  trial.proc.remove(42);
  trial.discovery.tick(start + seconds(62));
  EXPECT_EQ(trial.discovery.watched(), 0u);
}

TEST(Discovery, CandidatesTellNobody) {
  Trial trial({.ignore = {{.executable = "excluded"}}});
  trial.proc.add(ollama);
  trial.proc.add(listener);
  trial.proc.add({.pid = 44, .executable = "/bin/excluded"});
  trial.proc.add({.pid = 45, .executable = "/bin/bash"});
  trial.proc.add({.pid = 46,
                  .net_namespace = 3,
                  .sockets = {9},
                  .unix_sockets = test::unix_line("00010000", "0001", 9, "/run/x")});
  const auto candidates = trial.discovery.candidates();
  ASSERT_EQ(candidates.size(), 4u);
  EXPECT_EQ(candidates[0].verdict, Verdict::watched);
  EXPECT_EQ(candidates[1].verdict, Verdict::sampled);
  EXPECT_NE(candidates[1].reason.find("port 8080"), std::string::npos);
  EXPECT_EQ(candidates[2].verdict, Verdict::ignored);
  EXPECT_EQ(candidates[2].reason, "excluded by the configuration: executable excluded");
  EXPECT_EQ(candidates[3].verdict, Verdict::sampled);
  EXPECT_NE(candidates[3].reason.find("unix socket"), std::string::npos);
  EXPECT_EQ(trial.take(), Decisions{});
  EXPECT_EQ(trial.discovery.watched(), 0u);
}

}  // namespace
}  // namespace inferscope::discover
