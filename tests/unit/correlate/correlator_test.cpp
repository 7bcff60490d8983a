// SPDX-License-Identifier: Apache-2.0
#include "correlate/correlator.h"

#include <gtest/gtest.h>

#include "model/trace_attributes.h"
#include "tests/unit/correlate/recorded_traces.h"

namespace inferscope::correlate {
namespace {

using Ending = Exchange::Ending;
using namespace std::chrono_literals;

constexpr std::string_view chat = "/v1/chat/completions";

std::vector<RequestTrace> in_flight(const RecordedTraces& recorded, Time now) {
  std::vector<RequestTrace> traces;
  recorded.correlator.in_flight(now, [&](const RequestTrace& trace) { traces.push_back(trace); });
  return traces;
}

TEST(Correlator, SuccessfulStream) {
  RecordedTraces recorded;
  recorded.process(100, "llama-server", 77);
  recorded.correlator.on(Event{test::at_ms(0), ClockSet{1'000'000}});
  recorded.server()
      .at(10)
      .request(chat, "{}")
      .at(12)
      .response_head()
      .at(20)
      .message("x")
      .at(30)
      .message("x")
      .at(50)
      .message("x")
      .at(51)
      .response_end()
      .at(60)
      .close();
  ASSERT_EQ(recorded.traces.size(), 1U);
  const RequestTrace& trace = recorded.trace();
  EXPECT_EQ(trace.outcome, Outcome::ok);
  EXPECT_TRUE(trace.complete);
  EXPECT_EQ(trace.lost, "");
  EXPECT_EQ(trace.process.name, "llama-server");
  EXPECT_EQ(trace.process.start_time_ns, 77U);
  EXPECT_EQ(trace.begin, test::at_ms(10));
  EXPECT_EQ(trace.end, test::at_ms(51));
  EXPECT_EQ(trace.unix_ns(trace.begin), 11'000'000);
  EXPECT_EQ(trace.time_to_first_byte, 2ms);
  EXPECT_EQ(trace.time_to_first_event, 10ms);
  EXPECT_EQ(trace.time_to_first_token, 10ms);
  EXPECT_EQ(trace.time_per_output_token, 15ms);
  EXPECT_EQ(trace.call.token_times.size(), 3U);
  EXPECT_TRUE(trace.call_span_id);
  EXPECT_FALSE(trace.parent_span_id);
  EXPECT_NE(trace.trace_id, TraceId{});
  EXPECT_EQ(recorded.correlator.stats().out, 1U);
  EXPECT_TRUE(recorded.correlator.stats().balanced());
}

TEST(Correlator, OneTokenHasNoTimePerOutputToken) {
  RecordedTraces recorded;
  recorded.server().request(chat, "{}").response_head().message("x").response_end().close();
  EXPECT_FALSE(recorded.trace().time_per_output_token);
}

struct EndingCase {
  Ending ending;
  int status;
  Outcome outcome;
  bool complete;
};

TEST(Correlator, Outcomes) {
  for (const EndingCase& test : {
           EndingCase{Ending::complete, 200, Outcome::ok, true},
           EndingCase{Ending::complete, 404, Outcome::error, true},
           EndingCase{Ending::upgraded, 101, Outcome::ok, true},
           EndingCase{Ending::client_closed, 200, Outcome::client_cancelled, true},
           EndingCase{Ending::client_closed, 0, Outcome::client_cancelled, true},
           EndingCase{Ending::client_closed, 500, Outcome::error, true},
           EndingCase{Ending::server_closed, 200, Outcome::error, true},
           EndingCase{Ending::process_exited, 200, Outcome::error, true},
           EndingCase{Ending::lost_track, 200, Outcome::truncated, false},
           EndingCase{Ending::shut_down, 200, Outcome::truncated, false},
       }) {
    RecordedTraces recorded;
    auto script = recorded.server();
    script.request(chat, "{}");
    if (test.status != 0) script.response_head(test.status);
    script.close(test.ending);
    EXPECT_EQ(recorded.trace().outcome, test.outcome) << static_cast<int>(test.ending) << ' ' << test.status;
    EXPECT_EQ(recorded.trace().complete, test.complete) << static_cast<int>(test.ending) << ' ' << test.status;
    EXPECT_EQ(recorded.trace().complete, recorded.trace().lost.empty());
  }
}

TEST(Correlator, FailureInMidStreamIsAnError) {
  RecordedTraces recorded;
  InferenceCall call = RecordedTraces::chat_call();
  call.failure = InferenceCall::Failure{};
  call.failure->type = "overloaded";
  call.failure->mid_stream = true;
  recorded.server(0, call).request(chat, "{}").response_head().message("x").message("x").response_end().close();
  EXPECT_EQ(recorded.trace().outcome, Outcome::error);
  EXPECT_EQ(error_type(recorded.trace()), "overloaded");
  EXPECT_FALSE(recorded.trace().time_per_output_token);
}

TEST(Correlator, ClientThatExitsGoesAway) {
  RecordedTraces recorded;
  recorded
      .script(test::tcp_connection(1, 100, Role::client, {Family::ipv4, "127.0.0.1", 50000},
                                   {Family::ipv4, "127.0.0.1", 8080}))
      .request(chat, "{}")
      .close(Ending::process_exited);
  EXPECT_EQ(recorded.trace().outcome, Outcome::client_cancelled);
  EXPECT_EQ(recorded.trace().role, Role::client);
}

TEST(Correlator, ResponseShorterThanDeclared) {
  RecordedTraces recorded;
  recorded.server()
      .request(chat, "{}")
      .response_head(200, "text/plain", {{"content-length", "10"}})
      .response_body("short")
      .response_end()
      .close();
  EXPECT_EQ(recorded.trace().outcome, Outcome::truncated);
  EXPECT_EQ(recorded.trace().lost, "the response was shorter than its length said");
  recorded.traces.clear();
  recorded.server()
      .request_head("HEAD", "/")
      .request_end()
      .response_head(200, "", {{"content-length", "10"}})
      .response_end()
      .close();
  EXPECT_EQ(recorded.trace().outcome, Outcome::ok);
}

TEST(Correlator, LossIsToldWithReasonAndAmount) {
  RecordedTraces recorded;
  recorded.server()
      .request_head("POST", chat)
      .request_hole(2'000'000)
      .request_end()
      .response_head()
      .at(2000)
      .message("x")
      .response_hole(300)
      .response_hole(18)
      .at(2100)
      .message("x")
      .response_end()
      .close();
  const RequestTrace& trace = recorded.trace();
  EXPECT_EQ(trace.outcome, Outcome::ok);
  EXPECT_FALSE(trace.complete);
  EXPECT_EQ(trace.lost,
            "2000000 bytes of the request were beyond the capture limit; "
            "318 bytes of the response were lost by the kernel ring");
  EXPECT_TRUE(trace.time_to_first_token);
  EXPECT_FALSE(trace.time_per_output_token);
}

TEST(Correlator, LossOnAClientsSideNamesTheRightBody) {
  RecordedTraces recorded;
  auto script = recorded.script(test::tcp_connection(1, 100, Role::client, {Family::ipv4, "127.0.0.1", 50000},
                                                     {Family::ipv4, "127.0.0.1", 8080}));
  script.request(chat, "{}").response_head().response_hole(1, Gap::Reason::unreadable);
  script.exchange.gaps_total += 5;
  script.response_end().close();
  EXPECT_EQ(recorded.trace().lost, "1 byte of the response was not readable from the process; 5 more gaps");
}

TEST(Correlator, WithoutTheBeginningThereAreNoDurations) {
  RecordedTraces recorded;
  auto script = recorded.server();
  script.request(chat, "{}");
  script.exchange.request.begin.reset();
  script.at(1100).response_head().message("x").response_end().close();
  EXPECT_FALSE(recorded.trace().time_to_first_byte);
  EXPECT_FALSE(recorded.trace().time_to_first_token);
}

TEST(Correlator, SessionsHaveNoTimesOfTokens) {
  RecordedTraces recorded;
  InferenceCall call = RecordedTraces::chat_call();
  call.operation = "realtime";
  auto script = recorded.server(0, call);
  script.request(chat, "{}").at(1100).response_head(101).message("x").at(1200).message("x").response_end().close();
  EXPECT_EQ(recorded.trace().time_to_first_event, 100ms);
  EXPECT_FALSE(recorded.trace().time_to_first_token);
  EXPECT_FALSE(recorded.trace().time_per_output_token);
  EXPECT_TRUE(recorded.trace().call.first_token);
}

TEST(Correlator, InFlight) {
  RecordedTraces recorded;
  recorded.process(100, "llama-server");
  auto second = recorded.server(1);
  auto first = recorded.server(0);
  second.at(20).request(chat, "{}");
  first.at(10).request(chat, "{}").at(15).response_head().at(30).message("x").at(40).message("x");
  const auto traces = in_flight(recorded, test::at_ms(100));
  ASSERT_EQ(traces.size(), 2U);
  EXPECT_EQ(traces[0].exchange.sequence, 0U);
  EXPECT_EQ(traces[0].outcome, Outcome::in_flight);
  EXPECT_EQ(traces[0].end, test::at_ms(100));
  EXPECT_EQ(traces[0].time_to_first_token, 20ms);
  EXPECT_EQ(traces[0].call.last_token, test::at_ms(40));
  EXPECT_EQ(traces[0].call.response.content_events, 2U);
  EXPECT_EQ(traces[0].exchange.response.status, 200);
  EXPECT_TRUE(traces[0].complete);
  EXPECT_FALSE(traces[1].time_to_first_token);
  EXPECT_EQ(recorded.correlator.stats().held, 2U);

  first.response_end().close();
  EXPECT_EQ(recorded.trace().span_id, traces[0].span_id);
  EXPECT_EQ(recorded.trace().trace_id, traces[0].trace_id);
  EXPECT_EQ(in_flight(recorded, test::at_ms(110)).size(), 1U);
}

TEST(Correlator, ReplayGivesTheSameIds) {
  const auto play = [] {
    RecordedTraces recorded;
    recorded.process(100, "llama-server", 5);
    recorded.server().request(chat, "{}").response_head().response_end().close();
    return recorded.trace();
  };
  EXPECT_EQ(play().trace_id, play().trace_id);
  EXPECT_EQ(play().span_id, play().span_id);
}

TEST(Correlator, JoinsTheCallersTrace) {
  RecordedTraces recorded;
  recorded.server()
      .request(chat, "{}",
               {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"tracestate", "a=b"}})
      .response_head()
      .response_end()
      .close();
  EXPECT_EQ(hex(recorded.trace().trace_id), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(hex(*recorded.trace().parent_span_id), "b7ad6b7169203331");
  EXPECT_EQ(recorded.trace().trace_state, "a=b");
}

TEST(Correlator, InvalidTraceParentIsNoParent) {
  RecordedTraces recorded;
  recorded.server()
      .request(chat, "{}",
               {{"traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"}, {"tracestate", "a=b"}})
      .response_head()
      .response_end()
      .close();
  EXPECT_FALSE(recorded.trace().parent_span_id);
  EXPECT_EQ(recorded.trace().trace_state, "");
}

TEST(Correlator, PlainHttpHasNoCallSpan) {
  RecordedTraces recorded;
  recorded.server(0, InferenceCall{})
      .request_head("GET", "/health")
      .request_end()
      .response_head()
      .response_end()
      .close();
  EXPECT_FALSE(recorded.trace().call_span_id);
  EXPECT_EQ(recorded.trace().outcome, Outcome::ok);
}

TEST(Correlator, ProcessThatExitedIsStillKnown) {
  RecordedTraces recorded({.keep_process = 10s});
  recorded.process(100, "old", 1);
  recorded.correlator.on(Event{test::at_ms(5), ProcessExited{100, 1, 9}});
  recorded.process(200, "other", 2, test::at_ms(9'000));
  recorded.server(0).request(chat, "{}").close(Ending::process_exited);
  EXPECT_EQ(recorded.traces.back().process.name, "old");
  recorded.process(201, "other", 2, test::at_ms(20'000));
  recorded.server(1).request(chat, "{}").close(Ending::process_exited);
  EXPECT_EQ(recorded.traces.back().process.name, "");
  EXPECT_EQ(recorded.traces.back().process.pid, 100);
}

TEST(Correlator, ExitsOfTheSameProcessAreBounded) {
  RecordedTraces recorded({.processes = 2});
  recorded.process(1, "a");
  recorded.process(2, "b");
  for (int i = 0; i < 5; ++i) recorded.correlator.on(Event{test::at_ms(1), ProcessExited{1, 0, 0}});
  recorded.process(1, "c", 9);
  recorded.process(3, "d");
  recorded.process(4, "e");
  recorded.server(0).request(chat, "{}").close();
  EXPECT_GT(recorded.correlator.counters().processes_forgotten, 0U);
  EXPECT_EQ(recorded.traces.size(), 1U);
}

TEST(Correlator, ReusedPidIsAnotherProcess) {
  RecordedTraces recorded({.keep_process = 1s});
  recorded.process(100, "old", 1);
  recorded.correlator.on(Event{test::at_ms(5), ProcessExited{100, 0, 0}});
  recorded.process(100, "new", 2, test::at_ms(10));
  recorded.process(200, "other", 3, test::at_ms(60'000));
  recorded.server(1).request(chat, "{}").close();
  EXPECT_EQ(recorded.trace().process.name, "new");
}

TEST(Correlator, TablesAreBounded) {
  RecordedTraces recorded({.open_calls = 2, .processes = 2, .links = 1});
  for (Pid pid = 1; pid <= 5; ++pid) recorded.process(pid, "p");
  EXPECT_EQ(recorded.correlator.counters().processes_forgotten, 3U);
  std::vector<test::ExchangeScript> scripts;
  for (std::uint64_t i = 0; i < 4; ++i) scripts.push_back(recorded.server(i));
  for (auto& script : scripts) script.request(chat, "{}");
  EXPECT_EQ(recorded.correlator.counters().links_forgotten, 1U);
  EXPECT_TRUE(recorded.correlator.stats().balanced());
  for (auto& script : scripts) script.close();
  const StageStats stats = recorded.correlator.stats();
  EXPECT_EQ(stats.in, 4U);
  EXPECT_EQ(stats.out, 2U);
  EXPECT_EQ(stats.dropped.at("open call limit"), 2U);
  EXPECT_TRUE(stats.balanced());
  EXPECT_NE(recorded.traces[1].trace_id, TraceId{});
}

}  // namespace
}  // namespace inferscope::correlate
