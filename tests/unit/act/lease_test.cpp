// SPDX-License-Identifier: Apache-2.0
#include "act/lease.h"

#include <gtest/gtest.h>

#include "tests/support/child_process.h"
#include "tests/unit/act/fake_host.h"

namespace inferscope::act {
namespace {

using How = Undone::How;
using test::ChildProcess;
using test::FakeHost;

struct Undo : testing::Test {
  FakeHost host{FakeHost::Cgroups::version2};
  Lease lease{};

  void SetUp() override {
    host.add_group("/a");
    host.set("a/cpu.max", "20000 100000");
    lease.effect.where = host.file("a/cpu.max");
    lease.effect.earlier = "max 100000";
    lease.effect.written = "20000 100000";
    lease.folder_inode = host.inode("a");
    lease.boot_id = read_boot_id(host.roots()).value();
  }
  [[nodiscard]] Undone undone() const { return undo(lease, host.roots()); }
};

TEST_F(Undo, PutsTheEarlierValueBack) {
  EXPECT_EQ(undone().how, How::put_back);
  EXPECT_EQ(host.value("a/cpu.max"), "max 100000");
  EXPECT_EQ(undone().how, How::put_back) << "any number of times";
}

TEST_F(Undo, LeavesWhatSomebodyElseWrote) {
  host.set("a/cpu.max", "50000 100000");
  const Undone left = undone();
  EXPECT_EQ(left.how, How::left);
  EXPECT_NE(left.note.find("holds '50000 100000', which somebody else wrote"), std::string::npos) << left.note;
  EXPECT_EQ(host.value("a/cpu.max"), "50000 100000");
}

TEST_F(Undo, DoesNotTouchAGroupThatWasMadeAnew) {
  std::filesystem::rename(host.file("a"), host.file("old"));
  EXPECT_EQ(undone().how, How::gone);
  host.add_group("/a");
  host.set("a/cpu.max", "20000 100000");
  EXPECT_EQ(undone().how, How::gone);
  EXPECT_EQ(host.value("a/cpu.max"), "20000 100000");
}

TEST_F(Undo, AfterARebootThereIsNothingToUndo) {
  host.boot("another");
  EXPECT_EQ(undone().how, How::gone);
  EXPECT_EQ(host.value("a/cpu.max"), "20000 100000");
}

TEST_F(Undo, WritesOnlyWhatAnActionMayWrite) {
  lease.effect.where = host.file("a/cgroup.procs");
  EXPECT_EQ(undone().how, How::failed);
  EXPECT_EQ(host.value("a/cgroup.procs"), "");
}

TEST_F(Undo, ThatFailsSaysWhy) {
  std::filesystem::remove(host.file("a/cpu.max"));
  const Undone failed = undone();
  EXPECT_EQ(failed.how, How::failed);
  EXPECT_NE(failed.note, "");
}

TEST_F(Undo, LetsAStoppedProcessGoOn) {
  ChildProcess child = ChildProcess::waiting();
  kill(child.pid(), SIGSTOP);
  ASSERT_TRUE(WIFSTOPPED(child.change()));
  test::FakeTask task{.pid = child.pid(), .state = 'T', .cgroup = "/a"};
  host.add(task);
  lease.folder_inode = 0;
  lease.effect.decision.target = host.target(task);
  lease.effect.earlier = "CONT";
  lease.effect.written = "STOP";
  EXPECT_EQ(undone().how, How::put_back);
  EXPECT_TRUE(WIFCONTINUED(child.change()));
  task.start_ticks += 1;
  host.add(task);
  EXPECT_EQ(undone().how, How::gone) << "the number is another's";
  host.remove(child.pid());
  EXPECT_EQ(undone().how, How::gone);
}

TEST_F(Undo, PlacesAreTheSameByFileAndGroupOrByProcess) {
  Lease other = lease;
  EXPECT_TRUE(lease.same_place(other));
  other.folder_inode += 1;
  EXPECT_FALSE(lease.same_place(other));
  lease.folder_inode = other.folder_inode = 0;
  EXPECT_TRUE(lease.same_place(other));
  other.effect.decision.target.start_time_ns = 7;
  EXPECT_FALSE(lease.same_place(other));
}

}  // namespace
}  // namespace inferscope::act
