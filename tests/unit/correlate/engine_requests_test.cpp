// SPDX-License-Identifier: Apache-2.0
#include "correlate/engine_requests.h"

#include <gtest/gtest.h>

#include "tests/unit/correlate/recorded_traces.h"

namespace inferscope::correlate {
namespace {

RequestTrace::Phases phases_of(const EngineTimes& times) {
  RequestTrace trace;
  trace.engine = times;
  return trace.phases();
}

using Event = EngineUpdate::Event;
using Occurrences = std::vector<EngineUpdate::Occurrence>;
using std::chrono::milliseconds;
using test::at_ms;

constexpr Pid server = 100;

EngineUpdate told(std::int64_t ms, std::vector<EngineUpdate::Request> requests, std::uint64_t size = 0) {
  EngineUpdate update{.engine = "vllm", .pid = server, .time = at_ms(ms), .requests = std::move(requests)};
  update.direction = size > 0 ? Direction::received : Direction::sent;
  if (size > 0)
    update.step = EngineUpdate::Step{.size = size, .waiting = size * 2, .kv_usage = 0.1 * static_cast<double>(size)};
  return update;
}

EngineUpdate added(std::int64_t ms, std::string_view id) {
  return told(ms, {{.id = id, .occurrences = Occurrences{{Event::added, at_ms(ms)}}, .prompt_tokens = 9}});
}

EngineUpdate::Request part(std::string_view id, Occurrences occurrences = {}, bool finished = false) {
  return {.id = id, .occurrences = std::move(occurrences), .new_tokens = 1, .in_step = true, .finished = finished};
}

RequestTrace call(std::string id, std::string given = {}, std::int64_t begin = 0, std::int64_t end = 1'000'000) {
  RequestTrace trace;
  trace.begin = at_ms(begin);
  trace.end = at_ms(end);
  trace.role = Role::server;
  trace.process.pid = server;
  if (!id.empty()) trace.call.response.id = std::move(id);
  if (!given.empty()) trace.exchange.request.headers.push_back({"x-request-id", std::move(given)});
  return trace;
}

TEST(EngineRequests, PhasesOfARequest) {
  EngineRequests requests({});
  requests.on(added(1000, "chatcmpl-1"));
  requests.on(told(
      1100, {part("chatcmpl-1", {{Event::queued, at_ms(1001)}, {Event::scheduled, at_ms(1040)}}), part("other")}, 2));
  requests.on(told(1120, {part("chatcmpl-1", {{Event::preempted, at_ms(1110)}, {Event::scheduled, at_ms(1115)}})}, 1));
  requests.on(told(1130, {part("other")}, 1));
  requests.on(told(1150, {part("chatcmpl-1", {}, true), part("x"), part("y")}, 3));
  requests.on(told(1160, {{.id = "chatcmpl-1", .finished = true}}, 1));
  const auto times = requests.find(call("chatcmpl-1"));
  ASSERT_TRUE(times);
  EXPECT_EQ(times->engine, "vllm");
  EXPECT_EQ(times->request_id, "chatcmpl-1");
  EXPECT_EQ(times->requests, 1U);
  EXPECT_EQ(phases_of(*times).queue(), milliseconds(39));
  EXPECT_EQ(phases_of(*times).prefill(), milliseconds(60));
  EXPECT_EQ(phases_of(*times).decode(), milliseconds(50));
  EXPECT_EQ(times->preemptions, 1U);
  EXPECT_EQ(times->preempted, std::vector<Time>{at_ms(1110)});
  EXPECT_EQ(times->steps, 3U);
  EXPECT_EQ(times->batch_sum, 6U);
  EXPECT_EQ(times->batch_max, 3U);
  EXPECT_EQ(times->waiting_max, 6U);
  EXPECT_NEAR(*times->kv_usage_max, 0.3, 1e-9);
  EXPECT_EQ(times->prompt_tokens, 9U);
  EXPECT_EQ(times->output_tokens, 3U);
  EXPECT_TRUE(times->complete);
}

TEST(EngineRequests, IdsAsServersMakeThemOfTheirOwn) {
  struct Case {
    std::string_view engine;
    std::string response;
    std::string header;
    bool found;
  };
  for (const Case& one : std::initializer_list<Case>{
           {"chatcmpl-a", "chatcmpl-a", "", true},
           {"chatcmpl-a-0123abcd", "chatcmpl-a", "", true},
           {"cmpl-a-0", "cmpl-a", "", true},
           {"cmpl-a-1-0123abcd", "cmpl-a", "", true},
           {"0_chatcmpl-a-0123abcd", "chatcmpl-a", "", true},
           {"chatcmpl-a", "", "a", true},
           {"a", "chatcmpl-a", "", false},
           {"cmpl-a", "chatcmpl-a", "", false},
           {"cmpl-a-0", "chatcmpl-a", "a", false},
           {"chatcmpl-chatcmpl-a", "", "chatcmpl-a", true},
           {"cmpl-12_a-1", "", "12_a", true},
           {"12_a", "12_a", "", true},
           {"a", "a", "", true},
           {"12_a", "a", "", true},
           {"chatcmpl-ab", "chatcmpl-a", "", false},
           {"chatcmpl-a-b", "chatcmpl-a", "", false},
           {"chatcmpl-a-", "chatcmpl-a", "", false},
           {"chatcmpl-a-01234", "chatcmpl-a", "", false},
           {"chatcmpl-a-1", "chatcmpl-a", "", false},
           {"chatcmpl-a-1-0123abcd", "", "a", false},
           {"cmpl-a-1-0", "", "a", false},
           {"cmpl-a-1-0", "", "a-1", true},
           {"cmpl-a-0123abcd-0123abcd", "", "a", false},
           {"a-1", "a", "", false},
           {"chatcmpl-a", "chatcmpl-a-0123abcd", "", false},
           {"chatcmpl-b", "chatcmpl-a", "b", true},
           {"chatcmpl-a", "", "", false},
       }) {
    EngineRequests requests({});
    requests.on(added(1000, one.engine));
    EXPECT_EQ(requests.find(call(one.response, one.header)).has_value(), one.found)
        << one.engine << ' ' << one.response << ' ' << one.header;
    auto client = call(one.response, one.header);
    client.role = Role::client;
    EXPECT_FALSE(requests.find(client));
    auto elsewhere = call(one.response, one.header);
    elsewhere.process.pid = server + 1;
    EXPECT_FALSE(requests.find(elsewhere));
  }
}

TEST(EngineRequests, TheWholeIdWinsOverALongerOne) {
  EngineRequests requests({});
  requests.on(added(1000, "a-0123abcd"));
  requests.on(added(1000, "a"));
  EXPECT_EQ(requests.find(call("a"))->requests, 1U);
  EXPECT_EQ(requests.find(call("a"))->request_id, "a");
}

TEST(EngineRequests, CallsOneAfterTheOtherWithTheSameId) {
  EngineRequests requests({});
  requests.on(added(1000, "chatcmpl-job-01234567"));
  requests.on(told(1100, {part("chatcmpl-job-01234567", {}, true)}, 1));
  requests.on(added(2000, "chatcmpl-job-89abcdef"));
  requests.on(told(2100, {part("chatcmpl-job-89abcdef")}, 1));
  requests.on(told(2200, {part("chatcmpl-job-89abcdef", {}, true)}, 1));
  EXPECT_EQ(requests.find(call("chatcmpl-job", "job", 990, 1110))->output_tokens, 1U);
  const auto second = requests.find(call("chatcmpl-job", "job", 1990, 2210));
  EXPECT_EQ(second->output_tokens, 2U);
  EXPECT_EQ(second->requests, 1U);
  EXPECT_EQ(second->queued, at_ms(2000));
  EXPECT_FALSE(requests.find(call("", "job", 3000, 3001))) << "refused: the engine heard nothing of it";
}

TEST(EngineRequests, CallsAtTheSameTimeWithTheSameIdAreNotMixed) {
  for (const auto& [one, another] : {std::pair{"chatcmpl-job-01234567", "chatcmpl-job-89abcdef"},
                                     {"0_chatcmpl-job-01234567", "chatcmpl-job-89abcdef"}}) {
    EngineRequests requests({});
    requests.on(added(1000, one));
    requests.on(added(1001, another));
    EXPECT_FALSE(requests.find(call("chatcmpl-job", "job")));
  }
  EngineRequests requests({});
  requests.on(added(1000, "chatcmpl-job-01234567"));
  requests.on(added(1001, "cmpl-job-0-89abcdef"));
  requests.on(added(1002, "chatcmpl-job-7-01234567"));
  EXPECT_EQ(requests.find(call("chatcmpl-job", "job"))->request_id, "chatcmpl-job-01234567");
  EXPECT_EQ(requests.find(call("cmpl-job", "job"))->request_id, "cmpl-job-0-89abcdef");
  EXPECT_EQ(requests.find(call("chatcmpl-job-7", "job-7"))->requests, 1U);
  EXPECT_FALSE(requests.find(call("", "job"))) << "either may be meant";
}

TEST(EngineRequests, TokensOfSeveralPromptsAreAdded) {
  EngineRequests requests({});
  for (const char* id : {"0_cmpl-a-0-01234567", "1_cmpl-a-0-01234567", "0_cmpl-a-1-89abcdef"}) {
    requests.on(added(1000, id));
    requests.on(told(1010, {{.id = id, .new_tokens = 1, .cached_tokens = 4, .in_step = true}}, 1));
  }
  const auto times = requests.find(call("cmpl-a"));
  ASSERT_TRUE(times);
  EXPECT_EQ(times->requests, 3U);
  EXPECT_EQ(times->prompt_tokens, 18U);
  EXPECT_EQ(times->cached_tokens, 8U);
  requests.on(told(1020, {{.id = "cmpl-a-2-00000000", .in_step = true}}, 1));
  EXPECT_FALSE(requests.find(call("cmpl-a"))->prompt_tokens) << "one's are not known";
}

TEST(EngineRequests, OfVeryManyWithTheSameIdSomeAreNotLookedAt) {
  EngineRequests requests({});
  for (int i = 0; i < 5000; ++i) requests.on(added(1000, "cmpl-a-" + std::to_string(i)));
  const auto times = requests.find(call("cmpl-a"));
  EXPECT_LT(times->requests, 5000U);
  EXPECT_FALSE(times->complete);
}

TEST(EngineRequests, WhoWasAnsweredHadAStep) {
  EngineRequests requests({});
  requests.on(added(1000, "a"));
  auto answered = call("a");
  answered.outcome = Outcome::ok;
  EXPECT_TRUE(requests.find(call("a"))->complete) << "it may still wait";
  EXPECT_FALSE(requests.find(answered)->complete);
  requests.on(told(1100, {part("a")}, 1));
  EXPECT_TRUE(requests.find(answered)->complete);
}

TEST(EngineRequests, AnIdWithANulIsNone) {
  using namespace std::string_literals;
  EngineRequests requests({});
  const std::string id = "a\0b-0123abcd"s;
  requests.on(added(1000, id));
  requests.on(added(1000, "a"));
  EXPECT_EQ(requests.stats().held, 1U);
  EXPECT_FALSE(requests.find(call(id)));
}

TEST(EngineRequests, SeveralOfOneCall) {
  EngineRequests requests({});
  for (const char* id : {"0_chatcmpl-a", "1_chatcmpl-a"}) requests.on(added(1000, id));
  requests.on(told(1100, {part("0_chatcmpl-a", {{Event::queued, at_ms(1001)}, {Event::scheduled, at_ms(1010)}})}, 1));
  requests.on(told(
      1200,
      {part("0_chatcmpl-a"), part("1_chatcmpl-a", {{Event::queued, at_ms(1002)}, {Event::scheduled, at_ms(1150)}})},
      2));
  requests.on(told(1300, {part("1_chatcmpl-a", {}, true)}, 1));
  const auto times = requests.find(call("chatcmpl-a"));
  ASSERT_TRUE(times);
  EXPECT_EQ(times->requests, 2U);
  EXPECT_EQ(phases_of(*times).queue(), milliseconds(9));
  EXPECT_EQ(phases_of(*times).prefill(), milliseconds(90));
  EXPECT_EQ(phases_of(*times).decode(), milliseconds(200));
  EXPECT_EQ(times->output_tokens, 4U);
  EXPECT_EQ(times->steps, 2U);
  EXPECT_EQ(times->batch_max, 2U);
}

TEST(EngineRequests, CountsOfTheEngineItself) {
  EngineRequests requests({});
  requests.on(added(1000, "a"));
  for (const auto& [ms, tokens] : {std::pair{1100, 2U}, {1200, 2U}, {1300, 7U}})
    requests.on(told(ms, {{.id = "a", .tokens_so_far = tokens, .in_step = true}}, 1));
  const auto times = requests.find(call("a"));
  EXPECT_EQ(times->output_tokens, 7U);
  EXPECT_EQ(times->first_token, at_ms(1100));
  EXPECT_EQ(times->last_token, at_ms(1300));
  EXPECT_EQ(times->queued, at_ms(1000)) << "when it was handed over";
  EXPECT_FALSE(phases_of(*times).queue());
}

TEST(EngineRequests, TheEnginesOwnEndIsNotHeard) {
  EngineRequests requests({});
  auto taken = added(1000, "a");
  taken.direction = Direction::received;
  requests.on(taken);
  auto given = told(1100, {part("a")}, 1);
  given.direction = Direction::sent;
  requests.on(given);
  EXPECT_EQ(requests.stats().held, 0U);
}

TEST(EngineRequests, WhatWasMissedIsSaid) {
  const EngineUpdate missed{.pid = server, .time = at_ms(1050), .cut = true};
  EngineRequests requests({});
  requests.on(added(1000, "before"));
  requests.on(told(1010, {part("before", {}, true)}, 1));
  requests.on(added(1020, "during"));
  requests.on(told(1030, {part("joined")}, 1));
  requests.on(missed);
  requests.on(added(1060, "after"));
  EXPECT_TRUE(requests.find(call("before"))->complete);
  EXPECT_FALSE(requests.find(call("during"))->complete);
  EXPECT_FALSE(requests.find(call("joined"))->complete) << "it was at work before it was heard of";
  EXPECT_TRUE(requests.find(call("after"))->complete);
  auto cut = told(1070, {part("after")}, 5);
  cut.cut = true;
  requests.on(cut);
  EXPECT_FALSE(requests.find(call("after"))->complete);
}

TEST(EngineRequests, AnIdThatIsUsedAgain) {
  EngineRequests requests({});
  requests.on(added(1000, "a"));
  requests.on(told(1010, {part("a", {}, true)}, 4));
  requests.on(told(1015, {part("a")}, 4));  // late, of the first one
  requests.on(added(1020, "a"));
  requests.on(told(1030, {part("a")}, 1));
  EXPECT_EQ(requests.find(call("a"))->steps, 1U);
  EXPECT_EQ(requests.find(call("a"))->batch_max, 1U);
  EXPECT_EQ(requests.find(call("a"))->request_id, "a");
}

TEST(EngineRequests, AreForgotten) {
  EngineRequests requests({.requests = 4, .keep_ended = milliseconds(100), .keep_silent = std::chrono::minutes(2)});
  for (const char* id : {"a", "b", "c", "d"}) requests.on(added(1000, id));
  requests.on(added(1001, "e"));
  EXPECT_FALSE(requests.find(call("e")));
  EXPECT_EQ(requests.stats().dropped.at("limit"), 1U);
  requests.on(told(1010, {{.id = "b", .occurrences = Occurrences{{Event::aborted, at_ms(1010)}}}}));
  requests.on(added(1011, "e"));
  EXPECT_TRUE(requests.find(call("e")));
  EXPECT_FALSE(requests.find(call("b"))) << "it had ended";
  requests.on(told(1020, {part("a", {}, true)}, 1));
  EXPECT_TRUE(requests.find(call("a")));
  requests.on(told(1200, {}));
  EXPECT_FALSE(requests.find(call("a")));
  EXPECT_EQ(requests.stats().held, 3U);
  requests.on(told(200'000, {}));
  EXPECT_EQ(requests.stats().dropped.at("silent"), 3U);
  EXPECT_TRUE(requests.stats().balanced());
  EXPECT_EQ(requests.stats().held, 0U);
}

TEST(EngineRequests, AtTheLimitTheOneThatEndedFirstGoes) {
  EngineRequests requests({.requests = 2});
  requests.on(added(1000, "a"));
  requests.on(told(1010, {part("a", {}, true)}, 1));
  requests.on(added(1020, "b"));
  requests.on(added(1030, "a"));  // again
  requests.on(told(1040, {part("b", {}, true)}, 1));
  requests.on(told(1050, {part("a", {}, true)}, 1));
  requests.on(added(1060, "c"));
  EXPECT_TRUE(requests.find(call("c")));
  EXPECT_TRUE(requests.find(call("a")));
  EXPECT_FALSE(requests.find(call("b")));
  EXPECT_TRUE(requests.stats().balanced());
}

TEST(EngineRequests, BecomePartOfTheTrace) {
  RecordedTraces recorded;
  auto answered = RecordedTraces::chat_call();
  answered.response.id = "chatcmpl-1";
  auto script = recorded.server(0, answered);
  script.at(999).request("/v1/chat/completions", "{}");
  recorded.correlator.on(added(1000, "chatcmpl-1"));
  recorded.correlator.on(told(1100, {part("chatcmpl-1")}, 1));
  std::size_t in_flight = 0;
  recorded.correlator.in_flight(at_ms(1150), [&](const RequestTrace& trace) {
    ++in_flight;
    EXPECT_TRUE(trace.engine);
  });
  EXPECT_EQ(in_flight, 1U);
  script.at(1200).response_head().response_end().close();
  ASSERT_TRUE(recorded.trace().engine);
  EXPECT_EQ(recorded.trace().engine->steps, 1U);
  EXPECT_EQ(recorded.trace().call.usage.input_tokens, 9U);
  EXPECT_EQ(recorded.trace().call.usage.output_tokens, 1U);
  EXPECT_EQ(recorded.trace().call.usage.source, InferenceCall::CountSource::engine);
}

TEST(EngineRequests, TheApisOwnCountsStay) {
  RecordedTraces recorded;
  auto answered = RecordedTraces::chat_call();
  answered.response.id = "chatcmpl-1";
  answered.usage.input_tokens = 5;
  answered.usage.output_tokens = 6;
  answered.usage.source = InferenceCall::CountSource::usage;
  auto script = recorded.server(0, answered);
  script.at(999).request("/v1/chat/completions", "{}");
  recorded.correlator.on(added(1000, "chatcmpl-1"));
  recorded.correlator.on(told(1100, {part("chatcmpl-1")}, 1));
  script.at(1200).response_head().response_end().close();
  EXPECT_EQ(recorded.trace().call.usage.input_tokens, 5U);
  EXPECT_EQ(recorded.trace().call.usage.output_tokens, 6U);
  EXPECT_EQ(recorded.trace().call.usage.source, InferenceCall::CountSource::usage);
}

}  // namespace
}  // namespace inferscope::correlate
