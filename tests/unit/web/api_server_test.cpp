// SPDX-License-Identifier: Apache-2.0
#include "web/api_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "core/fd.h"
#include "tests/support/temp_folder.h"

#ifdef __SANITIZE_THREAD__
// Clients and server are one process here, so one's closed descriptor is the other's next. That libevent, which is not
// compiled for the sanitizer, tells epoll of a descriptor looks like a race with whoever had it before.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:epoll_apply_one_change\n";
}
#endif

namespace inferscope::web {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// One connection to the socket, with a time limit on what it waits for.
class Client {
 public:
  Client(const std::string& path, const std::string& request) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    connected_ = connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    if (connected_) (void)!send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL);
  }

  [[nodiscard]] bool connected() const { return connected_; }
  /// Up to the end of the answer.
  std::string all() {
    while (more()) {
    }
    return text_;
  }
  /// Until the answer so far holds `part`.
  bool until(std::string_view part) {
    while (text_.find(part) == std::string::npos)
      if (!more()) return false;
    return true;
  }
  void leave() { fd_.reset(); }

 private:
  bool more() {
    char buffer[65536];
    const ssize_t got = recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (got > 0) text_.append(buffer, static_cast<std::size_t>(got));
    return got > 0;
  }

  Fd fd_;
  bool connected_ = false;
  std::string text_{};
};

std::string get(const std::string& path) {
  return "GET " + path + " HTTP/1.0\r\n\r\n";
}

bool wait_until(const std::function<bool()>& condition) {
  for (int i = 0; i < 5000; ++i, std::this_thread::sleep_for(milliseconds(2)))
    if (condition()) return true;
  return false;
}

class Api : public testing::Test {
 protected:
  test::TempFolder folder{};
  std::string path = folder.file("api.sock");
  std::atomic<std::uint64_t> available = 0;  ///< lines that the feed has
  std::atomic<std::uint64_t> asked = 0;
  ApiServer server{};

  void SetUp() override {
    server.handle("/v1/echo", [](const ApiRequest& request) {
      return ApiReply{.body = request.path + " " + request.get("a", "none") + "\n"};
    });
    server.handle("/v1/lines", [](const ApiRequest&) {
      return ApiReply{.status = 503, .content_type = "text/plain", .body = "busy\n"};
    });
    server.feed("/v1/lines", [this](const ApiRequest& request, std::uint64_t& cursor) {
      ++asked;
      std::string text;
      for (; cursor < available; ++cursor) text += request.get("prefix") + std::to_string(cursor + 1) + "\n";
      return text;
    });
  }
  void start() {
    const auto status = server.start(path);
    ASSERT_TRUE(status) << status.error().text();
  }
};

TEST_F(Api, HandlerAnswers) {
  start();
  const std::string answer = Client(path, get("/v1/echo?a=x%20y&b=2")).all();
  EXPECT_TRUE(answer.starts_with("HTTP/1.")) << answer;
  EXPECT_NE(answer.find(" 200 "), std::string::npos);
  EXPECT_NE(answer.find("Content-Type: application/json\r\n"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\n/v1/echo x y\n")) << answer;
  EXPECT_TRUE(Client(path, get("/v1/echo")).all().ends_with("/v1/echo none\n"));
}

TEST_F(Api, UnknownPathsAndMethods) {
  start();
  const std::string unknown = Client(path, get("/v2/echo")).all();
  EXPECT_NE(unknown.find(" 404 "), std::string::npos) << unknown;
  EXPECT_NE(unknown.find("no such path"), std::string::npos);
  const std::string post = Client(path, "POST /v1/echo HTTP/1.0\r\nContent-Length: 0\r\n\r\n").all();
  EXPECT_EQ(post.find(" 200 "), std::string::npos) << post;
  EXPECT_NE(Client(path, get("/v1/lines")).all().find(" 503 "), std::string::npos) << "not followed: its handler";
}

TEST_F(Api, GarbageIsNoHarm) {
  start();
  for (const std::string& request :
       {std::string("\x16\x03\x01\x02\r\n\r\n"), std::string("GET\r\n\r\n"), std::string(100'000, 'x'),
        std::string("GET %zz?%=& HTTP/1.0\r\n\r\n"), std::string("\r\n\r\n")}) {
    Client client(path, request);
    EXPECT_TRUE(client.connected());
    client.leave();
  }
  EXPECT_NE(Client(path, get("/v1/echo")).all().find(" 200 "), std::string::npos);
}

TEST_F(Api, FollowerGetsWhatComes) {
  start();
  available = 2;
  Client follower(path, get("/v1/lines?follow=1&prefix=n"));
  ASSERT_TRUE(follower.until("n2\n"));
  available = 3;
  ASSERT_TRUE(follower.until("n3\n"));
  Client second(path, get("/v1/lines?follow=1&prefix=m"));
  ASSERT_TRUE(second.until("m1\nm2\nm3\n")) << "each has its own cursor";
}

TEST_F(Api, FollowerThatGoesAwayIsForgotten) {
  start();
  available = 1;
  for (int i = 0; i < 20; ++i) {
    Client follower(path, get("/v1/lines?follow=1&prefix=n"));
    ASSERT_TRUE(follower.until("n1\n"));
    follower.leave();
  }
  EXPECT_TRUE(wait_until([this] {
    const std::uint64_t before = asked;
    std::this_thread::sleep_for(milliseconds(250));  // two intervals of the feed
    return asked == before;
  })) << "nobody follows, so nobody asks the feed";
  EXPECT_NE(Client(path, get("/v1/echo")).all().find(" 200 "), std::string::npos);
}

TEST_F(Api, FollowerThatDoesNotReadIsLetGo) {
  std::atomic<std::uint64_t> handed = 0;
  server.feed("/v1/flood", [&handed](const ApiRequest&, std::uint64_t&) {
    handed += 1 << 20;
    return std::string((1 << 20) - 1, 'x') + "\n";
  });
  start();
  Client slow(path, get("/v1/flood?follow=1"));
  EXPECT_TRUE(wait_until([&] {
    const std::uint64_t before = handed;
    std::this_thread::sleep_for(milliseconds(250));
    return before > 0 && handed == before;
  })) << "the feed is asked no more";
  EXPECT_LT(handed, 16u << 20) << "what waits for it is bounded";
  EXPECT_NE(Client(path, get("/v1/echo")).all().find(" 200 "), std::string::npos) << "others are served";
}

TEST_F(Api, ManyClientsAtOnce) {
  start();
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i)
        if (Client(path, get("/v1/echo?a=" + std::to_string(i))).all().ends_with(" " + std::to_string(i) + "\n"))
          ++good;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 200);
}

TEST_F(Api, SocketIsItsOwnersOnly) {
  start();
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  const mode_t mask = umask(022);
  umask(mask);
  EXPECT_NE(mask, 0177u) << "the process's mask is as it was";
}

TEST_F(Api, MakesItsFolder) {
  path = folder.file("made/for/it/api.sock");
  start();
  EXPECT_TRUE(Client(path, get("/v1/echo")).connected());
}

TEST_F(Api, SecondServerOnTheSamePathIsRefused) {
  start();
  ApiServer second;
  const auto status = second.start(path);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().cause.find("already serves"), std::string::npos);
  second.stop();
  EXPECT_NE(Client(path, get("/v1/echo")).all().find(" 200 "), std::string::npos) << "the first goes on";
}

TEST_F(Api, SocketThatNobodyServesIsReplaced) {
  {
    const Fd dead(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(path));
  start();
  EXPECT_TRUE(Client(path, get("/v1/echo")).connected());
}

TEST_F(Api, FileThatIsNoSocketIsKept) {
  folder.write("api.sock", "precious");
  const auto status = server.start(path);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, Error::Kind::usage);
  EXPECT_EQ(test::read_file(path), "precious");
}

TEST_F(Api, ImpossiblePaths) {
  for (const std::string& impossible : {std::string(), std::string(200, 'p'), std::string("/proc/nowhere/api.sock")}) {
    ApiServer one;
    EXPECT_FALSE(one.start(impossible)) << impossible;
  }
}

TEST_F(Api, StopsWhileFollowersAreConnected) {
  start();
  available = 1;
  std::vector<std::unique_ptr<Client>> followers;
  for (int i = 0; i < 5; ++i) {
    followers.push_back(std::make_unique<Client>(path, get("/v1/lines?follow=1")));
    ASSERT_TRUE(followers.back()->until("1\n"));
  }
  server.stop();
  EXPECT_FALSE(std::filesystem::exists(path)) << "nothing is left behind";
  for (auto& follower : followers) EXPECT_FALSE(follower->until("never")) << "each answer ends";
  server.stop();  // again is no harm
}

TEST_F(Api, StartsAgainAfterItStopped) {
  start();
  server.stop();
  start();
  EXPECT_NE(Client(path, get("/v1/echo")).all().find(" 200 "), std::string::npos);
}

}  // namespace
}  // namespace inferscope::web
