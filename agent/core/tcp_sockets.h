// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/fd.h"

namespace inferscope::proc {

enum class TcpRole : std::uint8_t { listener, connection };

struct TcpSocket {
  std::uint64_t inode = 0;    ///< as in the link /proc/PID/fd/N
  std::uint16_t port = 0;     ///< local
  std::uint32_t waiting = 0;  ///< listener: connections not accepted yet; connection: bytes received, but not read yet

  bool operator==(const TcpSocket&) const = default;
};

/// Those of a role among the lines of /proc/PID/net/tcp or tcp6.
std::vector<TcpSocket> parse_tcp_table(std::string_view text, TcpRole role);

/// The TCP sockets, IPv4 and IPv6, of one network namespace. Asks the kernel by sock_diag(7): of listeners it has a
/// table of their own, while for /proc/PID/net/tcp it walks that of connections, too, which takes milliseconds even
/// when it is empty. That file is read where sock_diag cannot be had: a namespace that may not be entered, a kernel
/// without tcp_diag.
class TcpSockets {
 public:
  /// Of the process's namespace, which stays in existence as long as this does. `folder`: /proc/PID.
  explicit TcpSockets(std::filesystem::path folder);

  /// Connections: those that can still be read.
  std::vector<TcpSocket> read(TcpRole role);

 private:
  std::filesystem::path folder_;
  Fd diag_;
};

}  // namespace inferscope::proc
