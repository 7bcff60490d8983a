// SPDX-License-Identifier: Apache-2.0
#include "act/never_touch.h"

#include <gtest/gtest.h>

#include "tests/unit/act/fake_host.h"

namespace inferscope::act {
namespace {

using test::FakeHost;

struct NeverTouched : testing::Test {
  FakeHost host{};
  std::vector<std::string> more{};

  [[nodiscard]] std::string why_not(const std::vector<Pid>& processes) const {
    const auto status = NeverTouch(host.roots(), more, 500).check(processes);
    return status ? "" : status.error().text();
  }
  [[nodiscard]] bool is_protected(const std::string& name, const std::string& executable = "/opt/x") const {
    host.add({.pid = 900, .name = name, .executable = executable});
    return !why_not({900}).empty();
  }
};

TEST_F(NeverTouched, TheAgentAndWhatItWasStartedBy) {
  host.add({.pid = 400, .parent = 1, .name = "shell"});
  host.add({.pid = 500, .parent = 400, .name = "agent"});
  host.add({.pid = 600, .parent = 500, .name = "child"});
  EXPECT_EQ(why_not({500}), "process 500 is the agent, or what it runs in, which is never touched");
  EXPECT_NE(why_not({400}), "");
  EXPECT_NE(why_not({1}), "");
  EXPECT_NE(why_not({0}), "");
  EXPECT_EQ(why_not({600}), "");
}

TEST_F(NeverTouched, ThreadsOfTheKernel) {
  host.add({.pid = 700, .parent = 2, .name = "server", .executable = "", .flags = 0x00200040});
  EXPECT_EQ(why_not({700}), "process 700 is a thread of the kernel, which is never touched");
}

TEST_F(NeverTouched, WhatKeepsAHostAndItsContainersRunning) {
  for (const char* name : {"sshd", "sshd-session", "systemd", "systemd-journald", "systemd-udevd", "udevd", "init",
                           "dbus-daemon", "kubelet", "containerd", "containerd-shim", "containerd-shim-runc-v2",
                           "dockerd", "crio", "conmon", "runc", "inferscope", "inferscope-grd"})
    EXPECT_TRUE(is_protected(name)) << name;
  for (const char* name : {"llama-server", "python3", "ollama", "my-sshd-like", "initiator", "batch-job"})
    EXPECT_FALSE(is_protected(name)) << name;
}

TEST_F(NeverTouched, ByExecutableTooSinceAProcessMayNameItselfAnything) {
  EXPECT_TRUE(is_protected("worker", "/usr/bin/dockerd"));
  EXPECT_TRUE(is_protected("worker", "/usr/sbin/sshd (deleted)")) << "upgraded while it runs";
  EXPECT_FALSE(is_protected("worker", "/opt/sshd/worker"));
}

TEST_F(NeverTouched, MayBeAddedTo) {
  more = {"pg_*", "/opt/precious/*", "/kubepods/*/pod-of-mine/*"};
  EXPECT_TRUE(is_protected("pg_writer"));
  EXPECT_TRUE(is_protected("worker", "/opt/precious/bin/x"));
  EXPECT_TRUE(is_protected("sshd")) << "and is not replaced";
  EXPECT_FALSE(is_protected("worker"));
  host.add({.pid = 901, .cgroup = "/kubepods/burstable/pod-of-mine/4711"});
  EXPECT_NE(why_not({901}), "");
}

TEST_F(NeverTouched, OneInAGroupProtectsAll) {
  host.add({.pid = 801, .name = "a"});
  host.add({.pid = 802, .name = "kubelet"});
  EXPECT_EQ(why_not({801}), "");
  EXPECT_EQ(why_not({801, 802}), "process 802 is kubelet, which is never touched");
  EXPECT_EQ(why_not({801, 12345}), "") << "has ended meanwhile";
}

}  // namespace
}  // namespace inferscope::act
