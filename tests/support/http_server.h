// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sockets.h"

namespace inferscope::test {

/// A tiny HTTP server on a free port of the loopback. Takes one request a connection; what it answers is told in
/// advance, the last answer again and again.
class HttpServer {
 public:
  struct Answer {
    std::string bytes{};         ///< as they go over the wire
    bool and_then_wait = false;  ///< keeps the connection open until the client goes
    std::chrono::milliseconds after{0};
  };

  explicit HttpServer(std::deque<Answer> answers) : answers_(std::move(answers)) {
    listener_ = listen_tcp(AF_INET, &port_);
    thread_ = std::thread([this] { serve(); });
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  static Answer answer(int status, const std::string& body = {}, const std::string& headers = {}) {
    return {.bytes = fmt::format("HTTP/1.1 {} Some Reason\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(),
                                 headers, body)};
  }

  [[nodiscard]] std::string url(const std::string& path = "/v1/traces") const {
    return fmt::format("http://127.0.0.1:{}{}", port_, path);
  }
  /// The requests so far, whole.
  [[nodiscard]] std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  bool wait_for_requests(std::size_t count) const {
    std::unique_lock lock(mutex_);
    return arrived_.wait_for(lock, std::chrono::seconds(20), [&] { return requests_.size() >= count; });
  }

  /// Head and body of a request.
  static std::string body_of(const std::string& request) { return request.substr(request.find("\r\n\r\n") + 4); }

 private:
  void serve() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const timeval patience{.tv_sec = 30, .tv_usec = 0};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
      one(fd);
      close(fd);
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
  }

  void one(int fd) {
    std::string request;
    if (!read_request(fd, request)) return;
    Answer answer;
    {
      const std::lock_guard lock(mutex_);
      answer = answers_.front();
      if (answers_.size() > 1) answers_.pop_front();
      requests_.push_back(std::move(request));
    }
    arrived_.notify_all();
    std::this_thread::sleep_for(answer.after);
    std::string_view rest = answer.bytes;
    while (!rest.empty()) {
      const ssize_t sent = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    char byte = 0;
    if (answer.and_then_wait) (void)!recv(fd, &byte, 1, 0);
  }

  static bool read_request(int fd, std::string& request) {
    std::size_t wanted = std::string::npos;
    char buffer[65536];
    while (request.size() < wanted) {
      const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
      if (got <= 0) return false;
      request.append(buffer, static_cast<std::size_t>(got));
      const auto head = request.find("\r\n\r\n");
      if (wanted != std::string::npos || head == std::string::npos) continue;
      const auto length = request.find("Content-Length: ");
      wanted = head + 4 + (length < head ? std::stoul(request.substr(length + 16)) : 0);
    }
    return true;
  }

  mutable std::mutex mutex_{};
  mutable std::condition_variable arrived_{};
  std::deque<Answer> answers_;
  std::vector<std::string> requests_{};
  bool stopping_ = false;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::thread thread_{};
};

/// A port of the loopback on which nobody listens.
inline std::uint16_t closed_port() {
  std::uint16_t port = 0;
  close(listen_tcp(AF_INET, &port));
  return port;
}

}  // namespace inferscope::test
