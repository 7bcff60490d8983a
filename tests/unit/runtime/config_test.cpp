// SPDX-License-Identifier: Apache-2.0
#include "runtime/config.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace inferscope::runtime {
namespace {

using std::chrono::milliseconds;

Config parsed(std::string_view yaml) {
  const auto config = parse_config(yaml, "test.yaml");
  if (!config) {
    ADD_FAILURE() << config.error().text();
    return {};
  }
  return *config;
}

/// The cause of the refusal.
std::string refused(std::string_view yaml) {
  const auto config = parse_config(yaml, "test.yaml");
  if (config) return "accepted";
  EXPECT_EQ(config.error().kind, Error::Kind::usage);
  EXPECT_NE(config.error().remedy, "");
  return config.error().cause;
}

Config loaded(const std::string& yaml, const std::map<std::string, std::string>& variables) {
  const test::TempFolder folder;
  folder.write("config.yaml", yaml);
  const auto config = load_config(folder.file("config.yaml"), [&variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
  if (!config) {
    ADD_FAILURE() << config.error().text();
    return {};
  }
  return *config;
}

TEST(Config, DefaultsWithoutAFile) {
  for (const std::string_view text :
       {"", "# nothing\n", "watch:\ncapture:\napi:\nlog:\nresource:\nexport:\n", "{}", "~"}) {
    const Config config = parsed(text);
    EXPECT_TRUE(config.watch.automatic);
    EXPECT_TRUE(config.watch.watch.empty());
    EXPECT_TRUE(config.watch.ignore.empty());
    EXPECT_EQ(config.capture.transfer_head_bytes, 16384u);
    EXPECT_EQ(config.capture.transfer_tail_bytes, 4096u);
    EXPECT_EQ(config.capture.message_budget_bytes, 1u << 20);
    EXPECT_EQ(config.capture.event_ring_bytes, 8u << 20);
    EXPECT_EQ(config.capture.connections, 16384u);
    EXPECT_EQ(config.capture.poll_interval, milliseconds(25));
    EXPECT_EQ(config.api.socket, "/run/inferscope/api.sock");
    EXPECT_EQ(config.log.level, "info");
    EXPECT_EQ(config.log.format, "text");
    EXPECT_FALSE(config.otlp_enabled);
    EXPECT_EQ(config.jsonl.path, "");
    EXPECT_EQ(config.otlp.service_name, "inferscope");
  }
}

TEST(Config, EveryKey) {
  const Config config = parsed(R"(
watch:
  automatic: false
  include:
    - executable: /opt/*/server
      command_line: "*--serve*"
      user: llm
      port: 8000
      cgroup: /kubepods/*
    - {port: 65535}
  exclude:
    - executable: sshd
capture:
  transfer_head_bytes: 8KiB
  transfer_tail_bytes: 0
  message_budget_bytes: 2GiB
  event_ring_bytes: 16MiB
  control_ring_bytes: 65536
  connections: 100
  poll_interval: 20ms
overhead:
  budget: 0.03
api:
  socket: /tmp/api.sock
  history_bytes: 1MiB
log:
  level: debug
  format: json
resource:
  service_name: mine
  attributes:
    deployment.environment: prod
export:
  otlp:
    endpoint: https://collector:4318/v1/traces
    headers: {Authorization: Bearer x}
    timeout: 3s
    compression: gzip
    queue_traces: 10
    batch_traces: 5
    batch_delay: 2m
  jsonl:
    path: /var/log/traces.jsonl
    rotate_bytes: 10MiB
    token_times: true
)");
  EXPECT_FALSE(config.watch.automatic);
  ASSERT_EQ(config.watch.watch.size(), 2u);
  EXPECT_EQ(discover::describe(config.watch.watch[0]),
            "executable /opt/*/server, command line *--serve*, user llm, port 8000, cgroup /kubepods/*");
  EXPECT_EQ(config.watch.watch[1].port, 65535);
  ASSERT_EQ(config.watch.ignore.size(), 1u);
  EXPECT_EQ(config.capture.transfer_head_bytes, 8192u);
  EXPECT_EQ(config.capture.transfer_tail_bytes, 0u);
  EXPECT_EQ(config.capture.message_budget_bytes, 2ull << 30);
  EXPECT_EQ(config.capture.event_ring_bytes, 16u << 20);
  EXPECT_EQ(config.capture.control_ring_bytes, 65536u);
  EXPECT_EQ(config.capture.connections, 100u);
  EXPECT_EQ(config.capture.poll_interval, milliseconds(20));
  EXPECT_EQ(config.overhead.budget, 0.03);
  EXPECT_EQ(config.api.socket, "/tmp/api.sock");
  EXPECT_EQ(config.api.history_bytes, 1u << 20);
  EXPECT_EQ(config.log.level, "debug");
  EXPECT_EQ(config.log.format, "json");
  EXPECT_EQ(config.otlp.service_name, "mine");
  EXPECT_EQ(config.otlp.resource_attributes.at("deployment.environment"), "prod");
  EXPECT_TRUE(config.otlp_enabled);
  EXPECT_EQ(config.otlp.endpoint, "https://collector:4318/v1/traces");
  EXPECT_EQ(config.otlp.headers.at("Authorization"), "Bearer x");
  EXPECT_EQ(config.otlp.delivery.timeout, std::chrono::seconds(3));
  EXPECT_TRUE(config.otlp.gzip);
  EXPECT_EQ(config.otlp.queue_traces, 10u);
  EXPECT_EQ(config.otlp.batch_traces, 5u);
  EXPECT_EQ(config.otlp.batch_delay, std::chrono::minutes(2));
  EXPECT_EQ(config.jsonl.path, "/var/log/traces.jsonl");
  EXPECT_EQ(config.jsonl.rotate_bytes, 10u << 20);
  EXPECT_TRUE(config.jsonl.token_times);
}

TEST(Config, UnknownKeysAreToldWithTheirPlace) {
  EXPECT_TRUE(refused("wacht: {}").starts_with("test.yaml:1:1: unknown key 'wacht' in the configuration; known are: "));
  EXPECT_TRUE(
      refused("log:\n  level: info\n  colour: red\n").starts_with("test.yaml:3:3: unknown key 'colour' in log"));
  EXPECT_TRUE(refused("watch:\n  include:\n    - prot: 1\n").starts_with("test.yaml:3:7: unknown key 'prot'"));
  EXPECT_TRUE(refused("export: {otlp: {endpiont: x}}").starts_with("test.yaml:1:17: "));
  EXPECT_NE(refused("<<: {log: {}}").find("unknown key '<<'"), std::string::npos);
  EXPECT_NE(refused("log: {}\nlog: {}").find("test.yaml:2:1: key 'log' stands twice"), std::string::npos);
  EXPECT_NE(refused("? [a]\n: b").find("must be a text"), std::string::npos);
}

TEST(Config, WrongKindsAreRefused) {
  for (const std::string_view yaml : {"hello",
                                      "[1, 2]",
                                      "log: 5",
                                      "log: []",
                                      "watch: {automatic: perhaps}",
                                      "watch: {automatic: [true]}",
                                      "watch: {include: {port: 1}}",
                                      "watch: {include: [5]}",
                                      "watch: {include: [[]]}",
                                      "watch: {include: [{}]}",
                                      "watch: {include: [~]}",
                                      "api: {socket: [x]}",
                                      "api: {socket: {a: b}}",
                                      "export: {otlp: {headers: x}}",
                                      "export: {otlp: {headers: {a: [b]}}}",
                                      "resource: {attributes: []}",
                                      "log: {level: loud}",
                                      "log: {format: xml}",
                                      "export: {otlp: {compression: zstd}}",
                                      "export: {jsonl: {token_times: 2}}"})
    EXPECT_TRUE(refused(yaml).starts_with("test.yaml:1:")) << yaml << ": " << refused(yaml);
}

TEST(Config, BoundsOfNumbers) {
  const auto with = [](const std::string& key, const std::string& value) {
    return refused("capture: {" + key + ": " + value + "}");
  };
  EXPECT_EQ(with("transfer_head_bytes", "16384"), "accepted");
  EXPECT_NE(with("transfer_head_bytes", "16385"), "accepted");
  EXPECT_NE(with("transfer_tail_bytes", "5000"), "accepted");
  EXPECT_NE(with("event_ring_bytes", "4095"), "accepted");
  EXPECT_EQ(with("event_ring_bytes", "1GiB"), "accepted");
  EXPECT_NE(with("event_ring_bytes", "2GiB"), "accepted");
  EXPECT_NE(with("connections", "15"), "accepted");
  EXPECT_NE(with("connections", "1KiB"), "accepted");
  EXPECT_NE(with("connections", "1048577"), "accepted");
  EXPECT_NE(with("poll_interval", "0ms"), "accepted");
  EXPECT_NE(with("poll_interval", "2s"), "accepted");
  for (const char* bytes : {"-1", "1.5", "1 KiB", "1kb", "KiB", "", "99999999999999999999", "18446744073709551615GiB"})
    EXPECT_NE(with("message_budget_bytes", bytes), "accepted") << bytes;
  for (const char* duration : {"5", "5h", "-5s", "ms", "5 s", "99999999999999999999s", "1e3ms"})
    EXPECT_NE(refused("export: {otlp: {timeout: " + std::string(duration) + "}}"), "accepted") << duration;
  for (const char* port : {"0", "65536", "-1", "http", "80.0"})
    EXPECT_NE(refused("watch: {include: [{port: " + std::string(port) + "}]}"), "accepted") << port;
  EXPECT_EQ(refused("overhead: {budget: 1}"), "accepted");
  for (const char* share : {"0", "1.1", "-0.5", "nan", "some", "1 %"})
    EXPECT_NE(refused("overhead: {budget: " + std::string(share) + "}"), "accepted") << share;
}

TEST(Config, BrokenYamlIsToldWithItsPlace) {
  EXPECT_TRUE(refused("log:\n  level: [info\n").starts_with("test.yaml:")) << refused("log:\n  level: [info\n");
  EXPECT_TRUE(refused("a: b: c").starts_with("test.yaml:1:"));
  EXPECT_TRUE(refused("log: *nobody").starts_with("test.yaml:1:6"));
  EXPECT_TRUE(refused("\tlog: {}").starts_with("test.yaml:1:"));
  EXPECT_TRUE(refused("log: \"unterminated").starts_with("test.yaml:"));
}

TEST(Config, AliasesWorkAndCannotGrow) {
  const Config config = parsed("watch:\n  include: [&rule {port: 80}, *rule]\n  exclude: [*rule]\n");
  EXPECT_EQ(config.watch.watch.size(), 2u);
  EXPECT_EQ(config.watch.ignore.size(), 1u);
  std::string bomb = "watch:\n  include: &a0 [x, x]\n";
  for (int i = 1; i < 60; ++i)
    bomb += "k" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + ", *a" +
            std::to_string(i - 1) + "]\n";
  EXPECT_NE(refused(bomb), "accepted");
  EXPECT_NE(refused("watch: {include: &a [*a]}"), "accepted") << "a list that holds itself";
  EXPECT_NE(refused("watch: &w {automatic: *w}"), "accepted");
}

TEST(Config, DeepNestingIsRefusedNotFollowed) {
  EXPECT_NE(refused(std::string(100'000, '[')), "accepted");
  EXPECT_NE(refused(std::string(100'000, '{')), "accepted");
  std::string dashes;
  for (int i = 0; i < 20'000; ++i) dashes += "- ";
  EXPECT_NE(refused(dashes), "accepted");
}

TEST(Config, MissingFileAndFolder) {
  for (const char* path : {"/nonexistent/inferscope.yaml", "/tmp"}) {
    const auto config = load_config(path, [](const char*) { return std::nullopt; });
    ASSERT_FALSE(config) << path;
    EXPECT_EQ(config.error().kind, Error::Kind::usage);
    EXPECT_NE(config.error().cause.find(path), std::string::npos);
  }
}

TEST(Config, ErrorsNameTheFile) {
  const test::TempFolder folder;
  folder.write("a.yaml", "x: 1");
  const auto config = load_config(folder.file("a.yaml"), [](const char*) { return std::nullopt; });
  ASSERT_FALSE(config);
  EXPECT_TRUE(config.error().cause.starts_with(folder.file("a.yaml") + ":1:1: ")) << config.error().cause;
}

TEST(ConfigEnvironment, EndpointSwitchesOtlpOn) {
  EXPECT_FALSE(loaded("", {}).otlp_enabled);
  const Config base = loaded("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"}});
  EXPECT_TRUE(base.otlp_enabled);
  EXPECT_EQ(base.otlp.endpoint, "http://collector:4318/v1/traces");
  const Config own = loaded("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://other"},
                                 {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector/custom"}});
  EXPECT_EQ(own.otlp.endpoint, "http://collector/custom") << "the signal's own wins, and stays as it is";
  EXPECT_FALSE(loaded("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", ""}}).otlp_enabled) << "empty is not set";
}

TEST(ConfigEnvironment, DefaultEndpoint) {
  const Config config = loaded("export: {otlp: }", {});
  EXPECT_TRUE(config.otlp_enabled);
  EXPECT_EQ(config.otlp.endpoint, "http://localhost:4318/v1/traces");
}

TEST(ConfigEnvironment, FileWinsWhereItSaysSomething) {
  const std::map<std::string, std::string> variables{{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4318"},
                                                     {"OTEL_EXPORTER_OTLP_HEADERS", "a=env,b=env"},
                                                     {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
                                                     {"OTEL_EXPORTER_OTLP_TIMEOUT", "1234"},
                                                     {"OTEL_SERVICE_NAME", "env"},
                                                     {"OTEL_RESOURCE_ATTRIBUTES", "x=env,y=env"}};
  const Config config = loaded(R"(
resource: {service_name: file, attributes: {x: file}}
export:
  otlp: {endpoint: "http://file/v1/traces", headers: {a: file}, compression: none, timeout: 7s}
)",
                               variables);
  EXPECT_EQ(config.otlp.endpoint, "http://file/v1/traces");
  EXPECT_EQ(config.otlp.headers, (std::map<std::string, std::string>{{"a", "file"}, {"b", "env"}}));
  EXPECT_FALSE(config.otlp.gzip);
  EXPECT_EQ(config.otlp.delivery.timeout, std::chrono::seconds(7));
  EXPECT_EQ(config.otlp.service_name, "file");
  EXPECT_EQ(config.otlp.resource_attributes, (std::map<std::string, std::string>{{"x", "file"}, {"y", "env"}}));

  const Config silent = loaded("export: {otlp: }", variables);
  EXPECT_EQ(silent.otlp.endpoint, "http://env:4318/v1/traces");
  EXPECT_EQ(silent.otlp.headers.at("a"), "env");
  EXPECT_TRUE(silent.otlp.gzip);
  EXPECT_EQ(silent.otlp.delivery.timeout, milliseconds(1234));
  EXPECT_EQ(silent.otlp.service_name, "env");
}

TEST(ConfigEnvironment, SignalsOwnVariablesWin) {
  const Config config = loaded("", {{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=traces"},
                                    {"OTEL_EXPORTER_OTLP_HEADERS", "a=all,b=all"},
                                    {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1"},
                                    {"OTEL_EXPORTER_OTLP_TIMEOUT", "2"},
                                    {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"},
                                    {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"}});
  EXPECT_EQ(config.otlp.headers, (std::map<std::string, std::string>{{"a", "traces"}, {"b", "all"}}));
  EXPECT_EQ(config.otlp.delivery.timeout, milliseconds(1));
  EXPECT_FALSE(config.otlp.gzip);
}

TEST(ConfigEnvironment, PairsAsTheSpecificationHasThem) {
  const Config config = loaded(
      "", {{"OTEL_RESOURCE_ATTRIBUTES", " k8s.node = n%201 ,broken,=x,empty=,eq=a=b%2Cc,pct=100%,service.name=svc,,"}});
  EXPECT_EQ(config.otlp.resource_attributes.at("k8s.node"), "n 1");
  EXPECT_EQ(config.otlp.resource_attributes.at("empty"), "");
  EXPECT_EQ(config.otlp.resource_attributes.at("eq"), "a=b,c");
  EXPECT_EQ(config.otlp.resource_attributes.at("pct"), "100%");
  EXPECT_FALSE(config.otlp.resource_attributes.contains("broken"));
  EXPECT_EQ(config.otlp.service_name, "svc");
  EXPECT_EQ(loaded("", {{"OTEL_RESOURCE_ATTRIBUTES", "service.name=a"}, {"OTEL_SERVICE_NAME", "b"}}).otlp.service_name,
            "b");
}

TEST(ConfigEnvironment, SwitchesOff) {
  const std::string yaml = "export: {otlp: {endpoint: 'http://x/'}}";
  EXPECT_TRUE(loaded(yaml, {{"OTEL_SDK_DISABLED", "false"}}).otlp_enabled);
  EXPECT_FALSE(loaded(yaml, {{"OTEL_SDK_DISABLED", "true"}}).otlp_enabled);
  EXPECT_FALSE(loaded(yaml, {{"OTEL_SDK_DISABLED", "TRUE"}}).otlp_enabled);
  EXPECT_FALSE(loaded(yaml, {{"OTEL_TRACES_EXPORTER", "none"}}).otlp_enabled);
  EXPECT_TRUE(loaded(yaml, {{"OTEL_TRACES_EXPORTER", "otlp"}}).otlp_enabled);
}

TEST(ConfigEnvironment, OtherSignalsGoBesideTheTraces) {
  const Config beside =
      loaded("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"}, {"OTEL_METRIC_EXPORT_INTERVAL", "1500"}});
  EXPECT_EQ(beside.otlp.logs_endpoint, "http://collector:4318/v1/logs");
  EXPECT_EQ(beside.otlp.metrics_endpoint, "http://collector:4318/v1/metrics");
  EXPECT_EQ(beside.otlp.metrics_interval, milliseconds(1500));
  const Config elsewhere = loaded("export: {otlp: {endpoint: 'http://a/custom', metrics_interval: 5s}}",
                                  {{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://b/metrics"}});
  EXPECT_EQ(elsewhere.otlp.logs_endpoint, "") << "nobody says where";
  EXPECT_EQ(elsewhere.otlp.metrics_endpoint, "http://b/metrics");
  EXPECT_EQ(elsewhere.otlp.metrics_interval, std::chrono::seconds(5));
  const Config none = loaded("export: {otlp: {metrics_endpoint: 'http://a/v1/metrics'}}",
                             {{"OTEL_METRICS_EXPORTER", "none"}, {"OTEL_LOGS_EXPORTER", "none"}});
  EXPECT_EQ(none.otlp.logs_endpoint + none.otlp.metrics_endpoint, "");
}

TEST(ConfigEnvironment, BadTimesAreTold) {
  for (const char* variable : {"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_METRIC_EXPORT_INTERVAL"})
    for (const char* time : {"10s", "0", "-5", "99999999999", "x"}) {
      const auto config = load_config("", [variable, time](const char* name) {
        return std::string(name) == variable ? std::optional<std::string>(time) : std::nullopt;
      });
      ASSERT_FALSE(config) << variable << ' ' << time;
      EXPECT_EQ(config.error().kind, Error::Kind::usage);
      EXPECT_NE(config.error().text().find(variable), std::string::npos) << config.error().text();
    }
}

}  // namespace
}  // namespace inferscope::runtime
