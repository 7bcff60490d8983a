// SPDX-License-Identifier: Apache-2.0
#include "runtime/pipeline.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "model/trace_json.h"
#include "runtime/status.h"
#include "tests/support/script.h"
#include "tests/support/zmtp_frames.h"

namespace inferscope::runtime {
namespace {

using test::Script;

/// Pieces of HTTP, whole and broken, in an order that no server would choose.
Script random_script(std::uint32_t seed, int steps) {
  static const std::string pieces[] = {
      "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 27\r\n\r\n{\"model\":\"m\",\"stream\":true}",
      "GET /health HTTP/1.1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
      "1f\r\ndata: {\"choices\":[{\"delta\":{}}]\r\n",
      "data: [DONE]\n\n",
      "0\r\n\r\n",
      "HTTP/1.1 204 No Content\r\n\r\n",
      "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}",
      "garbage \x01\x02\xff\r\n",
      "POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"};
  std::mt19937 random(seed);
  const auto pick = [&random](std::size_t below) { return static_cast<std::size_t>(random() % below); };
  Script script;
  script.clock(1'700'000'000'000'000'000).started({.pid = 100, .name = "server"});
  std::vector<Script::Stream> streams{script.open({.role = Role::server})};
  for (int i = 0; i < steps; ++i) {
    Script::Stream& stream = streams[pick(streams.size())];
    const Direction direction = pick(2) == 0 ? Direction::received : Direction::sent;
    const std::string& piece = pieces[pick(std::size(pieces))];
    switch (pick(16)) {
      case 0:
        streams.push_back(script.open({.role = static_cast<Role>(pick(3)), .mid_stream = pick(2) == 0}));
        break;
      case 1:
        stream.lose(direction, pick(1000));
        break;
      case 2:
        stream.cut(direction, piece.substr(0, piece.size() / 2), piece.size() + pick(5000),
                   piece.substr(piece.size() / 2));
        break;
      case 3:
        stream.half_closed(direction);
        break;
      case 4:
        stream.closed(static_cast<ConnectionClosed::Reason>(pick(4)));
        break;
      case 5:
        if (pick(8) == 0) script.exited(100);
        script.lost("event ring full", pick(5));
        break;
      case 6:
        stream.cut(direction, "", piece.size(), "", Transfer::Cut::unreadable);
        break;
      default:
        stream.transfer(direction, piece);
    }
  }
  return script;
}

void expect_balanced(const Pipeline& pipeline, const std::string& when) {
  for (const auto& [name, stats] : pipeline.stats())
    EXPECT_TRUE(stats.balanced()) << name << " " << when << ": in " << stats.in << ", out " << stats.out << ", held "
                                  << stats.held << ", dropped " << stats.dropped_total();
}

TEST(Pipeline, NothingIsLostOnTheWay) {
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    const Script script = random_script(seed, 400);
    std::uint64_t traces = 0;
    Pipeline pipeline([&traces](const RequestTrace&) { ++traces; });
    std::size_t number = 0;
    for (const Event& event : script.events()) {
      pipeline.on(event);
      if (++number % 50 == 0) {
        pipeline.tick(event.time);
        expect_balanced(pipeline, "on the way, seed " + std::to_string(seed));
      }
    }
    pipeline.finish(script.now());
    expect_balanced(pipeline, "at the end, seed " + std::to_string(seed));
    const auto stats = pipeline.stats();
    for (const auto& [name, one] : stats) EXPECT_EQ(one.held, 0u) << name << ", seed " << seed;
    EXPECT_EQ(stats.at("interpret (exchanges)").out, stats.at("correlate (calls)").in) << seed;
    EXPECT_EQ(stats.at("correlate (calls)").out, traces) << seed;
  }
}

TEST(Pipeline, SameEventsSameTraces) {
  const Script script = random_script(7, 1000);
  std::string first;
  for (int round = 0; round < 2; ++round) {
    std::string lines;
    Pipeline pipeline([&lines](const RequestTrace& trace) { (lines += to_json(trace, true)) += '\n'; });
    for (const Event& event : script.events()) pipeline.on(event);
    pipeline.finish(script.now());
    if (round == 0) first = lines;
    EXPECT_EQ(lines, first);
  }
  EXPECT_NE(first, "");
}

TEST(Pipeline, WhatIsOpenIsInFlightThenEnds) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
  std::vector<RequestTrace> traces;
  Pipeline pipeline([&traces](const RequestTrace& trace) { traces.push_back(trace); });
  for (const Event& event : script.events()) pipeline.on(event);
  std::vector<RequestTrace> open;
  pipeline.in_flight(script.now(), [&open](const RequestTrace& trace) { open.push_back(trace); });
  ASSERT_EQ(open.size(), 1u);
  EXPECT_EQ(open[0].outcome, Outcome::in_flight);
  EXPECT_TRUE(traces.empty());
  pipeline.finish(script.now());
  ASSERT_EQ(traces.size(), 1u);
  EXPECT_FALSE(traces[0].complete);
  EXPECT_EQ(traces[0].span_id, open[0].span_id);
}

TEST(Pipeline, AnEnginesMessagesBecomePartOfTheRequest) {
  using namespace test;
  Script script;
  auto http = script.open({.role = Role::server});
  auto to_engine = script.open({.role = Role::server});
  auto from_engine = script.open({.role = Role::server});
  for (auto* stream : {&to_engine, &from_engine})
    stream->sent(zmtp_greeting()).received(zmtp_greeting() + zmtp_ready());
  const std::string question = R"({"model":"m","stream":true})";
  http.received("POST /v1/chat/completions HTTP/1.1\r\nContent-Length: " + std::to_string(question.size()) +
                "\r\n\r\n" + question);
  to_engine.sent(zmtp_message(
      {std::string(1, '\0'), packed_array({packed_text("chatcmpl-7-0123abcd"), packed_array({packed_number(1)})})}));
  const auto step = [&](const std::string& finish) {
    from_engine.received(zmtp_message(
        {packed_array({packed_number(0),
                       packed_array({packed_array({packed_text("chatcmpl-7-0123abcd"), packed_array({packed_number(1)}),
                                                   packed_nil, packed_nil, packed_nil, finish}),
                                     packed_array({packed_text("chatcmpl-8"), packed_array({packed_number(1)})})})})}));
  };
  http.sent("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  step(packed_nil);
  const std::string event = "data: {\"id\":\"chatcmpl-7\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
  http.sent("41\r\n" + event + "\r\n");
  ASSERT_EQ(event.size(), 0x41U);
  step(packed_number(0));
  http.sent("0\r\n\r\n");
  std::vector<RequestTrace> traces;
  Pipeline pipeline([&traces](const RequestTrace& trace) { traces.push_back(trace); });
  for (const Event& event_of : script.events()) pipeline.on(event_of);
  expect_balanced(pipeline, "at the end");
  ASSERT_EQ(traces.size(), 1U);
  EXPECT_EQ(traces[0].outcome, Outcome::ok);
  ASSERT_TRUE(traces[0].engine);
  EXPECT_EQ(traces[0].engine->steps, 2U);
  EXPECT_EQ(traces[0].engine->batch_sum, 4U);
  EXPECT_EQ(traces[0].engine->output_tokens, 2U);
  EXPECT_TRUE(traces[0].engine->complete);
  EXPECT_EQ(pipeline.stats().at("interpret (engine messages)").out, 3U);
  EXPECT_EQ(pipeline.stats().at("correlate (engine requests)").in, 2U);
}

TEST(StatusJson, TellsEverything) {
  StatusView view{
      .uptime = std::chrono::milliseconds(1500),
      .watched_processes = 2,
      .traces = 3,
      .capabilities = {{.name = "socket", .active = true}, {.name = "uring", .problem = "refused \"here\""}},
      .counters = {.transfers = 10, .transfers_passed = 9, .transfers_lost = 1},
      .stages = {{"assemble (bytes)", {.in = 5, .out = 4, .held = 0, .dropped = {{"why", 1}}}}}};
  const std::string json = to_json(view);
  for (const char* part : {R"("uptime_seconds":1.5)", R"("watched_processes":2)", R"("traces":3)",
                           R"({"name":"uring","active":false,"problem":"refused \"here\""})", R"("transfers_lost":1)",
                           R"x("assemble (bytes)":{"in":5,"out":4,"held":0,"dropped":{"why":1}})x"})
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  EXPECT_TRUE(json.ends_with("}\n"));
}

}  // namespace
}  // namespace inferscope::runtime
