// SPDX-License-Identifier: Apache-2.0
#include "cli/api_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <thread>
#include <vector>

#include "core/fd.h"
#include "tests/support/temp_folder.h"

namespace inferscope::cli {
namespace {

/// Answers one connection on a unix socket with the given bytes.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer) : listener_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof(address.sun_path) - 1);
    if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        listen(listener_.get(), 1) != 0)
      throw std::runtime_error("no socket");
    thread_ = std::thread([this, answer = std::move(answer)] {
      const Fd fd(accept(listener_.get(), nullptr, nullptr));
      char buffer[4096];
      const ssize_t got = recv(fd.get(), buffer, sizeof(buffer), 0);
      if (got > 0) request_.assign(buffer, static_cast<std::size_t>(got));
      for (const char byte : answer)  // byte by byte: lines and head come in pieces
        if (send(fd.get(), &byte, 1, MSG_NOSIGNAL) != 1) return;
    });
  }
  ~OneAnswer() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] std::string path() const { return folder_.file("s"); }
  [[nodiscard]] const std::string& request() const { return request_; }

 private:
  test::TempFolder folder_{};
  Fd listener_;
  std::string request_{};
  std::thread thread_{};
};

struct Asked {
  Status status = success();
  std::vector<std::string> lines{};
};

Asked ask(const std::string& path, std::size_t most = 1000) {
  Asked asked;
  asked.status = ask_agent(path, "/v1/traces?last=2", [&](std::string_view line) {
    asked.lines.emplace_back(line);
    return asked.lines.size() < most;
  });
  return asked;
}

TEST(ApiClient, GivesEachLine) {
  OneAnswer server("HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\n{\"a\":1}\n\n{\"b\":2}\n");
  const Asked asked = ask(server.path());
  EXPECT_TRUE(asked.status);
  EXPECT_EQ(asked.lines, (std::vector<std::string>{"{\"a\":1}", "", "{\"b\":2}"}));
  server.join();
  EXPECT_EQ(server.request(), "GET /v1/traces?last=2 HTTP/1.0\r\n\r\n");
}

TEST(ApiClient, StopsWhenTheReaderHasEnough) {
  OneAnswer server("HTTP/1.0 200 OK\r\n\r\n1\n2\n3\n");
  const Asked asked = ask(server.path(), 2);
  EXPECT_TRUE(asked.status);
  EXPECT_EQ(asked.lines.size(), 2u);
}

TEST(ApiClient, RefusalIsTold) {
  OneAnswer server("HTTP/1.0 404 Not Found\r\n\r\n{\"error\":\"no such path\"}\n");
  const Asked asked = ask(server.path());
  ASSERT_FALSE(asked.status);
  EXPECT_NE(asked.status.error().cause.find("404"), std::string::npos);
  EXPECT_TRUE(asked.lines.empty());
}

TEST(ApiClient, StatusIsReadFromItsPlace) {
  OneAnswer server("HTTP/1.0 500 said 200 times\r\n\r\n");
  EXPECT_FALSE(ask(server.path()).status);
}

TEST(ApiClient, AnswerThatIsNoneIsAnError) {
  for (const char* bytes : {"", "HTTP/1.0 200 OK\r\n", "SSH-2.0\r\n"}) {
    OneAnswer server(bytes);
    const Asked asked = ask(server.path());
    EXPECT_FALSE(asked.status) << bytes;
    EXPECT_TRUE(asked.lines.empty());
  }
}

TEST(ApiClient, NobodyListens) {
  const test::TempFolder folder;
  const Asked asked = ask(folder.file("nothing"));
  ASSERT_FALSE(asked.status);
  EXPECT_EQ(asked.status.error().kind, Error::Kind::failed);
  EXPECT_NE(asked.status.error().cause.find(folder.file("nothing")), std::string::npos);
  EXPECT_NE(asked.status.error().remedy.find("inferscope run"), std::string::npos);
}

TEST(ApiClient, PathTooLongForASocket) {
  const Asked asked = ask("/" + std::string(200, 'x'));
  ASSERT_FALSE(asked.status);
  EXPECT_EQ(asked.status.error().kind, Error::Kind::usage);
}

}  // namespace
}  // namespace inferscope::cli
