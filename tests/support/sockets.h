// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace inferscope::test {

/// For code in a traced child: ends it with a code that tells the line, since it has no test to fail.
#define REQUIRE_OR_EXIT(condition) \
  do {                             \
    if (!(condition)) _exit(100);  \
  } while (false)

struct SocketPair {
  int client = -1;
  int server = -1;
  int listener = -1;
};

/// A listening TCP socket on a free loopback port.
inline int listen_tcp(int family, std::uint16_t* port) {
  const int fd = socket(family, SOCK_STREAM, 0);
  sockaddr_storage address{};
  socklen_t size = 0;
  if (family == AF_INET) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size = sizeof(*v4);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
    v6->sin6_family = AF_INET6;
    v6->sin6_addr = in6addr_loopback;
    size = sizeof(*v6);
  }
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, 64) != 0) return -1;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return -1;
  *port = ntohs(family == AF_INET ? reinterpret_cast<sockaddr_in*>(&address)->sin_port
                                  : reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return fd;
}

inline int connect_tcp(int family, std::uint16_t port) {
  const int fd = socket(family, SOCK_STREAM, 0);
  if (family == AF_INET) {
    sockaddr_in address{
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return -1;
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return -1;
  }
  return fd;
}

/// Both ends of a TCP connection over loopback, in this process.
inline SocketPair tcp_pair(int family = AF_INET) {
  SocketPair pair;
  std::uint16_t port = 0;
  pair.listener = listen_tcp(family, &port);
  REQUIRE_OR_EXIT(pair.listener >= 0);
  pair.client = connect_tcp(family, port);
  REQUIRE_OR_EXIT(pair.client >= 0);
  pair.server = accept4(pair.listener, nullptr, nullptr, SOCK_CLOEXEC);
  REQUIRE_OR_EXIT(pair.server >= 0);
  return pair;
}

inline void send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(fd, text.data(), text.size(), 0);
    REQUIRE_OR_EXIT(sent > 0);
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

inline void receive_exactly(int fd, std::size_t size) {
  std::string buffer(65536, '\0');
  while (size > 0) {
    const ssize_t got = recv(fd, buffer.data(), std::min(size, buffer.size()), 0);
    REQUIRE_OR_EXIT(got > 0);
    size -= static_cast<std::size_t>(got);
  }
}

}  // namespace inferscope::test
