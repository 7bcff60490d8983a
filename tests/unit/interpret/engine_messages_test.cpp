// SPDX-License-Identifier: Apache-2.0
// Messages of vLLM's and SGLang's processes, as their versions write them.
#include "interpret/engine_messages.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/exchange_script.h"
#include "tests/support/zmtp_frames.h"

namespace inferscope::interpret {
namespace {

using namespace std::string_literals;
using test::at_ms;
using test::packed_array;
using test::packed_map;
using test::packed_nil;
using test::packed_number;
using test::packed_real;
using test::packed_text;
using Event = EngineUpdate::Event;
using Strings = std::vector<std::string>;

/// When messages of these tests move: 100 s after the kernel's clock began.
const Time now = at_ms(100'000);

const auto connection = std::make_shared<const Connection>(Connection{.id = 5});

/// What was read of one message, kept beyond the call.
struct Read {
  struct Request {
    std::string id{};
    EngineUpdate::Request said{};
  };

  explicit Read(const Strings& contents, Direction direction = Direction::received, std::uint64_t missing = 0) {
    std::vector<PeerMessage::Frame> frames;
    for (const std::string& content : contents) frames.push_back({content, content.size()});
    if (!frames.empty()) frames.back().length += missing;
    EngineMessages messages;
    messages.on({.connection = connection, .direction = direction, .time = now, .pid = 7, .frames = frames},
                [this](const EngineUpdate& update) {
                  ++updates;
                  engine = update.engine;
                  time = update.time;
                  step = update.step;
                  cut = update.cut;
                  EXPECT_EQ(update.pid, 7);
                  for (const EngineUpdate::Request& request : update.requests)
                    requests.push_back({std::string(request.id), request});
                });
    stats = messages.stats();
    EXPECT_TRUE(stats.balanced());
    EXPECT_LE(updates, 1);
  }
  [[nodiscard]] std::uint64_t dropped(std::string_view why) const {
    const auto found = stats.dropped.find(why);
    return found == stats.dropped.end() ? 0 : found->second;
  }

  int updates = 0;
  std::string engine{};
  Time time{};
  std::vector<Request> requests{};
  std::optional<EngineUpdate::Step> step{};
  bool cut = false;
  StageStats stats{};
};

std::string event(std::uint32_t type, double seconds) {
  return packed_map({packed_text("type"), packed_number(type), packed_text("timestamp"), packed_real(seconds)});
}

const std::string stats_map =
    packed_map({packed_text("num_running_reqs"), packed_number(3), packed_text("num_waiting_reqs"), packed_number(2),
                packed_text("kv_cache_usage"), packed_real(0.25), packed_text("prefix_cache_stats"), packed_map({})});

const std::string some_tokens = packed_array({packed_number(1), packed_number(2)});

std::string outputs(const Strings& said, double seconds = 99.9) {
  return packed_array({packed_number(0), packed_array(said), stats_map, packed_real(seconds)});
}

TEST(VllmMessages, AddAndAbort) {
  Strings fields{packed_text("chatcmpl-1"), some_tokens, packed_nil, packed_map({}), packed_nil, packed_real(1.7e9)};
  const Read add({"\0"s, packed_array(fields), "buffer"}, Direction::sent);
  ASSERT_EQ(add.requests.size(), 1U);
  EXPECT_EQ(add.engine, "vllm");
  EXPECT_EQ(add.requests[0].id, "chatcmpl-1");
  EXPECT_EQ(add.requests[0].said.prompt_tokens, 2U);
  ASSERT_EQ(add.requests[0].said.occurrences.size(), 1U);
  EXPECT_EQ(add.requests[0].said.occurrences[0].event, Event::added);
  EXPECT_EQ(add.requests[0].said.occurrences[0].time, now);
  EXPECT_FALSE(add.step);

  fields[1] = packed_nil;  // the prompt is there as embeddings
  EXPECT_FALSE(Read({"\0"s, packed_array(fields)}).requests.at(0).said.prompt_tokens);

  const Read abort({"\1"s, packed_array({packed_text("a"), packed_text("b")})}, Direction::sent);
  ASSERT_EQ(abort.requests.size(), 2U);
  EXPECT_EQ(abort.requests[1].said.occurrences.at(0).event, Event::aborted);
}

TEST(VllmMessages, AddThatIsCutOff) {
  const std::string whole = packed_array({packed_text("chatcmpl-1"), packed_array(Strings(9000, packed_number(5000)))});
  const Read add({"\0"s, whole.substr(0, 16000)}, Direction::sent, whole.size() - 16000);
  ASSERT_EQ(add.requests.size(), 1U);
  EXPECT_EQ(add.requests[0].said.prompt_tokens, 9000U);
  EXPECT_TRUE(add.cut);
}

TEST(VllmMessages, OutputsOfAStep) {
  const std::string first =
      packed_array({packed_text("a"), packed_array({packed_number(5)}), packed_nil, packed_nil, packed_nil, packed_nil,
                    packed_nil, packed_array({event(1, 99.5), event(2, 99.6), event(3, 99.7), event(9, 99.8)}),
                    packed_nil, packed_nil, packed_number(16)});
  const std::string last = packed_array(
      {packed_text("b"), some_tokens, packed_nil, packed_nil, packed_nil, packed_number(0), packed_number(151645)});
  const Read read({outputs({first, last, packed_array({packed_text("c"), packed_array({})})})});
  ASSERT_EQ(read.requests.size(), 3U);
  EXPECT_EQ(read.time, at_ms(99'900));
  ASSERT_TRUE(read.step);
  EXPECT_EQ(read.step->size, 3U);
  EXPECT_EQ(read.step->running, 3U);
  EXPECT_EQ(read.step->waiting, 2U);
  EXPECT_EQ(read.step->kv_usage, 0.25);
  const auto& said = read.requests[0].said;
  EXPECT_EQ(said.new_tokens, 1U);
  EXPECT_FALSE(said.finished);
  EXPECT_TRUE(said.in_step);
  EXPECT_EQ(said.cached_tokens, 16U);
  ASSERT_EQ(said.occurrences.size(), 3U);
  EXPECT_EQ(said.occurrences[0].event, Event::queued);
  EXPECT_EQ(said.occurrences[1].event, Event::scheduled);
  EXPECT_EQ(said.occurrences[1].time, at_ms(99'600));
  EXPECT_EQ(said.occurrences[2].event, Event::preempted);
  EXPECT_TRUE(read.requests[1].said.finished);
  EXPECT_EQ(read.requests[1].said.new_tokens, 2U);
  EXPECT_EQ(read.requests[2].said.new_tokens, 0U);
}

TEST(VllmMessages, OtherVersions) {
  // 0.8: no pooling output, so the reason stands one place earlier; no engine's number.
  const std::string old = packed_array({packed_text("a"), some_tokens, packed_nil, packed_nil, packed_number(1),
                                        packed_nil, packed_array({event(2, 99)})});
  const Read early({packed_array({packed_array({old}), stats_map, packed_real(99.9)})});
  ASSERT_EQ(early.requests.size(), 1U);
  EXPECT_TRUE(early.requests[0].said.finished);
  EXPECT_EQ(early.requests[0].said.occurrences.size(), 1U);

  // 0.20: statistics of the prefill by name, and behind them other counts.
  const std::string prefill = packed_map(
      {packed_text("num_prompt_tokens"), packed_number(100), packed_text("num_cached_tokens"), packed_number(64)});
  const std::string recent =
      packed_array({packed_text("a"), some_tokens, packed_nil, packed_nil, packed_nil, packed_nil, packed_nil,
                    packed_nil, packed_nil, packed_nil, prefill, packed_nil, packed_number(3)});
  const Read late({outputs({recent})});
  EXPECT_EQ(late.requests.at(0).said.prompt_tokens, 100U);
  EXPECT_EQ(late.requests.at(0).said.cached_tokens, 64U);
  EXPECT_FALSE(late.requests.at(0).said.finished);

  // 0.10 with its defaults written: cached tokens, and the count of something else behind them.
  const Strings before(7, packed_nil);
  for (const bool headers : {false, true}) {
    Strings all{packed_text("a"), some_tokens};
    all.insert(all.end(), before.begin(), before.end());
    if (headers) all.push_back(packed_nil);
    all.insert(all.end(), {packed_number(16), packed_number(0), packed_number(0)});
    EXPECT_EQ(Read({outputs({packed_array(all)})}).requests.at(0).said.cached_tokens, 16U);
  }

  const Read finished({packed_array({packed_number(0), packed_array({}), packed_nil, packed_real(99.9), packed_nil,
                                     packed_array({packed_text("a"), packed_text("b")})})});
  ASSERT_EQ(finished.requests.size(), 2U);
  EXPECT_TRUE(finished.requests[1].said.finished);
  EXPECT_FALSE(finished.requests[1].said.in_step);
}

TEST(VllmMessages, TimesThatCannotBeAreNotBelieved) {
  const auto said = [](const Strings& events) {
    return packed_array({packed_text("a"), some_tokens, packed_nil, packed_nil, packed_nil, packed_nil, packed_nil,
                         packed_array(events)});
  };
  // Nothing is said of when, and what counts for itself was when the message moved.
  for (const double seconds : {0.0, -5.0, 100.5, 1e300, 1.7e9}) {
    const Read read({outputs({said({event(1, 99.5), event(2, 99.6), event(3, 99.7)})}, seconds)});
    EXPECT_EQ(read.time, now) << seconds;
    ASSERT_EQ(read.requests.at(0).said.occurrences.size(), 1U);
    EXPECT_EQ(read.requests[0].said.occurrences[0].event, Event::preempted);
    EXPECT_EQ(read.requests[0].said.occurrences[0].time, now);
  }
  const double nan = __builtin_nan("");
  const Read read({outputs({said({event(1, nan), event(2, 1e30), event(2, 200), event(1, 100.0005)})})});
  ASSERT_EQ(read.requests.at(0).said.occurrences.size(), 1U);
  EXPECT_EQ(read.requests[0].said.occurrences[0].time, now);

  // A step that took long to be told, and one whose end is cut off: it has no time of its own.
  const Read late({outputs({said({event(1, 40)})}, 50)});
  EXPECT_EQ(late.time, at_ms(50'000));
  EXPECT_EQ(late.requests.at(0).said.occurrences.at(0).time, at_ms(40'000));
  const std::string whole = outputs({said({event(1, 40)})});
  const Read cut({whole.substr(0, whole.size() - 9)}, Direction::received, 9);
  EXPECT_EQ(cut.time, now);
  EXPECT_EQ(cut.requests.at(0).said.occurrences.at(0).time, at_ms(40'000));
}

TEST(VllmMessages, OutputsThatAreCutOff) {
  Strings many;
  for (int i = 0; i < 300; ++i) many.push_back(packed_array({packed_text("id-" + std::to_string(i)), some_tokens}));
  const std::string whole = outputs(many);
  for (std::size_t size = 1; size < whole.size(); size += 97) {
    const Read read({whole.substr(0, size)}, Direction::received, whole.size() - size);
    if (read.updates == 0) continue;
    EXPECT_TRUE(read.cut);
    EXPECT_EQ(read.step->size, 300U);
    EXPECT_LE(read.requests.size(), 300U);
  }
  EXPECT_GT(Read({whole.substr(0, 2000)}, Direction::received, 9999).requests.size(), 100U);
}

std::string batch(const Strings& before_counts, const Strings& counts, std::string_view name = "BatchStrOutput") {
  Strings fields{packed_text(name), packed_array({packed_text("a"), packed_text("b")})};
  fields.insert(fields.end(), before_counts.begin(), before_counts.end());
  fields.insert(fields.end(), counts.begin(), counts.end());
  fields.insert(fields.end(), {packed_nil, packed_array({})});
  return packed_array(fields);
}

std::string column(std::uint32_t a, std::uint32_t b) {
  return packed_array({packed_number(a), packed_number(b)});
}

TEST(SglangMessages, Batches) {
  const std::string nothing = packed_array({packed_nil, packed_nil});
  const std::string reasons = packed_array({packed_nil, packed_map({packed_text("type"), packed_text("stop")})});
  const std::string texts = packed_array({packed_text("x"), packed_text("")});
  const Strings without{column(10, 20), column(3, 4), column(8, 9)};
  const std::vector<std::pair<std::string_view, Strings>> versions{
      {"BatchStrOutput", {column(10, 20), column(3, 4), column(1, 2), column(8, 9)}},
      {"BatchTokenIDOutput", {column(10, 20), column(1, 2), column(3, 4), column(8, 9)}},
      {"BatchStrOutput", without},
      {"BatchTokenIDOutput", without}};
  for (const auto& [name, counts] : versions)
    for (const Strings& before :
         {Strings{nothing, reasons, texts, packed_nil}, Strings{reasons, texts, column(5, 5), packed_nil}}) {
      const Read read({batch(before, counts, name)});
      ASSERT_EQ(read.requests.size(), 2U);
      EXPECT_EQ(read.engine, "sglang");
      EXPECT_EQ(read.step->size, 2U);
      EXPECT_FALSE(read.requests[0].said.finished);
      EXPECT_TRUE(read.requests[1].said.finished);
      EXPECT_EQ(read.requests[0].said.prompt_tokens, 10U);
      EXPECT_EQ(read.requests[1].said.tokens_so_far, 4U);
      EXPECT_EQ(read.requests[1].said.cached_tokens, 9U);
    }
}

TEST(SglangMessages, BatchesThatAreCutOff) {
  const std::string whole =
      batch({packed_nil, packed_nil}, {column(10, 20), column(3, 4), column(1, 2), column(300, 301)});
  bool told = false;
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const Read read({whole.substr(0, size)}, Direction::received, whole.size() - size);
    for (const Read::Request& request : read.requests) {
      const bool first = request.id == "a";
      for (const auto& [count, right] : {std::pair{request.said.prompt_tokens, first ? 10U : 20U},
                                         {request.said.tokens_so_far, first ? 3U : 4U},
                                         {request.said.cached_tokens, first ? 300U : 301U}})
        if (count) {
          told = true;
          EXPECT_EQ(*count, right) << size;
        }
    }
  }
  EXPECT_TRUE(told);
}

TEST(SglangMessages, AsMaps) {
  const std::string reasons = packed_array({packed_nil, packed_map({packed_text("type"), packed_text("stop")})});
  const Read read({packed_map({packed_text("type"), packed_text("BatchStrOutput"), packed_text("finished_reasons"),
                               reasons, packed_text("cached_tokens"), column(8, 9), packed_text("completion_tokens"),
                               column(3, 4), packed_text("prompt_tokens"), packed_nil, packed_text("rids"),
                               packed_array({packed_text("a"), packed_text("b")})})});
  ASSERT_EQ(read.requests.size(), 2U);
  EXPECT_EQ(read.engine, "sglang");
  EXPECT_FALSE(read.requests[0].said.finished);
  EXPECT_TRUE(read.requests[1].said.finished);
  EXPECT_EQ(read.requests[1].said.tokens_so_far, 4U);
  EXPECT_EQ(read.requests[1].said.cached_tokens, 9U);
  EXPECT_FALSE(read.requests[1].said.prompt_tokens);
  const Read one({packed_map({packed_text("type"), packed_text("TokenizedGenerateReqInput"), packed_text("rid"),
                              packed_text("a"), packed_text("rids"), packed_nil})});
  EXPECT_EQ(one.requests.at(0).said.occurrences.at(0).event, Event::added);
  const Read abort({packed_map({packed_text("rid"), packed_text("a"), packed_text("type"), packed_text("AbortReq")})});
  EXPECT_EQ(abort.requests.at(0).said.occurrences.at(0).event, Event::aborted);
  const Read other(
      {packed_map({packed_text("type"), packed_text("FlushCacheReqInput"), packed_text("rid"), packed_text("a")})});
  EXPECT_EQ(other.updates, 0);
}

TEST(SglangMessages, Requests) {
  const Read one({packed_array({packed_text("TokenizedGenerateReqInput"), packed_text("a"), packed_nil, some_tokens})});
  EXPECT_EQ(one.requests.at(0).id, "a");
  EXPECT_EQ(one.requests.at(0).said.occurrences.at(0).event, Event::added);
  const Read many({packed_array({packed_text("BatchTokenizedGenerateReqInput"),
                                 packed_array({packed_text("a"), packed_text("b")}), packed_nil, packed_array({})})});
  EXPECT_EQ(many.requests.size(), 2U);
  const auto member = [](std::string_view rid) {
    return packed_array({packed_text("TokenizedGenerateReqInput"), packed_text(rid), packed_nil, some_tokens});
  };
  for (const std::string& workers : {packed_nil, packed_array({packed_text("ipc://1"), packed_text("ipc://1")})}) {
    const Read nameless({packed_array({packed_text("BatchTokenizedGenerateReqInput"), packed_nil, workers,
                                       packed_array({member("a"), member("b")})})});
    ASSERT_EQ(nameless.requests.size(), 2U);
    EXPECT_EQ(nameless.requests[1].id, "b");
    EXPECT_EQ(nameless.requests[1].said.occurrences.at(0).event, Event::added);
  }
  const Read abort({packed_array({packed_text("AbortReq"), packed_text("a"), packed_nil})});
  EXPECT_EQ(abort.requests.at(0).said.occurrences.at(0).event, Event::aborted);
}

TEST(EngineMessages, WhatIsNoneIsCounted) {
  for (const Strings& contents :
       {Strings{"text"}, Strings{""}, Strings{"", ""}, Strings{packed_map({packed_text("a"), packed_nil})},
        Strings{packed_array({})}, Strings{packed_array({packed_number(1), packed_number(2)})},
        Strings{outputs({}) + "x"}, Strings{outputs({packed_array({packed_number(1), some_tokens})})},
        Strings{packed_array({packed_number(0), packed_array({})})}, Strings{"\7"s, packed_array({packed_number(1)})},
        Strings{"\0"s, packed_array({packed_number(1)})}, Strings{"\0"s, packed_array({packed_text("")})},
        Strings{"\1"s, packed_array({packed_nil})}, Strings{packed_array({packed_text("Flush"), packed_nil})}}) {
    const Read read(contents);
    EXPECT_EQ(read.updates, 0) << contents[0];
    EXPECT_EQ(read.dropped("not an engine's"), 1U);
  }
}

const std::vector<Strings> control_messages{
    {"\2"s, packed_array({packed_number(1)})},
    {"\3"s, packed_array({packed_number(0), packed_number(1), packed_text("reset_prefix_cache"), packed_array({})})},
    {packed_array(
        {packed_number(0), packed_array({}), packed_nil, packed_real(99.9), packed_array({packed_number(1)})})},
    {packed_array({packed_text("FlushCacheReqInput"), packed_nil})},
    {packed_map({packed_text("type"), packed_text("FlushCacheReqOutput")})},
    {packed_array({packed_text("BatchStrOutput"), packed_nil})},
    {packed_array({packed_text("TokenizedGenerateReqInput"), packed_text(std::string(600, 'x'))})}};

TEST(EngineMessages, WhatSaysNothingOfRequestsIsCounted) {
  for (const Strings& contents : control_messages) {
    const Read read(contents);
    EXPECT_EQ(read.updates, 0) << contents[0];
    EXPECT_EQ(read.dropped("not of requests"), 1U) << contents[0];
  }
}

const std::string pickled = "\x80\4\x95\x10\0\0\0\0\0\0\0cos\nsystem\n."s;

TEST(EngineMessages, PickledObjectsAreLeftAlone) {
  const Read read({pickled});
  EXPECT_EQ(read.updates, 0);
  EXPECT_EQ(read.dropped("pickled"), 1U);
}

/// Says what it was asked to stop.
class Stopped final : public CaptureControl {
 public:
  void stop_payload(ConnectionId id) override { connections.push_back(id); }
  void capture_from(ConnectionId /*id*/, Direction /*direction*/, std::uint64_t /*position*/) override {}

  std::vector<ConnectionId> connections{};
};

struct Conversation {
  Stopped stopped{};
  EngineMessages messages{&stopped};
  std::vector<std::string> engines{};

  void say(const Strings& contents) {
    time += std::chrono::milliseconds(1);
    std::vector<PeerMessage::Frame> frames;
    for (const std::string& content : contents) frames.push_back({content, content.size()});
    messages.on({.connection = connection, .time = time, .frames = frames}, listen);
  }
  void miss() { say({}); }

  Time time = now;
  std::vector<Time> times{};

  Emit<EngineUpdate> listen = [this](const EngineUpdate& update) {
    times.push_back(update.time);
    engines.push_back(update.engine.empty() ? "missed" : std::string(update.engine));
  };
};

TEST(EngineMessages, MissedOnesAreToldWhereAnEngineSpeaks) {
  Conversation conversation;
  conversation.miss();
  conversation.say({"text"});
  EXPECT_TRUE(conversation.engines.empty());
  for (int i = 0; i < 2; ++i) conversation.say({outputs({packed_array({packed_text("a"), some_tokens})})});
  conversation.miss();
  EXPECT_EQ(conversation.engines, (Strings{"missed", "vllm", "vllm", "missed"}));
  EXPECT_EQ(conversation.times[0], now + std::chrono::milliseconds(1)) << "when it was missed, not when that matters";
  EXPECT_EQ(conversation.messages.stats().dropped.at("missed"), 2U);
  EXPECT_TRUE(conversation.messages.stats().balanced());
  Conversation foreign;
  foreign.miss();
  foreign.say({"text"});
  EXPECT_TRUE(foreign.engines.empty());
}

TEST(EngineMessages, WhereNoneSpeaksNothingMoreIsCaptured) {
  Conversation others;
  for (int i = 0; i < 1000; ++i) others.say({"text"});
  EXPECT_EQ(others.stopped.connections, std::vector<ConnectionId>{5});
  Conversation engine;
  engine.say({outputs({packed_array({packed_text("a"), some_tokens})})});
  for (int i = 0; i < 1000; ++i) engine.say({"text"});
  EXPECT_TRUE(engine.stopped.connections.empty());
}

TEST(EngineMessages, AnEngineMayControlForLongBeforeItWorks) {
  Conversation conversation;
  for (int i = 0; i < 1000; ++i) {
    for (const Strings& contents : control_messages) conversation.say(contents);
    conversation.say({pickled});
  }
  EXPECT_TRUE(conversation.stopped.connections.empty());
  Conversation only_pickled;
  for (int i = 0; i < 100'000; ++i) only_pickled.say({pickled});
  EXPECT_EQ(only_pickled.stopped.connections, std::vector<ConnectionId>{5});
}

}  // namespace
}  // namespace inferscope::interpret
