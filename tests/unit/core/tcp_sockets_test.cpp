// SPDX-License-Identifier: Apache-2.0
#include "core/tcp_sockets.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "tests/support/sockets.h"
#include "tests/support/temp_folder.h"

namespace inferscope::proc {
namespace {

std::uint64_t inode_of(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

std::optional<TcpSocket> find(const std::vector<TcpSocket>& listeners, int fd) {
  const auto found =
      std::find_if(listeners.begin(), listeners.end(), [&](const TcpSocket& one) { return one.inode == inode_of(fd); });
  return found == listeners.end() ? std::nullopt : std::optional(*found);
}

TEST(TcpSockets, AreThoseOfThisHostWithTheConnectionsThatWait) {
  std::uint16_t port4 = 0, port6 = 0;
  const Fd four(test::listen_tcp(AF_INET, &port4));
  const Fd six(test::listen_tcp(AF_INET6, &port6));
  ASSERT_TRUE(four && six);
  const Fd first(test::connect_tcp(AF_INET, port4)), second(test::connect_tcp(AF_INET, port4));
  ASSERT_TRUE(first && second);
  TcpSockets tcp("/proc/self");
  auto listeners = tcp.read(TcpRole::listener);
  EXPECT_EQ(find(listeners, four.get()), (TcpSocket{inode_of(four.get()), port4, 2}));
  EXPECT_EQ(find(listeners, six.get()), (TcpSocket{inode_of(six.get()), port6, 0}));
  EXPECT_FALSE(find(listeners, first.get())) << "a connection is no listener";
  const Fd accepted(accept(four.get(), nullptr, nullptr));
  listeners = tcp.read(TcpRole::listener);
  EXPECT_EQ(find(listeners, four.get())->waiting, 1u);

  test::send_all(first.get(), "12345");
  const auto connections = tcp.read(TcpRole::connection);
  EXPECT_EQ(find(connections, accepted.get()), (TcpSocket{inode_of(accepted.get()), port4, 5}));
  EXPECT_EQ(find(connections, first.get())->waiting, 0u);
  EXPECT_FALSE(find(connections, four.get()));
}

TEST(TcpSockets, AreReadFromTheTableWhereTheNamespaceCannotBeEntered) {
  const test::TempFolder folder;
  const std::string head = "head\n";
  folder.write("net/tcp", head +
                              "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000 0 0 55 1\n" +
                              "   1: 0100007F:1F90 0100007F:0001 01 00000000:00000003 00:00000000 00000000 0 0 56 1\n");
  folder.write("net/tcp6", head +
                               "   0: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 "
                               "0A 00000000:00000000 00:00000000 00000000 0 0 57 1\n");
  TcpSockets tcp(folder.path());
  EXPECT_EQ(tcp.read(TcpRole::listener), (std::vector<TcpSocket>{{55, 8080, 3}, {57, 9000, 0}}));
  EXPECT_EQ(tcp.read(TcpRole::connection), (std::vector<TcpSocket>{{56, 8080, 3}}));
}

TEST(TcpTable, AnyTextIsBorne) {
  for (const char* bad : {"", "head", "head\n0A", "head\n0: x y 0A z 0 0 0 0 1", "head\n0: a:zz b:1 0A 0:0 0 0 0 0 7"})
    EXPECT_TRUE(parse_tcp_table(bad, TcpRole::listener).empty()) << bad;
}

}  // namespace
}  // namespace inferscope::proc
