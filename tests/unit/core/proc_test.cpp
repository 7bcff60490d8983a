// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/cgroup_mounts.h"
#include "core/proc_stat.h"

namespace inferscope::proc {
namespace {

TEST(ProcStat, ReadsThisProcess) {
  const auto stat = read_stat("/proc/self");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->pid, getpid());
  EXPECT_EQ(stat->parent, getppid());
  EXPECT_EQ(stat->state, 'R');
  EXPECT_GT(stat->start_time_ns, 0u);
  EXPECT_GE(stat->processor, 0);
  EXPECT_FALSE(stat->kernel_thread);
  EXPECT_FALSE(read_stat("/proc/0"));
}

TEST(ProcStat, NamesMayHoldAnything) {
  const auto stat = parse_stat("7 (a) R (b) S 3 0 0 0 -1 2097152 0 0 0 0 150 50 0 0 20 0 1 0 200\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->name, "a) R (b");
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->parent, 3);
  EXPECT_TRUE(stat->kernel_thread);
  EXPECT_EQ(stat->cpu_ns, 2'000'000'000u);
  EXPECT_EQ(stat->start_time_ns, 2'000'000'000u);
  for (const char* bad : {"", "7", "7 (x", "7 x) S 1", "7 (x) S 1 2 3", ")("}) EXPECT_FALSE(parse_stat(bad)) << bad;
}

TEST(CgroupLines, AreSplitByHierarchy) {
  const auto lines = parse_cgroups("4:cpu,cpuacct:/a:b\n0::/c\nnonsense\n1:name=systemd:/\n");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].path, "/a:b");
  EXPECT_TRUE(lines[0].has("cpuacct"));
  EXPECT_FALSE(lines[0].has("cpua"));
  EXPECT_TRUE(lines[1].controllers.empty());
}

TEST(CgroupMounts, FindsEachControllerWhereItIs) {
  const auto mounts = CgroupMounts::parse(
      "30 1 0:25 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "31 1 0:26 / /sys/fs/cgroup/my\\040unified rw shared:5 - cgroup2 cgroup2 rw\n"
      "32 1 0:27 /part /elsewhere rw - cgroup cgroup rw,memory\n"
      "33 1 0:28 / /proc rw - proc proc rw\n");
  const auto lines = parse_cgroups("4:cpu,cpuacct:/a\n0::/b\n");
  const auto cpu = mounts.place_of(lines, "cpu");
  ASSERT_TRUE(cpu);
  EXPECT_EQ(cpu->version, 1);
  EXPECT_EQ(cpu->folder(), "/sys/fs/cgroup/cpu,cpuacct/a");
  const auto freezer = mounts.place_of(lines, "freezer");
  ASSERT_TRUE(freezer);
  EXPECT_EQ(freezer->version, 2);
  EXPECT_EQ(freezer->folder(), "/sys/fs/cgroup/my unified/b");
  EXPECT_EQ(mounts.place_of(lines, "memory")->version, 2) << "a part of a tree would give other paths";
  EXPECT_FALSE(CgroupMounts::parse("").place("/a", "cpu"));
}

}  // namespace
}  // namespace inferscope::proc
