// SPDX-License-Identifier: Apache-2.0
#include "exporters/otlp/otlp_sink.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <functional>
#include <thread>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"
#include "tests/support/http_server.h"
#include "tests/support/traces.h"

namespace inferscope::exporters {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::HttpServer;
using Clock = std::chrono::steady_clock;

OtlpOptions options_for(const std::string& url) {
  OtlpOptions options;
  options.endpoint = url;
  options.delivery.timeout = seconds(10);
  options.batch_delay = milliseconds(0);
  options.delivery.retry_first = milliseconds(10);
  options.delivery.retry_most = milliseconds(40);
  options.delivery.retry_until = seconds(10);
  return options;
}

std::unique_ptr<Sink> sink_of(const OtlpOptions& options) {
  auto sink = make_otlp_sink(options);
  if (!sink) throw std::runtime_error(sink.error().text());
  return std::move(sink).value();
}

bool wait_until(const std::function<bool()>& condition) {
  for (const auto end = Clock::now() + seconds(20); Clock::now() < end; std::this_thread::sleep_for(milliseconds(2)))
    if (condition()) return true;
  return false;
}

int spans_in(const std::string& body) {
  opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest request;
  EXPECT_TRUE(request.ParseFromString(body));
  int spans = 0;
  for (const auto& group : request.resource_spans())
    for (const auto& scope : group.scope_spans()) spans += scope.spans_size();
  return spans;
}

std::string gunzip(const std::string& packed) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string out(1u << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST(OtlpSink, DeliversInBatches) {
  HttpServer server({HttpServer::answer(200)});
  auto options = options_for(server.url());
  options.batch_traces = 4;
  options.batch_delay = seconds(30);  // a full batch does not wait for it
  options.headers = {{"Authorization", "Bearer token"}};
  const auto sink = sink_of(options);
  for (std::uint8_t i = 1; i <= 8; ++i) sink->put(test::plain_trace(i));
  ASSERT_TRUE(server.wait_for_requests(2));
  ASSERT_TRUE(wait_until([&] { return sink->stats().out == 8; }));
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 2u);
  for (const std::string& request : requests) {
    EXPECT_EQ(spans_in(HttpServer::body_of(request)), 4);
    EXPECT_NE(request.find("Content-Type: application/x-protobuf\r\n"), std::string::npos);
    EXPECT_NE(request.find("Authorization: Bearer token\r\n"), std::string::npos);
    EXPECT_EQ(request.find("Content-Encoding"), std::string::npos);
  }
  sink->shut_down(seconds(5));
  EXPECT_TRUE(sink->stats().balanced());
  EXPECT_EQ(sink->stats().held, 0u);
}

TEST(OtlpSink, AYoungBatchWaitsForMore) {
  HttpServer server({HttpServer::answer(200)});
  auto options = options_for(server.url());
  options.batch_delay = milliseconds(200);
  const auto sink = sink_of(options);
  sink->put(test::plain_trace(1));
  std::this_thread::sleep_for(milliseconds(20));  // the second comes while the first waits
  sink->put(test::plain_trace(2));
  ASSERT_TRUE(server.wait_for_requests(1));
  EXPECT_EQ(spans_in(HttpServer::body_of(server.requests()[0])), 2);
}

TEST(OtlpSink, Gzip) {
  HttpServer server({HttpServer::answer(200)});
  auto options = options_for(server.url());
  options.gzip = true;
  const auto sink = sink_of(options);
  sink->put(test::chat_trace());
  ASSERT_TRUE(server.wait_for_requests(1));
  const std::string request = server.requests()[0];
  EXPECT_NE(request.find("Content-Encoding: gzip\r\n"), std::string::npos);
  EXPECT_EQ(spans_in(gunzip(HttpServer::body_of(request))), 4);
}

TEST(OtlpSink, TriesAgainUntilItIsTaken) {
  HttpServer server({HttpServer::answer(503),
                     {.bytes = ""},
                     HttpServer::answer(429),
                     HttpServer::answer(502),
                     HttpServer::answer(504),
                     HttpServer::answer(200)});
  const auto sink = sink_of(options_for(server.url()));
  sink->put(test::plain_trace());
  EXPECT_EQ(sink->stats().held, 1u);
  ASSERT_TRUE(wait_until([&] { return sink->stats().out == 1; }));
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 6u);
  for (const std::string& request : requests) EXPECT_EQ(HttpServer::body_of(request), HttpServer::body_of(requests[0]));
  EXPECT_TRUE(sink->stats().balanced());
}

TEST(OtlpSink, HeedsRetryAfter) {
  HttpServer server({HttpServer::answer(503, "", "Retry-After: 1\r\n"), HttpServer::answer(200)});
  auto options = options_for(server.url());
  options.delivery.retry_most = seconds(30);
  const auto sink = sink_of(options);
  const auto begin = Clock::now();
  sink->put(test::plain_trace());
  ASSERT_TRUE(wait_until([&] { return sink->stats().out == 1; }));
  EXPECT_GE(Clock::now() - begin, milliseconds(950));
}

TEST(OtlpSink, RetryAfterIsBounded) {
  for (const char* after : {"86400", "99999999999999999999", "-1", "tomorrow"}) {
    HttpServer server(
        {HttpServer::answer(503, "", fmt::format("Retry-After: {}\r\n", after)), HttpServer::answer(200)});
    const auto sink = sink_of(options_for(server.url()));
    sink->put(test::plain_trace());
    EXPECT_TRUE(wait_until([&] { return sink->stats().out == 1; })) << after;
  }
}

TEST(OtlpSink, RefusalIsNotTriedAgain) {
  HttpServer server({HttpServer::answer(400), HttpServer::answer(200)});
  auto options = options_for(server.url());
  options.batch_traces = 1;
  const auto sink = sink_of(options);
  sink->put(test::plain_trace(1));
  ASSERT_TRUE(wait_until([&] { return sink->stats().dropped_total() == 1; }));
  EXPECT_EQ(sink->stats().dropped.at("refused by the backend"), 1u);
  sink->put(test::plain_trace(2));
  ASSERT_TRUE(wait_until([&] { return sink->stats().out == 1; }));
  EXPECT_EQ(server.requests().size(), 2u);
  EXPECT_TRUE(sink->stats().balanced());
}

TEST(OtlpSink, GivesUpOnABackendThatStaysAway) {
  auto options = options_for(fmt::format("http://127.0.0.1:{}/", test::closed_port()));
  options.delivery.retry_until = milliseconds(60);
  const auto sink = sink_of(options);
  sink->put(test::plain_trace());
  ASSERT_TRUE(wait_until([&] { return sink->stats().dropped_total() == 1; }));
  EXPECT_EQ(sink->stats().dropped.at("backend not reachable"), 1u);
  EXPECT_EQ(sink->stats().held, 0u);
}

TEST(OtlpSink, FullQueueDropsAndCounts) {
  HttpServer server({{.bytes = "", .and_then_wait = true}});
  auto options = options_for(server.url());
  options.queue_traces = 5;
  options.batch_traces = 1;
  const auto sink = sink_of(options);
  sink->put(test::plain_trace(1));
  ASSERT_TRUE(server.wait_for_requests(1)) << "the first is on its way, and waits";
  for (std::uint8_t i = 2; i <= 21; ++i) {
    sink->put(test::plain_trace(i));
    EXPECT_TRUE(sink->stats().balanced());
  }
  EXPECT_EQ(sink->stats().in, 21u);
  EXPECT_EQ(sink->stats().held, 6u);
  EXPECT_EQ(sink->stats().dropped.at("queue full"), 15u);
  sink->shut_down(milliseconds(50));
  EXPECT_EQ(sink->stats().held, 0u);
  EXPECT_TRUE(sink->stats().balanced());
}

TEST(OtlpSink, ShutDownSendsWhatIsQueued) {
  HttpServer server({HttpServer::answer(200)});
  auto options = options_for(server.url());
  options.batch_delay = seconds(30);
  const auto sink = sink_of(options);
  for (std::uint8_t i = 1; i <= 3; ++i) sink->put(test::plain_trace(i));
  const auto begin = Clock::now();
  sink->shut_down(seconds(10));
  EXPECT_LT(Clock::now() - begin, seconds(5)) << "without waiting for the batch to grow";
  EXPECT_EQ(sink->stats().out, 3u);
  EXPECT_EQ(sink->stats().held, 0u);
}

/// Backends that cannot be reached, each in its own way.
TEST(OtlpSink, ShutDownIsInTimeWhateverTheBackendDoes) {
  HttpServer silent({{.bytes = "", .and_then_wait = true}});
  HttpServer failing({HttpServer::answer(503, "", "Retry-After: 1000\r\n")});
  for (const std::string& url :
       {silent.url(), failing.url(), fmt::format("http://127.0.0.1:{}/", test::closed_port())}) {
    auto options = options_for(url);
    options.delivery.timeout = seconds(60);
    options.delivery.retry_first = options.delivery.retry_most = seconds(60);
    options.delivery.retry_until = std::chrono::minutes(5);
    options.batch_traces = 1;
    const auto sink = sink_of(options);
    for (std::uint8_t i = 1; i <= 3; ++i) sink->put(test::plain_trace(i));
    if (url == silent.url()) {
      ASSERT_TRUE(silent.wait_for_requests(1));
    }
    const auto begin = Clock::now();
    sink->shut_down(milliseconds(300));
    EXPECT_LT(Clock::now() - begin, seconds(3)) << url;
    EXPECT_EQ(sink->stats().dropped.at("shut down"), 3u) << url;
    EXPECT_EQ(sink->stats().held, 0u) << url;
    EXPECT_TRUE(sink->stats().balanced());
  }
}

TEST(OtlpSink, BadEndpointIsToldAtOnce) {
  OtlpOptions options;
  options.endpoint = "nonsense";
  const auto sink = make_otlp_sink(options);
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().kind, Error::Kind::usage);
}

TEST(OtlpSink, HasAName) {
  HttpServer server({HttpServer::answer(200)});
  EXPECT_EQ(sink_of(options_for(server.url()))->name(), "otlp");
}

}  // namespace
}  // namespace inferscope::exporters
