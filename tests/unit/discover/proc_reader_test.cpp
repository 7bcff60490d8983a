// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include "discover/process_info.h"
#include "tests/unit/discover/fake_proc.h"

namespace inferscope::discover {
namespace {

using test::FakeProc;

TEST(ProcReader, ReadsAProcess) {
  FakeProc proc;
  proc.add({.pid = 42,
            .parent = 7,
            .name = "python3",
            .executable = "/usr/bin/python3.11",
            .command_line = {"python3", "-m", "vllm.entrypoints.api_server"},
            .start_ticks = 12345,
            .uid = 1001,
            .cgroup = "0::/system.slice/vllm.service\n"});
  const auto info = proc.reader().read(42);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->pid, 42);
  EXPECT_EQ(info->parent, 7);
  EXPECT_EQ(info->name, "python3");
  EXPECT_EQ(info->executable, "/usr/bin/python3.11");
  EXPECT_EQ(info->command_line, "python3 -m vllm.entrypoints.api_server");
  EXPECT_EQ(info->start_time_ns, 12345u * (1'000'000'000u / static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK))));
  EXPECT_EQ(info->uid, 1001u);
  EXPECT_EQ(info->cgroups, (std::vector<std::string>{"/system.slice/vllm.service"}));
}

TEST(ProcReader, NamesMayHoldAnything) {
  for (const char* name : {"a b", "tmux: server", "(sd-pam)", ") R 1 1 (", "a) S 99 0", "\xff\n)", ""}) {
    FakeProc proc;
    proc.add({.pid = 42, .parent = 7, .name = name});
    const auto info = proc.reader().read(42);
    ASSERT_TRUE(info) << name;
    EXPECT_EQ(info->name, name);
    EXPECT_EQ(info->parent, 7) << name;
    EXPECT_NE(info->start_time_ns, 0u) << name;
  }
}

TEST(ProcReader, AbsentAndBrokenProcesses) {
  FakeProc proc;
  EXPECT_FALSE(proc.reader().read(42)) << "gone";
  proc.folder().write("43/stat", "");
  EXPECT_FALSE(proc.reader().read(43));
  proc.folder().write("44/stat", "44 (cut) S 1 44 44");
  EXPECT_FALSE(proc.reader().read(44)) << "no start time: not an identity";
  proc.folder().write("45/stat", ")45(");
  EXPECT_FALSE(proc.reader().read(45));
}

TEST(ProcReader, KernelThreadHasNoExecutable) {
  FakeProc proc;
  proc.folder().write("2/stat", test::stat_text({.pid = 2, .parent = 0, .name = "kthreadd"}));
  proc.folder().write("2/cmdline", "");
  const auto info = proc.reader().read(2);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->executable, "");
  EXPECT_EQ(info->command_line, "");
}

TEST(ProcReader, LongCommandLineIsCut) {
  FakeProc proc;
  proc.add({.pid = 42, .command_line = {std::string(100'000, 'x')}});
  EXPECT_EQ(proc.reader().read(42)->command_line.size(), 4096u);
}

TEST(ProcReader, AllHierarchiesOfCgroups) {
  FakeProc proc;
  proc.add({.pid = 42, .cgroup = "12:cpu,cpuacct:/docker/abc\n1:name=systemd:/with:colon\n0::/\nbroken\n"});
  EXPECT_EQ(proc.reader().read(42)->cgroups, (std::vector<std::string>{"/docker/abc", "/with:colon", "/"}));
}

TEST(ProcReader, ListsPidsOnly) {
  FakeProc proc;
  for (const Pid pid : {300, 4, 20}) proc.add({.pid = pid});
  proc.folder().write("version", "Linux");
  proc.folder().write("sys/kernel/x", "1");
  EXPECT_EQ(proc.reader().pids(), (std::vector<Pid>{4, 20, 300}));
}

TEST(ProcReader, PidsWithoutAFolder) {
  EXPECT_TRUE(ProcReader("/nonexistent/proc").pids().empty());
}

TEST(ProcReader, MappedLibraries) {
  FakeProc proc;
  proc.add({.pid = 42,
            .maps = "55d0-55d1 r-xp 00000000 08:01 10 /usr/bin/server\n"
                    "7f00-7f01 r--p 00000000 08:01 11 /usr/lib/x86_64-linux-gnu/libcuda.so.535.1\n"
                    "7f01-7f02 r-xp 00001000 08:01 11 /usr/lib/x86_64-linux-gnu/libcuda.so.535.1\n"
                    "7f02-7f03 rw-p 00000000 00:00 0 \n"
                    "7f03-7f04 r-xp 00000000 08:01 12 /opt/with space/libggml base.so\n"
                    "7ffd-7ffe rw-p 00000000 00:00 0 [stack]\n"});
  EXPECT_EQ(proc.reader().mapped_libraries(42),
            (std::set<std::string>{"server", "libcuda.so.535.1", "libggml base.so"}));
  EXPECT_TRUE(proc.reader().mapped_libraries(43).empty());
}

TEST(ProcReader, ListeningPorts) {
  FakeProc proc;
  proc.add({.pid = 42,
            .sockets = {1001, 1002, 1003, 1004, 1005},
            .tcp = test::tcp_line("0100007F:1F90", "0A", 1001) + test::tcp_line("0100007F:1F91", "01", 1002) +
                   test::tcp_line("00000000:0016", "0A", 9999),
            .tcp6 = test::tcp_line("00000000000000000000000000000000:2328", "0A", 1003),
            .unix_sockets = test::unix_line("00010000", "0001", 1004, "/run/a.sock") +
                            test::unix_line("00000000", "0001", 1005, "")});
  auto reader = proc.reader();
  EXPECT_EQ(reader.listening_ports(42), (std::set<std::uint16_t>{0, 8080, 9000}))
      << "listeners of its own: 8080, 9000 and a unix socket; not its connection, not another process's port 22";
}

TEST(ProcReader, DatagramUnixSocketIsNoListener) {
  FakeProc proc;
  proc.add({.pid = 42, .sockets = {1}, .unix_sockets = test::unix_line("00010000", "0002", 1, "/run/log")});
  auto reader = proc.reader();
  EXPECT_TRUE(reader.listening_ports(42).empty());
}

TEST(ProcReader, BrokenSocketTablesAreNoHarm) {
  FakeProc proc;
  proc.add({.pid = 42, .sockets = {1}, .tcp = "garbage\n   0: :::: 0A\n: 0A 0A 0A\n", .unix_sockets = "x\n\n\n"});
  auto reader = proc.reader();
  EXPECT_TRUE(reader.listening_ports(42).empty());
}

TEST(ProcReader, EachNetworkNamespaceHasItsOwnSockets) {
  FakeProc proc;
  proc.add({.pid = 1, .net_namespace = 10, .sockets = {5}, .tcp = test::tcp_line("00000000:1F90", "0A", 5)});
  proc.add({.pid = 2, .net_namespace = 11, .sockets = {5}, .tcp = test::tcp_line("00000000:2328", "0A", 5)});
  auto reader = proc.reader();
  EXPECT_EQ(reader.listening_ports(1), (std::set<std::uint16_t>{8080}));
  EXPECT_EQ(reader.listening_ports(2), (std::set<std::uint16_t>{9000}));
}

TEST(ProcReader, SocketsAreReadOnceUntilForgotten) {
  FakeProc proc;
  proc.add({.pid = 42, .sockets = {5}});
  auto reader = proc.reader();
  EXPECT_TRUE(reader.listening_ports(42).empty());
  proc.folder().write("42/net/tcp", "head\n" + test::tcp_line("00000000:1F90", "0A", 5));
  EXPECT_TRUE(reader.listening_ports(42).empty());
  reader.forget_sockets();
  EXPECT_EQ(reader.listening_ports(42), (std::set<std::uint16_t>{8080}));
}

TEST(ProcReader, KnowsThisVeryProcess) {
  ProcReader reader;
  const auto info = reader.read(getpid());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->parent, getppid());
  EXPECT_EQ(info->uid, getuid());
  EXPECT_NE(info->executable.find("discover_tests"), std::string::npos);
  const auto pids = reader.pids();
  EXPECT_NE(std::find(pids.begin(), pids.end(), getpid()), pids.end());
}

}  // namespace
}  // namespace inferscope::discover
