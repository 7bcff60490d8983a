// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "tests/support/sockets.h"
#include "tests/support/temp_folder.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

using Kind = ProcessNotice::Kind;

std::vector<ProcessNotice> notices_of(const TracedProcess& traced, Kind kind, Pid pid) {
  std::vector<ProcessNotice> found;
  for (const ProcessNotice& notice : traced.notices())
    if (notice.kind == kind && notice.pid == pid) found.push_back(notice);
  return found;
}

std::vector<const ProcessExited*> exits_of(const TracedProcess& traced, Pid pid) {
  std::vector<const ProcessExited*> found;
  for (const ProcessExited* exited : traced.all<ProcessExited>())
    if (exited->pid == pid) found.push_back(exited);
  return found;
}

/// Without the unwinding of pthread_exit(), which a test's frames would not survive.
void end_this_thread() {
  syscall(SYS_exit, 0);
}

void run_program(const char* program) {
  execl("/bin/sh", "sh", "-c", program, nullptr);
  _exit(98);
}

TEST(ProcessBpf, ChildrenAreNoticedAndWatched) {
  TracedProcess traced;
  traced.run([] {
    const pid_t child = fork();
    if (child == 0) {
      const auto pair = tcp_pair();
      send_all(pair.client, "of the child");
      _exit(7);
    }
    int status = 0;
    REQUIRE_OR_EXIT(waitpid(child, &status, 0) == child);
    _exit(WEXITSTATUS(status) == 7 ? 0 : 1);
  });
  ASSERT_EQ(traced.status(), 0);
  const auto forked = std::find_if(traced.notices().begin(), traced.notices().end(), [&](const ProcessNotice& one) {
    return one.kind == Kind::forked && one.parent == traced.child();
  });
  ASSERT_NE(forked, traced.notices().end());
  EXPECT_NE(forked->pid, traced.child());
  EXPECT_EQ(traced.content(Direction::sent), "of the child");
  const auto exits = exits_of(traced, forked->pid);
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0]->exit_code, 7);
  EXPECT_EQ(exits[0]->signal, 0);
  EXPECT_EQ(exits_of(traced, traced.child()).size(), 1u);
}

TEST(ProcessBpf, ExecAndTheWayItEnded) {
  TracedProcess traced;
  traced.run([] { run_program("exit 42"); });
  EXPECT_EQ(notices_of(traced, Kind::executed, traced.child()).size(), 1u);
  auto exits = exits_of(traced, traced.child());
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0]->exit_code, 42);

  for (const int signal : {SIGKILL, SIGTERM}) {
    traced.forget();
    traced.run([signal] {
      kill(getpid(), signal);
      pause();
    });
    exits = exits_of(traced, traced.child());
    ASSERT_EQ(exits.size(), 1u);
    EXPECT_EQ(exits[0]->signal, signal);
    EXPECT_EQ(exits[0]->exit_code, 0);
  }

  traced.forget();
  traced.run([] { run_program("exit 42"); }, TracedProcess::Treatment::unknown);
  EXPECT_EQ(notices_of(traced, Kind::executed, traced.child()).size(), 1u) << "programs nobody watches are noticed";
  EXPECT_TRUE(exits_of(traced, traced.child()).empty()) << "but their ends are not";
}

TEST(ProcessBpf, ThreadsAreNotProcesses) {
  TracedProcess traced;
  traced.run([] {
    std::thread([] {}).join();
    const auto pair = tcp_pair();
    send_all(pair.client, "after the thread");
    for (int i = 0; i < 3; ++i) std::thread([] { pause(); }).detach();
    _exit(3);
  });
  auto exits = exits_of(traced, traced.child());
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0]->exit_code, 3);
  EXPECT_EQ(traced.content(Direction::sent), "after the thread") << "watched on after a thread's end";
  for (const ProcessNotice& notice : traced.notices()) EXPECT_NE(notice.kind, Kind::forked) << "no thread is a child";

  traced.forget();
  traced.run([] {
    std::thread([] {
      while (read_file("/proc/self/stat").find(") Z ") == std::string::npos) std::this_thread::yield();
      const auto pair = tcp_pair();
      send_all(pair.client, "after the first thread");
      _exit(5);
    }).detach();
    end_this_thread();
  });
  exits = exits_of(traced, traced.child());
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0]->exit_code, 5) << "of the process, not of its first thread";
  EXPECT_EQ(traced.content(Direction::sent), "after the first thread");

  for (int round = 0; round < 20; ++round) {
    traced.forget();
    traced.run([] {
      for (int i = 0; i < 8; ++i) std::thread(end_this_thread).detach();
      end_this_thread();
    });
    EXPECT_EQ(exits_of(traced, traced.child()).size(), 1u) << "threads that end at the same time";
  }
}

}  // namespace
}  // namespace inferscope::test
