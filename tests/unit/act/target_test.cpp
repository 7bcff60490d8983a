// SPDX-License-Identifier: Apache-2.0
#include "act/target.h"

#include <gtest/gtest.h>

#include "tests/support/child_process.h"
#include "tests/unit/act/fake_host.h"

namespace inferscope::act {
namespace {

using test::ChildProcess;
using test::FakeHost;
using test::FakeTask;

/// The process is real, since a pidfd is; what /proc tells of it is not.
struct Held : testing::Test {
  FakeHost host{};
  ChildProcess child = ChildProcess::waiting();
  FakeTask task{.pid = child.pid(), .cgroup = "/a"};
  ProcessTarget target{};

  void SetUp() override {
    host.add_group("/a", {child.pid()});
    host.add(task);
    target = host.target(task);
  }
  [[nodiscard]] std::string problem() const {
    const auto held = HeldProcess::hold(target, host.roots(), host.roots().mounts());
    return held ? "" : held.error().text();
  }
};

TEST_F(Held, IsTheOneThatWasDecidedAbout) {
  EXPECT_EQ(problem(), "");
  target.cgroup.clear();
  target.cgroup_id = 0;
  EXPECT_EQ(problem(), "") << "what is not known is not compared";
}

TEST_F(Held, ItsNumberIsAnothersByNow) {
  task.start_ticks += 1;
  host.add(task);
  EXPECT_EQ(problem(), fmt::format("process {} is another one by now", child.pid()));
}

TEST_F(Held, HasEnded) {
  const Pid pid = child.pid();
  task.state = 'Z';
  host.add(task);
  EXPECT_NE(problem(), "") << "what waits for its parent has ended";
  child.end();
  host.remove(pid);
  EXPECT_EQ(problem(), fmt::format("process {} has ended", pid));
}

TEST_F(Held, MovedToAnotherCgroup) {
  host.add_group("/b", {child.pid()});
  task.cgroup = "/b";
  host.add(task);
  EXPECT_NE(problem().find("is in another cgroup by now: /b instead of /a"), std::string::npos) << problem();
}

TEST_F(Held, ItsCgroupWasMadeAnew) {
  std::filesystem::rename(host.file("cpu/a"), host.file("cpu/old"));
  host.add_group("/a", {child.pid()});
  EXPECT_NE(problem().find("another cgroup"), std::string::npos) << problem();
}

TEST_F(Held, ANumberAloneIsNoIdentity) {
  target.start_time_ns = 0;
  EXPECT_NE(problem().find("start time"), std::string::npos) << problem();
  target.pid = -1;
  EXPECT_NE(problem(), "");
}

TEST_F(Held, IsSignalled) {
  auto held = HeldProcess::hold(target, host.roots(), host.roots().mounts());
  ASSERT_TRUE(held);
  EXPECT_EQ((*held)->where(), fmt::format("pidfd {}", child.pid()));
  EXPECT_TRUE((*held)->may_signal());
  EXPECT_EQ((*held)->read().value(), "CONT");
  ASSERT_TRUE((*held)->write("STOP"));
  EXPECT_TRUE(WIFSTOPPED(child.change()));
  task.state = 'T';
  host.add(task);
  EXPECT_EQ((*held)->read().value(), "STOP");
  ASSERT_TRUE((*held)->write("CONT"));
  EXPECT_TRUE(WIFCONTINUED(child.change()));
  EXPECT_FALSE((*held)->write("SEGV"));
  EXPECT_FALSE((*held)->write(""));
  child.end();
  EXPECT_FALSE((*held)->write("TERM")) << "whoever has the number then";
  EXPECT_FALSE((*held)->read());
}

TEST_F(Held, ForAnUndoTheCgroupDoesNotMatter) {
  task.cgroup = "/elsewhere";
  host.add(task);
  auto held = HeldProcess::hold_started(child.pid(), target.start_time_ns, host.roots());
  ASSERT_TRUE(held);
  EXPECT_NE(*held, nullptr);
  held = HeldProcess::hold_started(child.pid(), target.start_time_ns + 1, host.roots());
  ASSERT_TRUE(held);
  EXPECT_EQ(*held, nullptr) << "another one";
}

}  // namespace
}  // namespace inferscope::act
