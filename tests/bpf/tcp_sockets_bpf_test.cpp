// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/fd.h"
#include "core/tcp_sockets.h"
#include "tests/support/child_process.h"
#include "tests/support/sockets.h"

namespace inferscope::test {
namespace {

std::string link_of(const char* name) {
  char target[64] = {};
  return readlink(name, target, sizeof(target) - 1) > 0 ? target : "";
}

TEST(TcpSocketsBpf, OfAProcessInAnotherNetworkNamespace) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd from_child(ends[0]), to_parent(ends[1]);
  const ChildProcess child([&] {
    REQUIRE_OR_EXIT(unshare(CLONE_NEWNET) == 0);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);  // loopback is down there: on any address
    struct stat status {};
    REQUIRE_OR_EXIT(listen(listener, 8) == 0 && fstat(listener, &status) == 0);
    REQUIRE_OR_EXIT(write(to_parent.get(), &status.st_ino, sizeof(status.st_ino)) == sizeof(status.st_ino));
    for (;;) pause();
  });
  ino_t inode = 0;
  ASSERT_EQ(read(from_child.get(), &inode, sizeof(inode)), static_cast<ssize_t>(sizeof(inode)));
  const std::string own = link_of("/proc/thread-self/ns/net");
  const auto has_it = [&](const std::string& process) {
    const auto listeners = proc::TcpSockets(process).read(proc::TcpRole::listener);
    return std::any_of(listeners.begin(), listeners.end(), [&](const auto& one) { return one.inode == inode; });
  };
  EXPECT_TRUE(has_it("/proc/" + std::to_string(child.pid())));
  EXPECT_FALSE(has_it("/proc/self"));
  EXPECT_EQ(link_of("/proc/thread-self/ns/net"), own) << "and this thread stays where it is";
}

}  // namespace
}  // namespace inferscope::test
