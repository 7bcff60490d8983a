// SPDX-License-Identifier: Apache-2.0
// A server that streams numbered SSE events at a given rate over several connections, and its client, in two processes.
// Prints one line of JSON: events sent and received, events a second, and the gaps between events as the client saw
// them. The server's process is named sse_blaster, so that an agent can be told to watch it.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/bench/statistics.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int connections = 16;
  double rate = 20000;  ///< events a second in all; 0: as fast as it goes
  double seconds = 5;
  double hold = 0;  ///< seconds to keep the streams open, silent, before the end
};

void require(bool condition, const char* what) {
  if (condition) return;
  fmt::print(stderr, "sse_blaster: {}: {}\n", what, strerror(errno));
  std::_Exit(1);
}

void send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    require(sent > 0, "send");
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string chunk_of(std::uint64_t number) {
  const std::string event = fmt::format(
      "data: {{\"choices\":[{{\"finish_reason\":null,\"index\":0,\"delta\":{{\"content\":\" "
      "w{:08}\"}}}}],\"created\":1761000000,"
      "\"id\":\"chatcmpl-QBW30itbhqAKesb4BPNLW9xVSNM7HCmX\",\"model\":\"blaster\",\"system_fingerprint\":\"b0\","
      "\"object\":\"chat.completion.chunk\"}}\n\n",
      number);
  return fmt::format("{:x}\r\n{}\r\n", event.size(), event);
}

/// One thread serves several connections in turn, each of which gets its share of the rate.
std::uint64_t serve(const std::vector<int>& fds, const Options& options, double rate) {
  for (const int fd : fds) {
    char request[4096];
    require(recv(fd, request, sizeof(request), 0) > 0, "request");
    send_all(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  }
  std::uint64_t sent = 0;
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.seconds));
  while (Clock::now() < end) {
    for (const int fd : fds) {
      if (rate > 0) {
        const auto due = begin + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(static_cast<double>(sent) / rate));
        std::this_thread::sleep_until(due);
      }
      send_all(fd, chunk_of(sent++));
    }
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(options.hold));
  for (const int fd : fds) {
    send_all(fd, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    close(fd);
  }
  return sent;
}

int listen_on_loopback(sockaddr_in& address) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  socklen_t size = sizeof(address);
  require(fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(fd, 4096) == 0, "listen");
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return fd;
}

std::uint64_t run_server(int listener, const Options& options) {
  constexpr int threads = 2;
  std::vector<int> fds[threads];
  for (int i = 0; i < options.connections; ++i) {
    const int fd = accept(listener, nullptr, nullptr);
    require(fd >= 0, "accept");
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fds[i % threads].push_back(fd);
  }
  std::atomic<std::uint64_t> sent = 0;
  std::vector<std::thread> workers;
  for (auto& share : fds)
    if (!share.empty())
      workers.emplace_back([&] {
        sent += serve(share, options, options.rate * static_cast<double>(share.size()) / options.connections);
      });
  for (auto& worker : workers) worker.join();
  return sent;
}

/// Reads all streams in one thread and notes when each event came.
struct Client {
  std::vector<double> gaps_us{};
  std::uint64_t events = 0;

  void run(const sockaddr_in& address, const Options& options) {
    std::vector<std::thread> readers;
    std::vector<Client> parts(static_cast<std::size_t>(options.connections));
    for (auto& part : parts) readers.emplace_back([&part, &address] { part.read_one(address); });
    for (auto& reader : readers) reader.join();
    for (auto& part : parts) {
      events += part.events;
      gaps_us.insert(gaps_us.end(), part.gaps_us.begin(), part.gaps_us.end());
    }
  }

  void read_one(const sockaddr_in& address) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    require(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0, "connect");
    send_all(fd,
             "POST /v1/chat/completions HTTP/1.1\r\nHost: blaster\r\nContent-Type: application/json\r\n"
             "Content-Length: 46\r\n\r\n{\"model\":\"blaster\",\"stream\":true,\"messages\":[]}");
    char buffer[65536];
    Clock::time_point last{};
    for (;;) {
      const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
      if (got <= 0) break;
      const auto now = Clock::now();
      std::uint64_t count = 0;
      for (std::string_view rest(buffer, static_cast<std::size_t>(got));;) {
        const auto at = rest.find("\"content\":");
        if (at == std::string_view::npos) break;
        ++count;
        rest.remove_prefix(at + 10);
      }
      if (count > 0 && last != Clock::time_point{})
        gaps_us.push_back(std::chrono::duration<double, std::micro>(now - last).count());
      if (count > 0) last = now;
      events += count;
    }
    close(fd);
  }
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view key = argv[i];
    const double value = std::atof(argv[i + 1]);
    if (key == "--connections") options.connections = static_cast<int>(value);
    if (key == "--rate") options.rate = value;
    if (key == "--seconds") options.seconds = value;
    if (key == "--hold") options.hold = value;
  }
  const rlimit descriptors{.rlim_cur = 16384, .rlim_max = 16384};
  setrlimit(RLIMIT_NOFILE, &descriptors);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  const int listener = listen_on_loopback(address);
  const pid_t child = fork();  // the child is the client: nobody watches it
  if (child == 0) {
    close(listener);
    Client client;
    client.run(address, options);
    const double p50 = inferscope::bench::quantile(client.gaps_us, 0.5);
    const double p99 = inferscope::bench::quantile(client.gaps_us, 0.99);
    fmt::print("{{\"received\":{},\"gap_p50_us\":{:.1f},\"gap_p99_us\":{:.1f}}}\n", client.events, p50, p99);
    std::fflush(stdout);
    std::_Exit(0);
  }
  const auto begin = Clock::now();
  const std::uint64_t sent = run_server(listener, options);
  const std::chrono::duration<double> took = Clock::now() - begin;
  int status = 0;
  waitpid(child, &status, 0);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds_of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  fmt::print("{{\"sent\":{},\"seconds\":{:.3f},\"events_per_second\":{:.0f},\"server_cpu_us_per_event\":{:.3f}}}\n",
             sent, took.count(), static_cast<double>(sent) / took.count(),
             (seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime)) * 1e6 / static_cast<double>(sent));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
