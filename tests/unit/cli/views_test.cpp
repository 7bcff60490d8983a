// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <sstream>
#include <string>
#include <vector>

#include "cli/event_view.h"
#include "cli/trace_view.h"
#include "model/trace_json.h"
#include "tests/support/traces.h"

namespace inferscope::cli {
namespace {

class Views : public testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
  }
};

std::string row(const RequestTrace& trace) {
  return trace_row(to_json(trace), false);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::size_t characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0u) != 0x80 ? 1 : 0;
  return count;
}

TEST_F(Views, RowOfAChat) {
  EXPECT_EQ(row(test::chat_trace()),
            "22:13:21.000 10101010 llama-server/100   tiny                 ok                   11      3    20.0ms   "
            "20.0ms   100.0ms  POST /v1/chat/completions");
}

TEST_F(Views, RowsStandUnderTheirHeadings) {
  const std::string heading = trace_heading();
  auto failed = test::chat_trace();
  failed.outcome = Outcome::error;
  failed.exchange.response.status = 503;
  failed.call.usage = {};
  failed.call.request.model = std::string(100, 'm');
  failed.process.executable = "/opt/" + std::string(60, 'p');
  auto wide = test::chat_trace();
  wide.call.request.model = "模型模型模型模型模型模型模型模型模型模型模型模型";
  for (const auto& trace : {test::chat_trace(), failed, test::plain_trace()}) {
    const std::string text = row(trace);
    EXPECT_EQ(text.substr(heading.find("TRACE"), 8), "10101010");
    EXPECT_EQ(text.substr(heading.find("REQUEST") - 2, 2), "  ") << text;
    EXPECT_TRUE(text.substr(heading.find("REQUEST")).starts_with("POST /v1/") ||
                text.substr(heading.find("REQUEST")).starts_with("GET /health"))
        << text;
  }
  EXPECT_NE(row(failed).find("error 503 "), std::string::npos);
  EXPECT_NE(row(failed).find("mmm~ "), std::string::npos);
}

TEST_F(Views, WideNamesAreCutBetweenCharacters) {
  auto trace = test::chat_trace();
  trace.call.request.model = "ééééééééééééééééééééééééé";
  const std::string text = row(trace);
  EXPECT_NE(text.find("ééééééééééééééééééé~ "), std::string::npos) << text;
  EXPECT_EQ(characters(text), row(test::chat_trace()).size());
}

TEST_F(Views, WhatWasNotSeenIsADash) {
  const std::string text = row(test::plain_trace());
  EXPECT_NE(text.find(" -                    ok "), std::string::npos) << text;
  EXPECT_EQ(text.find(" 0 "), std::string::npos) << text;
}

TEST_F(Views, IncompleteIsTold) {
  auto trace = test::chat_trace();
  EXPECT_EQ(row(trace).find("incomplete"), std::string::npos);
  trace.complete = false;
  trace.lost = "event ring full";
  EXPECT_TRUE(row(trace).ends_with("  (incomplete)"));
  EXPECT_NE(trace_waterfall(to_json(trace), false).find("incomplete             event ring full\n"), std::string::npos);
}

TEST_F(Views, AnAccountSaysWhyAndWhen) {
  const std::string text = trace_waterfall(to_json(test::explained_trace()), false);
  const std::string blocked = "30 ms waiting behind the prompt of request 7f7f7f7f (about 8,192 tokens)";
  const std::string delayed = "10 ms run-queue delay, most behind hog (pid 17)";
  for (const std::string& line :
       {std::string("  queue        |"), std::string("  prefill      |"), std::string("  decode       |"),
        std::string("  steps        |"), std::string("  GPU busy     |"), std::string("  delays       |"),
        "  why                    100 ms: 60 ms decode, " + blocked + ", " + delayed + "\n",
        "  cause                  " + blocked + "\n", "  delay @20.0ms          " + delayed + "\n",
        std::string("  GPU time               12.0ms (shared)\n"), std::string("  processor time         40.0ms\n"),
        std::string("  run-queue delay        10.0ms\n"), std::string("  steps                  3\n")})
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
}

TEST_F(Views, ColourOnlyWhereItIsWanted) {
  const std::string json = to_json(test::chat_trace());
  EXPECT_EQ(trace_row(json, false).find('\x1b'), std::string::npos);
  EXPECT_EQ(trace_waterfall(json, false).find('\x1b'), std::string::npos);
  EXPECT_NE(trace_row(json, true).find("\x1b[32mok              \x1b[0m"), std::string::npos);
  EXPECT_NE(trace_waterfall(json, true).find("\x1b[32mok\x1b[0m"), std::string::npos);
}

TEST_F(Views, TerminalsAreSentNoOrders) {
  const std::string evil = R"("\u001b[2J\u0007\u009b31m\nnext\u007f")";
  std::string json = R"({"trace_id":)" + evil + R"(,"span_id":)" + evil + R"(,"parent_span_id":)" + evil;
  for (const char* key :
       {"inferscope.outcome", "inferscope.lost", "gen_ai.response.model", "gen_ai.request.model", "http.request.method",
        "url.path", "process.executable.name", "server.address", "client.address", "error.type", "gen_ai.response.id",
        "gen_ai.usage.input_tokens", "http.response.status_code"})
    json += ",\"" + std::string(key) + "\":" + evil;
  json += R"(,"start_time_unix_nano":1,"end_time_unix_nano":2,"inferscope.complete":false})";
  for (const std::string& text : {trace_row(json, false), trace_waterfall(json, false)}) {
    EXPECT_NE(text, "");
    for (const char c : {'\x1b', '\x07', '\x7f'}) EXPECT_EQ(text.find(c), std::string::npos);
    EXPECT_EQ(text.find("\xc2\x9b"), std::string::npos);
    EXPECT_EQ(text.find("\nnext"), std::string::npos);
  }
  EXPECT_EQ(trace_row(json, false).find('\n'), std::string::npos);
}

TEST_F(Views, WhatIsNoTraceGivesNothing) {
  for (const char* json : {"", "nonsense", "[]", "5", "{\"trace_id\":", "\"text\""}) {
    EXPECT_EQ(trace_row(json, true), "") << json;
    EXPECT_EQ(trace_waterfall(json, true), "") << json;
    EXPECT_FALSE(is_inference(json)) << json;
  }
  EXPECT_NE(trace_row("{}", false), "") << "a trace that says nothing is a row of dashes";
  const std::string deep = std::string(200'000, '[');
  EXPECT_EQ(trace_row(deep, false), "");
}

TEST_F(Views, TellsInferenceFromTheRest) {
  EXPECT_TRUE(is_inference(to_json(test::chat_trace())));
  EXPECT_FALSE(is_inference(to_json(test::plain_trace())));
}

TEST_F(Views, WaterfallHasABarForEachPhase) {
  const std::string text = trace_waterfall(to_json(test::chat_trace(), true), false);
  std::vector<std::string> bars;
  for (const std::string& line : lines_of(text))
    if (line.find('|') != std::string::npos) bars.push_back(line);
  ASSERT_EQ(bars.size(), 5u) << text;
  for (const std::string& bar : bars) {
    EXPECT_EQ(bar.find('|'), bars[0].find('|'));
    EXPECT_EQ(bar.rfind('|'), bars[0].find('|') + 51);
    EXPECT_EQ(bar.size(), bars[0].size());
  }
  EXPECT_NE(bars[0].find("|" + std::string(50, '=') + "|"), std::string::npos) << bars[0];
  EXPECT_NE(bars[1].find("|" + std::string(10, '=') + std::string(40, ' ') + "|"), std::string::npos) << bars[1];
  EXPECT_NE(bars[2].find("|" + std::string(10, ' ') + std::string(20, '=') + std::string(20, ' ') + "|"),
            std::string::npos)
      << bars[2];
  EXPECT_NE(bars[4].find("after last"), std::string::npos);
  EXPECT_NE(text.find("  output tokens          3\n"), std::string::npos) << text;
}

TEST_F(Views, WaterfallOfAnEngine) {
  auto trace = test::chat_trace();
  const auto at = [&trace](int ms) { return trace.begin + std::chrono::milliseconds(ms); };
  trace.engine = EngineTimes{.engine = "vllm", .request_id = "chatcmpl-1", .requests = 1};
  trace.engine->queued = at(0);
  trace.engine->scheduled = at(10);
  trace.engine->first_token = at(20);
  trace.engine->last_token = at(60);
  trace.engine->preempted = {at(40)};
  trace.engine->preemptions = 1;
  trace.engine->steps = 2;
  trace.engine->batch_sum = 5;
  trace.engine->batch_max = 3;
  trace.engine->kv_usage_max = 0.25;
  const std::string text = trace_waterfall(to_json(trace, true), false);
  for (const char* line :
       {"  queue        |=====     ", "  prefill      |     =====     ",
        "  decode       |          ====================     ", "  preempted    |                    =     ",
        "  engine                 vllm chatcmpl-1\n", "  batch                  2.5 requests in a step, 3 at most\n",
        "  preemptions            1\n", "  KV cache               25 % at most\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  trace.engine->complete = false;
  EXPECT_NE(trace_waterfall(to_json(trace), false).find("chatcmpl-1, of which messages were missed"),
            std::string::npos);
}

TEST_F(Views, WaterfallOfOddTimes) {
  auto trace = test::chat_trace();
  trace.end = trace.begin;
  EXPECT_NE(trace_waterfall(to_json(trace, true), false), "");
  trace.end = trace.begin - std::chrono::seconds(5);
  EXPECT_NE(trace_waterfall(to_json(trace, true), false), "");
  EXPECT_NE(trace_waterfall(R"({"start_time_unix_nano":-9223372036854775808,"end_time_unix_nano":9223372036854775807,)"
                            R"("inferscope.time_to_first_token":1e308,"inferscope.token_times":[1e308,-1e308,0]})",
                            false),
            "");
}

TEST_F(Views, EventsInWords) {
  const auto line = [](auto body) { return event_line({time_from_ns(1'500'000'000), std::move(body)}); };
  EXPECT_EQ(line(ProcessStarted{.pid = 1, .name = "x", .reason = "why"}), "1.500000 process 1 started: x (why)");
  EXPECT_EQ(line(ProcessExited{.pid = 1, .exit_code = 2, .signal = 9}), "1.500000 process 1 exited: code 2, signal 9");
  EXPECT_EQ(line(ConnectionOpened{.connection = {.id = 5,
                                                 .pid = 1,
                                                 .role = Role::server,
                                                 .local = {Family::ipv4, "127.0.0.1", 80},
                                                 .remote = {Family::ipv4, "10.0.0.1", 4000},
                                                 .mid_stream = true}}),
            "1.500000 connection 5 opened: server of process 1, 127.0.0.1:80 <- 10.0.0.1:4000, was open before");
  EXPECT_EQ(line(ConnectionHalfClosed{5, Direction::sent}), "1.500000 connection 5 sent side ended");
  EXPECT_EQ(
      line(ConnectionClosed{.id = 5, .reason = ConnectionClosed::Reason::reset, .received_bytes = 1, .sent_bytes = 2}),
      "1.500000 connection 5 reset: 1 bytes received, 2 sent");
  EXPECT_EQ(line(EventsLost{"ring full", 3}), "1.500000 3 events lost: ring full");
  EXPECT_EQ(line(ClockSet{7}), "1.500000 clock: Unix time is 7 ns ahead");
}

TEST_F(Views, EventsTellNoContentAndGiveNoOrders) {
  const Transfer transfer{.connection = 5,
                          .direction = Direction::received,
                          .cut = Transfer::Cut::fault,
                          .tid = 9,
                          .position = 10,
                          .length = 100,
                          .begin = time_from_ns(1'000),
                          .end = time_from_ns(5'000),
                          .head = "secret"};
  EXPECT_EQ(event_line({time_from_ns(0), transfer}),
            "0.000000 connection 5 received 100 bytes at 10 (thread 9, took 4 us), content cut: fault");
  const std::string evil = "\x1b[2J\n";
  for (const Event& event : {Event{{}, ProcessStarted{.name = evil, .reason = evil}}, Event{{}, EventsLost{evil, 1}},
                             Event{{}, ConnectionOpened{.connection = {.local = {Family::unix_stream, evil, 0}}}}}) {
    const std::string line = event_line(event);
    EXPECT_EQ(line.find('\x1b'), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
  const Transfer odd{.begin = Time{Duration::max()}, .end = Time{Duration::min()}};
  EXPECT_NE(event_line({{}, odd}), "") << "times of a recording can be any";
}

}  // namespace
}  // namespace inferscope::cli
