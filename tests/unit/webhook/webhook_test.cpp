// SPDX-License-Identifier: Apache-2.0
#include "exporters/webhook/webhook.h"

#include <gtest/gtest.h>

#include "tests/support/http_server.h"
#include "tests/support/temp_folder.h"

namespace inferscope::exporters {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::HttpServer;

std::string header_of(const std::string& request, const std::string& name) {
  const auto at = request.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const auto begin = at + 4 + name.size();
  return request.substr(begin, request.find("\r\n", begin) - begin);
}

TEST(Webhook, SignsTimestampAndBody) {
  // Computed by another implementation of the HMAC.
  EXPECT_EQ(sign("Jefe", "what do ya want for nothing?", ""),
            "38c6c848e5a2f57451f5095df6370d5c9b83175b99df46422b34960c28def6ae");
  EXPECT_NE(sign("key", "1700000000", "x"), sign("key", "1700000001", "x"));
}

TEST(Webhook, PostsTheBodySigned) {
  const HttpServer server({HttpServer::answer(200)});
  const test::TempFolder folder;
  folder.write("secret", "s3cret\n");
  Webhook webhook;
  webhook.put({server.url("/hook"), (folder.path() / "secret").string(), R"({"finding":1})"});
  ASSERT_TRUE(server.wait_for_requests(1));
  const std::string request = server.requests()[0];
  EXPECT_TRUE(request.starts_with("POST /hook "));
  EXPECT_EQ(HttpServer::body_of(request), R"({"finding":1})");
  const std::string timestamp = header_of(request, "X-Inferscope-Timestamp");
  EXPECT_FALSE(timestamp.empty());
  EXPECT_EQ(header_of(request, "X-Inferscope-Signature"), "sha256=" + sign("s3cret", timestamp, R"({"finding":1})"));
  webhook.shut_down(seconds(5));
  EXPECT_EQ(webhook.stats().out, 1u);
}

TEST(Webhook, WithoutASecretItIsNotSigned) {
  const HttpServer server({HttpServer::answer(200)});
  Webhook webhook;
  webhook.put({server.url("/hook"), "", "{}"});
  ASSERT_TRUE(server.wait_for_requests(1));
  EXPECT_EQ(header_of(server.requests()[0], "X-Inferscope-Signature"), "");
}

TEST(Webhook, WhatCannotBeSentIsCounted) {
  Webhook webhook(
      {.delivery = {.timeout = milliseconds(200), .retry_first = milliseconds(1), .retry_until = milliseconds(5)}});
  webhook.put({"no url", "", "{}"});
  webhook.put({"http://127.0.0.1:1/", "/nonexistent/secret", "{}"});
  webhook.put({"http://127.0.0.1:1/", "", "{}"});
  webhook.shut_down(seconds(5));
  webhook.put({"http://127.0.0.1:1/", "", "{}"});
  const StageStats stats = webhook.stats();
  EXPECT_EQ(stats.in, 4u);
  EXPECT_EQ(stats.dropped.at("no such endpoint"), 1u);
  EXPECT_EQ(stats.dropped.at("secret not readable"), 1u);
  EXPECT_EQ(stats.dropped.at("backend not reachable"), 1u);
  EXPECT_EQ(stats.dropped.at("queue full"), 1u);
  EXPECT_TRUE(stats.balanced());
}

TEST(Webhook, AShutDownEndsWhatHangs) {
  const HttpServer server({{.bytes = "", .and_then_wait = true}});
  Webhook webhook;
  webhook.put({server.url("/hook"), "", "{}"});
  ASSERT_TRUE(server.wait_for_requests(1));
  const auto begin = std::chrono::steady_clock::now();
  webhook.shut_down(milliseconds(100));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(5));
  EXPECT_EQ(webhook.stats().dropped_total(), 1u);
}

}  // namespace
}  // namespace inferscope::exporters
