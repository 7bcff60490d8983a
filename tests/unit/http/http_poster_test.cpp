// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/http_poster.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/http_server.h"

namespace inferscope::exporters {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::HttpServer;
using Clock = std::chrono::steady_clock;

std::unique_ptr<HttpPoster> poster_for(const std::string& url, std::map<std::string, std::string> headers = {}) {
  auto poster = HttpPoster::create(url, std::move(headers));
  if (!poster) throw std::runtime_error(poster.error().text());
  return std::move(poster).value();
}

TEST(HttpPoster, PostsBodyAndHeaders) {
  HttpServer server({HttpServer::answer(200, "answer")});
  const auto poster = poster_for(server.url("/v1/traces?x=1"), {{"X-Key", "secret"}, {"Content-Type", "text/plain"}});
  const std::string body("binary \0 body", 13);
  const PostReply reply = poster->post(body, seconds(10));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "answer");
  EXPECT_EQ(reply.problem, "");
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_TRUE(requests[0].starts_with("POST /v1/traces?x=1 HTTP/1.1\r\n")) << requests[0];
  EXPECT_NE(requests[0].find("\r\nX-Key: secret\r\n"), std::string::npos);
  EXPECT_NE(requests[0].find("\r\nHost: 127.0.0.1:"), std::string::npos);
  EXPECT_EQ(HttpServer::body_of(requests[0]), body);
}

TEST(HttpPoster, LargeBody) {
  HttpServer server({HttpServer::answer(200)});
  const std::string body(8u << 20, 'b');
  EXPECT_EQ(poster_for(server.url())->post(body, seconds(20)).status, 200);
  EXPECT_EQ(HttpServer::body_of(server.requests().at(0)).size(), body.size());
}

TEST(HttpPoster, TellsTheStatus) {
  for (const int status : {202, 301, 400, 429, 500, 503}) {
    HttpServer server({HttpServer::answer(status, "why", "Retry-After: 7\r\n")});
    const PostReply reply = poster_for(server.url())->post("x", seconds(10));
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(reply.body, "why");
    EXPECT_EQ(reply.retry_after, "7");
    EXPECT_EQ(reply.problem, "");
  }
}

TEST(HttpPoster, NoAnswerInTime) {
  HttpServer server({{.bytes = "", .and_then_wait = true}});
  const auto poster = poster_for(server.url());
  const auto begin = Clock::now();
  const PostReply reply = poster->post("x", milliseconds(100));
  EXPECT_EQ(reply.status, 0);
  EXPECT_EQ(reply.problem, "no answer in time");
  EXPECT_GE(Clock::now() - begin, milliseconds(90));
  EXPECT_LT(Clock::now() - begin, seconds(5));
}

TEST(HttpPoster, AnswerThatDripsEndsInTime) {
  HttpServer server({{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", .and_then_wait = true}});
  const PostReply reply = poster_for(server.url())->post("x", milliseconds(100));
  EXPECT_EQ(reply.status, 0);
  EXPECT_EQ(reply.problem, "no answer in time");
}

TEST(HttpPoster, LimitOfAnEarlierPostDoesNotEndALaterOne) {
  HttpServer server({HttpServer::answer(200), {.bytes = HttpServer::answer(200).bytes, .after = milliseconds(700)}});
  const auto poster = poster_for(server.url());
  EXPECT_EQ(poster->post("first", milliseconds(400)).status, 200);
  const PostReply reply = poster->post("second", seconds(10));
  EXPECT_EQ(reply.status, 200) << reply.problem;
}

TEST(HttpPoster, RefusedConnection) {
  const auto poster = poster_for(fmt::format("http://127.0.0.1:{}/", test::closed_port()));
  const PostReply reply = poster->post("x", seconds(10));
  EXPECT_EQ(reply.status, 0);
  EXPECT_EQ(reply.problem, "connection refused or closed");
}

TEST(HttpPoster, ServerThatGoesAwayWithoutAnAnswer) {
  HttpServer server({{.bytes = ""}});
  const PostReply reply = poster_for(server.url())->post("x", seconds(10));
  EXPECT_EQ(reply.status, 0);
  EXPECT_NE(reply.problem, "");
}

TEST(HttpPoster, AnswerThatIsNotHttp) {
  for (const char* garbage :
       {"\x16\x03\x01 not http\r\n\r\n", "SSH-2.0-server\r\n", "HTTP/9.9 abc\r\n\r\n", "\n\n\n"}) {
    HttpServer server({{.bytes = garbage}});
    const PostReply reply = poster_for(server.url())->post("x", seconds(5));
    EXPECT_EQ(reply.status, 0) << garbage;
    EXPECT_NE(reply.problem, "") << garbage;
  }
}

TEST(HttpPoster, LargeAnswerUpToItsBound) {
  HttpServer server({HttpServer::answer(200, std::string(3u << 20, 'a'))});
  EXPECT_EQ(poster_for(server.url())->post("x", seconds(20)).body.size(), 3u << 20);
  HttpServer endless({HttpServer::answer(200, std::string(8u << 20, 'a'))});
  const PostReply reply = poster_for(endless.url())->post("x", seconds(20));
  EXPECT_EQ(reply.status, 0);
  EXPECT_EQ(reply.problem, "the answer is too long");
}

TEST(HttpPoster, GoesOnAfterFailures) {
  HttpServer server({{.bytes = "garbage\r\n\r\n"}, {.bytes = ""}, HttpServer::answer(200)});
  const auto poster = poster_for(server.url());
  EXPECT_EQ(poster->post("x", seconds(10)).status, 0);
  EXPECT_EQ(poster->post("x", seconds(10)).status, 0);
  EXPECT_EQ(poster->post("x", seconds(10)).status, 200);
}

TEST(HttpPoster, StopsWhenToldTo) {
  HttpServer server({{.bytes = "", .and_then_wait = true}});
  const auto poster = poster_for(server.url());
  const auto begin = Clock::now();
  std::thread stopper([&] {
    server.wait_for_requests(1);
    poster->stop_at(Clock::now());
  });
  EXPECT_EQ(poster->post("x", seconds(60)).status, 0);
  stopper.join();
  EXPECT_LT(Clock::now() - begin, seconds(10));
  EXPECT_EQ(poster->post("x", seconds(60)).status, 0) << "and none begins";
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(HttpPoster, TlsToAPlainServerFails) {
  HttpServer server({{.bytes = "HTTP/1.1 200 OK\r\n\r\n"}});
  std::string url = server.url();
  url.replace(0, 4, "https");
  const auto poster = HttpPoster::create(url, {});
  if (!poster) GTEST_SKIP() << poster.error().text();
  const PostReply reply = (*poster)->post("x", milliseconds(300));
  EXPECT_EQ(reply.status, 0);
  EXPECT_NE(reply.problem, "");
}

TEST(HttpPoster, BadEndpointsAreUsageErrors) {
  for (const char* url :
       {"", "localhost:4318", "ftp://host/", "http://", "http:///path", "/v1/traces", "http://host:99999999/"}) {
    const auto poster = HttpPoster::create(url, {});
    ASSERT_FALSE(poster) << url;
    EXPECT_EQ(poster.error().kind, Error::Kind::usage) << url;
  }
}

}  // namespace
}  // namespace inferscope::exporters
