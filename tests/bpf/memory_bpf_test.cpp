// SPDX-License-Identifier: Apache-2.0
// What memory and disks cost a process.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "tests/support/cold_file.h"
#include "tests/support/real_cgroup.h"
#include "tests/support/sockets.h"
#include "tests/support/thread_runs.h"

namespace inferscope::test {
namespace {

using namespace std::chrono_literals;

/// Reads all of it, in pieces; returns how much.
std::size_t read_all(const ColdFile& file) {
  const int fd = open(file.path().c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE_OR_EXIT(fd >= 0);
  std::array<char, 65536> piece{};
  std::size_t all = 0;
  for (ssize_t size = 0; (size = read(fd, piece.data(), piece.size())) > 0;) all += static_cast<std::size_t>(size);
  close(fd);
  return all;
}

DiskUse sum_of(const std::vector<const DiskUse*>& uses) {
  DiskUse sum;
  for (const DiskUse* use : uses) {
    sum.reads += use->reads;
    sum.writes += use->writes;
    sum.read_bytes += use->read_bytes;
    sum.written_bytes += use->written_bytes;
    sum.time += use->time;
    sum.longest = std::max(sum.longest, use->longest);
  }
  return sum;
}

TEST(MemoryBpf, ACgroupAtItsLimit) {
  if (!have_disk()) GTEST_SKIP() << "no disk";
  auto group = RealCgroup::make("memory");
  ASSERT_TRUE(group) << "no memory hierarchy";
  const bool first = group->place().version == 1;
  const std::string limit = first ? "memory.limit_in_bytes" : "memory.max";
  if (!group->has(limit)) GTEST_SKIP() << "cgroups here limit no memory";
  group->set(limit, std::to_string(16u << 20));
  const ColdFile file;
  TracedProcess traced({.host_sample_interval = 50ms});
  traced.run([&] {
    group->add(getpid());
    REQUIRE_OR_EXIT(read_all(file) == ColdFile::size);
    usleep(2'500'000);  // cgroups are looked at every two seconds
  });
  ASSERT_EQ(traced.status(), 0);
  const auto samples = traced.all<ProcessSample>();
  ASSERT_FALSE(samples.empty());
  EXPECT_EQ(samples.back()->memory_limit, 16u << 20);
  EXPECT_GT(samples.back()->memory_bytes, 1u << 20);
  EXPECT_LE(samples.back()->memory_bytes, 16u << 20);
  const auto reclaims = traced.all<MemoryReclaim>();
  const auto counters = traced.source().counters();
  EXPECT_GT(reclaims.size() + counters.reclaims_short, 0u);
  ASSERT_FALSE(reclaims.empty());
  std::uint64_t pages = 0;
  for (const MemoryReclaim* reclaim : reclaims) {
    EXPECT_EQ(reclaim->pid, traced.child());
    EXPECT_EQ(reclaim->tid, traced.child());
    EXPECT_TRUE(reclaim->of_cgroup);
    EXPECT_GE(reclaim->end - reclaim->begin, 100us);
    pages += reclaim->pages;
  }
  EXPECT_GT(pages * 4096, ColdFile::size / 4) << "most of what it read had to be thrown out again";
}

TEST(MemoryBpf, NothingIsToldWithoutAReason) {
  TracedProcess traced;
  traced.run([] { spin_for(20ms); });
  EXPECT_TRUE(traced.all<MemoryReclaim>().empty());
  EXPECT_TRUE(traced.all<DiskUse>().empty());
}

TEST(BlockBpf, WhatADiskReads) {
  if (!have_disk()) GTEST_SKIP() << "no disk";
  const ColdFile file;
  TracedProcess traced({.host_sample_interval = 20ms});
  traced.run([&] {
    REQUIRE_OR_EXIT(read_all(file) == ColdFile::size);
    usleep(50000);
  });
  ASSERT_EQ(traced.status(), 0);
  const auto uses = traced.all<DiskUse>();
  ASSERT_FALSE(uses.empty());
  for (const DiskUse* use : uses) EXPECT_EQ(use->pid, traced.child());
  const DiskUse sum = sum_of(uses);
  EXPECT_GE(sum.read_bytes, ColdFile::size);
  EXPECT_LE(sum.read_bytes, ColdFile::size + (4u << 20)) << "and what describes the file";
  EXPECT_GT(sum.reads, 10u);
  EXPECT_GT(sum.longest, 0ns);
  EXPECT_LE(sum.longest, sum.time);
  EXPECT_GE(static_cast<std::int64_t>(sum.reads + sum.writes) * sum.longest, sum.time);
  EXPECT_EQ(traced.source().counters().disks_full, 0u);
}

TEST(BlockBpf, WhatADiskWrites) {
  if (!have_disk()) GTEST_SKIP() << "no disk";
  const TempFolder folder;
  TracedProcess traced({.host_sample_interval = 20ms});
  traced.run([&] {
    const std::string content(1u << 20, 'x');
    const int fd = open((folder.path() / "written").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < 8; ++i)
      REQUIRE_OR_EXIT(write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    REQUIRE_OR_EXIT(fdatasync(fd) == 0);  // on its own time, and so its own
    usleep(50000);
  });
  ASSERT_EQ(traced.status(), 0);
  const DiskUse sum = sum_of(traced.all<DiskUse>());
  EXPECT_GT(sum.writes, 0u);
  EXPECT_GE(sum.written_bytes, 8u << 20);
}

}  // namespace
}  // namespace inferscope::test
