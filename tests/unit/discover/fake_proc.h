// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "discover/process_info.h"
#include "tests/support/temp_folder.h"

namespace inferscope::test {

struct FakeProcess {
  Pid pid = 0;
  Pid parent = 1;
  std::string name = "server";
  std::string executable = "/usr/bin/server";
  std::vector<std::string> command_line{"server"};
  std::uint64_t start_ticks = 1000;
  std::uint32_t uid = 0;
  std::string cgroup{};
  std::string maps{};
  std::uint64_t net_namespace = 1;
  std::vector<std::uint64_t> sockets{};  ///< inodes of its descriptors
  std::string tcp{};                     ///< lines of its namespace's tables
  std::string tcp6{};
  std::string unix_sockets{};
};

inline std::string stat_text(const FakeProcess& process) {
  std::string rest;
  for (int field = 5; field < 22; ++field) rest += fmt::format(" {}", field);
  return fmt::format("{} ({}) S {}{} {} 0 0\n", process.pid, process.name, process.parent, rest, process.start_ticks);
}

inline std::string tcp_line(const std::string& local, const std::string& state, std::uint64_t inode) {
  return fmt::format("   0: {} 00000000:0000 {} 00000000:00000000 00:00000000 00000000  1000        0 {} 1 0\n", local,
                     state, inode);
}

inline std::string unix_line(const std::string& flags, const std::string& type, std::uint64_t inode,
                             const std::string& path) {
  return fmt::format("0000000000000000: 00000002 00000000 {} {} 01 {} {}\n", flags, type, inode, path);
}

/// A /proc of our own making.
class FakeProc {
 public:
  void add(const FakeProcess& process) {
    const std::string at = std::to_string(process.pid) + "/";
    remove(process.pid);
    folder_.write(at + "stat", stat_text(process));
    folder_.link(at + "exe", process.executable);
    std::string arguments;
    for (const std::string& argument : process.command_line) (arguments += argument) += '\0';
    folder_.write(at + "cmdline", arguments);
    folder_.write(at + "cgroup", process.cgroup);
    folder_.write(at + "status", fmt::format("Name:\t{}\nUid:\t{}\t{}\t{}\t{}\n", process.name, process.uid,
                                             process.uid, process.uid, process.uid));
    folder_.write(at + "maps", process.maps);
    folder_.link(at + "ns/net", fmt::format("net:[{}]", process.net_namespace));
    folder_.write(at + "net/tcp", "head\n" + process.tcp);
    folder_.write(at + "net/tcp6", "head\n" + process.tcp6);
    folder_.write(at + "net/unix", "head\n" + process.unix_sockets);
    int fd = 3;
    folder_.link(at + "fd/0", "/dev/null");
    for (const std::uint64_t inode : process.sockets)
      folder_.link(fmt::format("{}fd/{}", at, fd++), fmt::format("socket:[{}]", inode));
  }
  void remove(Pid pid) { std::filesystem::remove_all(folder_.path() / std::to_string(pid)); }

  [[nodiscard]] discover::ProcReader reader() const { return discover::ProcReader(folder_.path()); }
  [[nodiscard]] const TempFolder& folder() const { return folder_; }

 private:
  TempFolder folder_{};
};

}  // namespace inferscope::test
