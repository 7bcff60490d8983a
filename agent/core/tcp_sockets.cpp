// SPDX-License-Identifier: Apache-2.0
#include "core/tcp_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "core/parse_number.h"
#include "core/proc_stat.h"

namespace inferscope::proc {
namespace {

constexpr std::size_t table_limit = 16u << 20;
constexpr std::size_t answer_limit = 32u << 10;  // what the kernel puts into one message at most

std::uint32_t states_of(TcpRole role) {
  return role == TcpRole::listener ? 1u << TCP_LISTEN : 1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT;
}

Fd diag_socket() {
  return Fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
}

/// A netlink socket belongs to the namespace of the thread that makes it. A thread of its own goes there, so that no
/// other ever has to find its way back.
Fd diag_socket_of(const std::filesystem::path& folder) {
  const Fd there(open((folder / "ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  struct stat wanted {
  }, own{};
  if (!there || fstat(there.get(), &wanted) != 0 || stat("/proc/self/ns/net", &own) != 0) return {};
  if (wanted.st_ino == own.st_ino && wanted.st_dev == own.st_dev) return diag_socket();
  Fd made;
  std::thread([&] {
    if (setns(there.get(), CLONE_NEWNET) == 0) made = diag_socket();
  }).join();
  return made;
}

bool ask(int diag, int family, std::uint32_t states) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 body;
  } request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = static_cast<std::uint8_t>(family);
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = states;
  return send(diag, &request, sizeof(request), 0) == static_cast<ssize_t>(sizeof(request));
}

/// The kernel answers while it takes the question, so there is never anything to wait for.
bool take_answers(int diag, std::vector<TcpSocket>& sockets) {
  alignas(nlmsghdr) static thread_local std::array<char, answer_limit> buffer;
  while (true) {
    const ssize_t size = recv(diag, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size <= 0) return false;
    std::span<const char> rest(buffer.data(), static_cast<std::size_t>(size));
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr header;
      std::memcpy(&header, rest.data(), sizeof(header));
      if (header.nlmsg_type == NLMSG_DONE) return true;
      if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_len < sizeof(header) || header.nlmsg_len > rest.size())
        return false;
      if (inet_diag_msg socket; header.nlmsg_len >= NLMSG_LENGTH(sizeof(socket))) {
        std::memcpy(&socket, rest.data() + NLMSG_HDRLEN, sizeof(socket));
        sockets.push_back({socket.idiag_inode, ntohs(socket.id.idiag_sport), socket.idiag_rqueue});
      }
      rest = rest.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), rest.size()));
    }
  }
}

template <class Number>
std::optional<Number> parse_after_colon(std::string_view text) {
  const auto colon = text.rfind(':');
  return colon == std::string_view::npos ? std::nullopt : parse_number<Number>(text.substr(colon + 1), 16);
}

}  // namespace

std::vector<TcpSocket> parse_tcp_table(std::string_view text, TcpRole role) {
  std::vector<TcpSocket> sockets;
  std::istringstream lines{std::string(text)};
  std::string line;
  std::getline(lines, line);  // the heading
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
    const auto number_of_state = parse_number<unsigned>(state, 16);
    if (!number_of_state || *number_of_state >= 32 || (states_of(role) & 1u << *number_of_state) == 0) continue;
    const auto port = parse_after_colon<std::uint16_t>(local);
    const auto number = parse_number<std::uint64_t>(inode);
    if (port && number) sockets.push_back({*number, *port, parse_after_colon<std::uint32_t>(queues).value_or(0)});
  }
  return sockets;
}

TcpSockets::TcpSockets(std::filesystem::path folder) : folder_(std::move(folder)), diag_(diag_socket_of(folder_)) {}

std::vector<TcpSocket> TcpSockets::read(TcpRole role) {
  std::vector<TcpSocket> sockets;
  if (diag_) {
    bool complete = true;
    for (const int family : {AF_INET, AF_INET6})
      complete = complete && ask(diag_.get(), family, states_of(role)) && take_answers(diag_.get(), sockets);
    if (complete) return sockets;
    sockets.clear();
    diag_.reset();  // it may still hold answers to this question
  }
  for (const char* table : {"net/tcp", "net/tcp6"})
    for (const TcpSocket& one : parse_tcp_table(read_text(folder_ / table, table_limit), role)) sockets.push_back(one);
  return sockets;
}

}  // namespace inferscope::proc
