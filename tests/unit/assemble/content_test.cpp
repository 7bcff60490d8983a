// SPDX-License-Identifier: Apache-2.0
// Event streams, lines of JSON and content encodings.
#include <zlib.h>
#include <zstd.h>

#include "assemble/content/body.h"
#include "assemble/content/body_hash.h"
#include "assemble/content/content_decoder.h"
#include "assemble/content/content_framing.h"
#include "assemble/content/sse.h"
#include "tests/unit/assemble/trial.h"

namespace inferscope::assemble {
namespace {

using Messages = std::vector<std::string>;

class Collected final : public MessageSink {
 public:
  void message(std::string_view name, std::string_view data) override {
    all.push_back(name.empty() ? std::string(data) : std::string(name) + '=' + std::string(data));
  }
  void oversized() override { all.emplace_back("<oversized>"); }

  Messages all{};
};

Messages divide(ContentKind kind, std::string_view bytes, std::size_t step, std::size_t limit = 1 << 20) {
  Limits limits;
  limits.message = limit;
  Collected sink;
  const auto framing = make_framing(kind, {}, limits);
  for (std::size_t i = 0; i < bytes.size(); i += step) framing->feed(bytes.substr(i, step), sink);
  framing->end(sink);
  return sink.all;
}

struct Sample {
  const char* bytes;
  Messages messages;
};

TEST(Sse, FollowsTheStandardInEveryDivision) {
  const std::vector<Sample> samples{
      {"data: a\n\n", {"a"}},
      {"data:a\r\n\r\n", {"a"}},
      {"data:  a\r\r", {" a"}},
      {"data: a\r\ndata: b\n\r\n", {"a\nb"}},
      {"\xEF\xBB\xBF"
       "data: a\n\n",
       {"a"}},
      {"\xEF\xBB"
       "data: a\n\n",
       {}},
      {": comment\n\n:\n\ndata: a\n\n", {"a"}},
      {"event: ping\ndata: {}\n\ndata: b\n\n", {"ping={}", "b"}},
      {"event: ping\n\ndata: b\n\n", {"b"}},
      {"data\n\ndata:\n\ndata: \n\n", {}},
      {"data\ndata\n\n", {"\n"}},
      {"data: a\nid: 1\nretry: 5\nunknown: x\ndata: b\n\n", {"a\nb"}},
      {"data: unfinished\n", {}},
      {"data: unfinished", {}},
      {"datax: a\n data: b\n\ndata: c\n\n", {"c"}},
      {"data: a\n\n\n\n\ndata: [DONE]\n\n", {"a", "[DONE]"}},
      {"data: caf\xC3\xA9\n\n", {"caf\xC3\xA9"}},
  };
  for (const Sample& sample : samples)
    for (std::size_t step = 1; step <= 20; ++step)
      EXPECT_EQ(divide(ContentKind::event_stream, sample.bytes, step), sample.messages)
          << sample.bytes << " in steps of " << step;
}

TEST(Sse, LongEventsAreDropped) {
  const std::string stream = "data: " + std::string(50, 'a') + "\n\ndata: b\n\ndata: " + std::string(15, 'c') +
                             "\ndata: " + std::string(15, 'd') + "\n\ndata: e\n\n";
  for (std::size_t step = 1; step < 120; ++step)
    EXPECT_EQ(divide(ContentKind::event_stream, stream, step, 30), (Messages{"<oversized>", "b", "<oversized>", "e"}))
        << step;
}

TEST(Sse, AfterAHoleTheNextBlankLineIsTheFirstThingCertain) {
  const Limits limits;
  Collected sink;
  SseParser parser(limits.message);
  parser.feed("data: a\n\ndata: b", sink);
  parser.hole();
  parser.feed("\ndata: c\n", sink);
  parser.feed("\ndata: d\n\n", sink);
  EXPECT_EQ(sink.all, (Messages{"a", "d"}));
}

TEST(Ndjson, OneMessagePerLineThatIsNotBlank) {
  const std::vector<Sample> samples{
      {"{\"a\":1}\n{\"b\":2}\n", {"{\"a\":1}", "{\"b\":2}"}},
      {"{\"a\":1}\r\n\r\n \n{\"b\":2}", {"{\"a\":1}", "{\"b\":2}"}},
      {"\n\n", {}},
      {"  {}  \r\n", {"  {}  "}},
  };
  for (const Sample& sample : samples)
    for (std::size_t step = 1; step <= 20; ++step)
      EXPECT_EQ(divide(ContentKind::json_lines, sample.bytes, step), sample.messages) << sample.bytes;
  for (std::size_t step = 1; step <= 40; ++step)
    EXPECT_EQ(divide(ContentKind::json_lines, "aaaaaaaaaaaaaaaaaaaa\nb\ncccccccccccccc", step, 10),
              (Messages{"<oversized>", "b", "<oversized>"}));
}

TEST(Ndjson, AfterAHoleTheRestOfTheLineIsSkipped) {
  const Limits limits;
  Collected sink;
  const auto parser = make_framing(ContentKind::json_lines, {}, limits);
  parser->feed("one\ntw", sink);
  parser->hole();
  parser->feed("o\nthree\n", sink);
  EXPECT_EQ(sink.all, (Messages{"one", "three"}));
}

TEST(ContentType, IsReadWithoutParametersAndCase) {
  EXPECT_EQ(content_kind("Text/Event-Stream; charset=utf-8"), ContentKind::event_stream);
  EXPECT_EQ(content_kind("application/x-ndjson"), ContentKind::json_lines);
  EXPECT_EQ(content_kind("application/jsonl"), ContentKind::json_lines);
  EXPECT_EQ(content_kind("application/json-lines"), ContentKind::json_lines);
  EXPECT_EQ(content_kind("application/json"), ContentKind::other);
  EXPECT_EQ(content_kind(""), ContentKind::other);
}

std::string zlib_encode(const std::string& text, int window) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// Brotli (RFC 7932) of uncompressed meta-blocks; the library that could do better is not among ours.
std::string brotli_stored(std::string_view text) {
  std::string out;
  bool first = true;
  while (!text.empty()) {
    const std::string_view block = text.substr(0, 65536);
    text.remove_prefix(block.size());
    // WBITS 16 (one bit 0, first block only), ISLAST 0, MNIBBLES 4 (00), MLEN - 1 in 16 bits, ISUNCOMPRESSED 1.
    const std::uint32_t bits = (static_cast<std::uint32_t>(block.size() - 1) << 3 | 1U << 19) << (first ? 1 : 0);
    for (int i = 0; i < 3; ++i) out.push_back(static_cast<char>(bits >> (8 * i) & 0xff));
    out += block;
    first = false;
  }
  return out + '\x03';  // ISLAST, ISLASTEMPTY
}

std::string encode(const std::string& encoding, const std::string& text) {
  if (encoding == "gzip" || encoding == "x-gzip") return zlib_encode(text, 15 + 16);
  if (encoding == "deflate") return zlib_encode(text, 15);
  if (encoding == "raw") return zlib_encode(text, -15);
  std::string out;
  if (encoding == "zstd") {
    out.resize(ZSTD_compressBound(text.size()));
    out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
  }
  return brotli_stored(text);
}

class Encodings : public testing::TestWithParam<const char*> {
 protected:
  static std::string header() { return GetParam() == std::string("raw") ? "deflate" : GetParam(); }
};

TEST_P(Encodings, AreRemovedInEveryDivision) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "{\"n\":" + std::to_string(i * 7919) + "}\n";
  const std::string body = encode(GetParam(), text);
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{1000}, body.size()}) {
    Script script;
    auto stream = script.open({.role = Role::client});
    stream.sent("GET / HTTP/1.1\r\n\r\n")
        .received("HTTP/1.1 200 OK\r\nContent-Encoding: " + header() +
                  "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
    for (std::size_t i = 0; i < body.size(); i += step) stream.received(std::string_view(body).substr(i, step));
    Trial run;
    run.feed(script);
    ASSERT_EQ(run.log.closed().size(), 1U);
    EXPECT_EQ(run.log.joined(Kind::response_body), text);
    EXPECT_EQ(run.closed().response.body_bytes, body.size());
    EXPECT_TRUE(run.closed().gaps.empty());
  }
}

TEST_P(Encodings, BombsAreLeftAndTheConnectionGoesOn) {
  Limits limits;
  limits.decoded_floor = 10000;
  if (std::string(GetParam()) == "br") limits.decoded = 100'000;  // by size rather than by ratio
  const std::string body = encode(GetParam(), std::string(20'000'000, 'a'));
  Script script;
  script.open({.role = Role::server})
      .received("POST / HTTP/1.1\r\nContent-Encoding: " + header() +
                "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body)
      .sent("HTTP/1.1 204 No\r\n\r\n")
      .received("GET / HTTP/1.1\r\n\r\n")
      .sent("HTTP/1.1 204 No\r\n\r\n");
  Trial run(limits);
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 2U);
  ASSERT_EQ(run.closed().gaps.size(), 1U);
  EXPECT_EQ(run.closed().gaps[0].reason, Gap::Reason::limit);
  EXPECT_LT(run.log.joined(Kind::request_body).size(), body.size() * limits.decoded_ratio + 100'001);
  EXPECT_EQ(run.closed(1).ending, Ending::complete);
}

TEST_P(Encodings, GarbageIsAGap) {
  Script script;
  script.open({.role = Role::server})
      .received("POST / HTTP/1.1\r\nContent-Encoding: " + header() + "\r\nContent-Length: 20\r\n\r\n")
      .received("xxxxxxxxxx")
      .received("xxxxxxxxxx")
      .sent("HTTP/1.1 204 No\r\n\r\n");
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.closed().ending, Ending::complete);
  if (std::string(GetParam()) != "br") {  // what brotli makes of it is not said to be an error at once
    ASSERT_EQ(run.closed().gaps.size(), 1U);
    EXPECT_EQ(run.closed().gaps[0].reason, Gap::Reason::malformed);
  }
}

TEST_P(Encodings, HoleEndsTheDecoding) {
  const std::string body = encode(GetParam(), "data: one\n\ndata: two\n\n");
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\n\r\n")
      .sent("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: " + header() +
            "\r\nContent-Length: " + std::to_string(body.size() + 10) + "\r\n\r\n");
  stream.lose(Direction::sent, 10).sent(body);
  Trial run;
  run.feed(script);
  ASSERT_EQ(run.log.closed().size(), 1U);
  EXPECT_EQ(run.log.messages().size(), 0U);
  EXPECT_EQ(run.log.count(Kind::response_hole), 2U);
}

INSTANTIATE_TEST_SUITE_P(All, Encodings, testing::Values("gzip", "x-gzip", "deflate", "raw", "zstd", "br"));

TEST(Encoding, UnknownOnesAreAGap) {
  Script script;
  script.open({.role = Role::server})
      .received("POST / HTTP/1.1\r\nContent-Encoding: gzip, br\r\nContent-Length: 3\r\n\r\nabc")
      .sent("HTTP/1.1 204 No\r\n\r\n");
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.closed().gaps.at(0).reason, Gap::Reason::limit);
  EXPECT_EQ(run.log.joined(Kind::request_body), "");
}

TEST(Encoding, CompressedEventStream) {
  const std::string body = encode("gzip", "data: one\n\ndata: two\n\n");
  Script script;
  script.open({.role = Role::server})
      .received("GET / HTTP/1.1\r\n\r\n")
      .sent("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n" + body);
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.log.messages(), (Messages{"one", "two"}));
}

TEST(EventStream, MessagesHaveTheTimeOfTheTransferThatCompletedThem) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("GET / HTTP/1.1\r\n\r\n").sent(sse_head).sent("12\r\ndata: a").sent("\n\ndata: b\n\n\r\n0\r\n\r\n");
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.log.messages(), (Messages{"a", "b"}));
  for (const auto& entry : run.log.entries()) {
    if (entry.kind == Kind::response_message) {
      EXPECT_EQ(entry.time, time_from_ns(1'004'000'000));
    }
  }
  EXPECT_EQ(run.closed().response.first_body, time_from_ns(1'003'000'000));
}

TEST(JsonLines, AreMessagesToo) {
  Script script;
  auto stream = script.open({.role = Role::server});
  stream.received("POST /api/chat HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
      .sent("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
      .sent(chunk("{\"a\":1}\n"))
      .sent(chunk("{\"done\":true}"))
      .sent("0\r\n\r\n");
  Trial run;
  run.feed(script);
  EXPECT_EQ(run.log.messages(), (Messages{"{\"a\":1}", "{\"done\":true}"}));
}

TEST(BodyHash, DoesNotDependOnTheDivision) {
  const std::string text = "the quick brown fox jumps over the lazy dog, 123456789 times";
  BodyHash whole;
  whole.add(text);
  for (std::size_t step = 1; step < text.size(); ++step) {
    BodyHash pieces;
    for (std::size_t i = 0; i < text.size(); i += step) pieces.add(std::string_view(text).substr(i, step));
    EXPECT_EQ(pieces.value(), whole.value());
  }
  BodyHash shorter;
  shorter.add(std::string_view(text).substr(0, text.size() - 1));
  EXPECT_NE(shorter.value(), whole.value());
  BodyHash zero;
  zero.add(std::string_view("\0", 1));
  EXPECT_NE(zero.value(), BodyHash{}.value());
}

}  // namespace
}  // namespace inferscope::assemble
