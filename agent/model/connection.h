// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace inferscope {

using Pid = std::int32_t;  ///< thread group id in the agent's pid namespace
using Tid = std::int32_t;

/// Names one socket of one watched host for the time that the agent runs (or for one recording). Never reused.
using ConnectionId = std::uint64_t;

enum class Direction : std::uint8_t { received, sent };  ///< seen from the watched process
enum class Role : std::uint8_t { unknown, client, server };
enum class Family : std::uint8_t { unknown, ipv4, ipv6, unix_stream };

constexpr Direction opposite(Direction d) {
  return d == Direction::received ? Direction::sent : Direction::received;
}
constexpr int index_of(Direction d) {
  return d == Direction::received ? 0 : 1;
}

struct Endpoint {
  Family family = Family::unknown;
  std::string address{};   ///< numeric address; for a unix socket its path, "@name" if abstract, empty if unnamed
  std::uint16_t port = 0;  ///< host byte order; 0 for unix sockets

  bool operator==(const Endpoint&) const = default;
};

/// An IPv4 address mapped into IPv6 (::ffff:127.0.0.1) as the IPv4 address that it is; any other one as it is.
constexpr std::string_view plain_address(std::string_view address) {
  constexpr std::string_view mapped = "::ffff:";
  if (address.starts_with(mapped) && address.find('.') != std::string_view::npos) address.remove_prefix(mapped.size());
  return address;
}

struct Connection {
  ConnectionId id = 0;
  Pid pid = 0;
  int fd = -1;
  Role role = Role::unknown;
  Endpoint local{};
  Endpoint remote{};
  std::uint64_t socket_inode = 0;
  std::uint64_t peer_inode = 0;  ///< unix sockets: the other end's inode when it is on this host; else 0
  bool mid_stream = false;       ///< was open before the agent saw it: position 0 is not the stream's first byte
};

}  // namespace inferscope
