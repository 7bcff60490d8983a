// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/uio.h>

#include <algorithm>

#include "tests/support/sockets.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

using Kind = ProcessNotice::Kind;
using Treatment = TracedProcess::Treatment;

const std::string inference = "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

source::LiveOptions sampling() {
  source::LiveOptions options;
  options.inference_paths = {"/v1/chat/completions", "/completion"};
  return options;
}

std::size_t count(const TracedProcess& traced, Kind kind) {
  std::size_t found = 0;
  for (const ProcessNotice& notice : traced.notices())
    found += notice.kind == kind && notice.pid == traced.child() ? 1 : 0;
  return found;
}

/// No notice is about the child; others of the host may start programs meanwhile.
bool unnoticed(const TracedProcess& traced) {
  return std::none_of(traced.notices().begin(), traced.notices().end(),
                      [&](const ProcessNotice& notice) { return notice.pid == traced.child(); });
}

/// The child's transfers. Servers of other tests may be found meanwhile, as they should.
std::vector<const Transfer*> captured(const TracedProcess& traced, Direction direction) {
  auto transfers = traced.transfers(direction);
  std::erase_if(transfers, [&](const Transfer* transfer) { return transfer->pid != traced.child(); });
  return transfers;
}
bool nothing_captured(const TracedProcess& traced) {
  return captured(traced, Direction::received).empty() && captured(traced, Direction::sent).empty();
}

/// A process that serves each of these requests on one connection.
void serve(const std::vector<std::string>& requests) {
  const auto pair = tcp_pair();
  for (const std::string& request : requests) {
    send_all(pair.client, request);
    receive_exactly(pair.server, request.size());
  }
}

TEST(DiscoveryBpf, InferenceRequestMakesASampledProcessWatched) {
  TracedProcess traced(sampling());
  traced.run(
      [] {
        const auto pair = tcp_pair();
        send_all(pair.client, inference);
        receive_exactly(pair.server, inference.size());
        send_all(pair.server, "HTTP/1.1 200 OK\r\n\r\n");
        send_all(pair.client, inference);
        receive_exactly(pair.server, inference.size());
      },
      Treatment::sampled);
  ASSERT_EQ(traced.status(), 0);
  ASSERT_EQ(count(traced, Kind::received_inference), 1u);
  for (const ProcessNotice& notice : traced.notices())
    if (notice.kind == Kind::received_inference) {
      EXPECT_EQ(notice.sample, inference.substr(0, 32));
    }
  const auto received = captured(traced, Direction::received);
  ASSERT_EQ(received.size(), 2u) << "this very request is captured, and what follows";
  EXPECT_EQ(received[0]->head, inference);
  EXPECT_EQ(received[0]->position, 0u);
  EXPECT_EQ(captured(traced, Direction::sent).at(0)->head, "HTTP/1.1 200 OK\r\n\r\n");

  const auto by_readv = [](int fd) {
    char one[48], two[128];
    const iovec parts[] = {{one, sizeof(one)}, {two, sizeof(two)}};
    (void)!readv(fd, parts, 2);
  };
  const auto by_recvmsg = [](int fd) {
    char buffer[128];
    iovec part{buffer, sizeof(buffer)};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    (void)!recvmsg(fd, &message, 0);
  };
  const auto by_read = [](int fd) {
    char buffer[128];
    (void)!read(fd, buffer, sizeof(buffer));
  };
  const std::pair<const char*, std::function<void(int)>> ways[] = {
      {"recvmsg", by_recvmsg}, {"read", by_read}, {"readv", by_readv}};
  for (const auto& [name, way] : ways) {
    traced.forget();
    traced.run(
        [&way = way] {
          const auto pair = tcp_pair();
          send_all(pair.client, inference);
          way(pair.server);
        },
        Treatment::sampled);
    EXPECT_EQ(count(traced, Kind::received_inference), 1u) << name;
  }
}

TEST(DiscoveryBpf, OtherRequestsDoNot) {
  TracedProcess traced(sampling());
  const std::string rest = " HTTP/1.1\r\nHost: a-long-enough-name\r\n\r\n";
  const std::vector<std::string> others{"GET /v1/chat/completions" + rest,
                                        "POST /v1/chat/completion" + rest,
                                        "POST /v2/chat/completions" + rest,
                                        "post /v1/chat/completions" + rest,
                                        "PUT /completion" + rest,
                                        " POST /completion" + rest,
                                        "POST /completion",  // too short to be a request
                                        std::string(200, '\0')};
  traced.run([&] { serve(others); }, Treatment::sampled);
  ASSERT_EQ(traced.status(), 0);
  EXPECT_TRUE(unnoticed(traced));
  EXPECT_TRUE(nothing_captured(traced));

  traced.forget();
  traced.run([] { send_all(tcp_pair().client, inference); }, Treatment::sampled);
  EXPECT_EQ(count(traced, Kind::received_inference), 0u) << "who sends one is no server";

  traced.forget();
  traced.run([] { serve({inference}); }, Treatment::ignored);
  EXPECT_TRUE(unnoticed(traced)) << "ignored is invisible, whatever it serves";
  EXPECT_TRUE(nothing_captured(traced));

  traced.forget();
  traced.run([&] { serve({"POST /completion" + rest}); }, Treatment::sampled);
  EXPECT_EQ(count(traced, Kind::received_inference), 1u) << "each of the paths counts";
}

TEST(DiscoveryBpf, WhoAcceptsIsNoticedOnceAndSampled) {
  TracedProcess traced(sampling());
  traced.run(
      [] {
        serve({std::string(64, 'x')});
        serve({std::string(64, 'x'), inference});
      },
      Treatment::unknown);
  ASSERT_EQ(traced.status(), 0);
  EXPECT_EQ(count(traced, Kind::accepts_connections), 1u);
  EXPECT_EQ(count(traced, Kind::received_inference), 1u);
  ASSERT_EQ(captured(traced, Direction::received).size(), 1u);
  EXPECT_EQ(captured(traced, Direction::received)[0]->head, inference);

  traced.forget();
  traced.run([] { serve({inference}); }, Treatment::ignored);
  EXPECT_EQ(count(traced, Kind::accepts_connections), 0u);

  traced.forget();
  traced.run([] { send_all(socket(AF_INET, SOCK_STREAM, 0) < 0 ? 0 : 1, ""); }, Treatment::unknown);
  EXPECT_EQ(count(traced, Kind::accepts_connections), 0u) << "who accepts nothing is nobody";
}

TEST(DiscoveryBpf, NothingIsSampledUnlessItIsAskedFor) {
  TracedProcess traced;
  traced.run([] { serve({inference}); }, Treatment::unknown);
  EXPECT_TRUE(nothing_captured(traced));
  EXPECT_EQ(count(traced, Kind::accepts_connections), 0u);
}

TEST(DiscoveryBpf, SampleBudgetEnds) {
  auto options = sampling();
  options.sample_reads = 3;
  TracedProcess traced(options);
  const std::string other(64, 'x');
  traced.run([&] { serve({other, other, inference}); }, Treatment::sampled);
  EXPECT_EQ(count(traced, Kind::received_inference), 1u) << "the third read is still looked at";
  traced.forget();
  traced.run([&] { serve({other, other, other, inference}); }, Treatment::sampled);
  EXPECT_EQ(count(traced, Kind::received_inference), 0u);
}

}  // namespace
}  // namespace inferscope::test
