// SPDX-License-Identifier: Apache-2.0
#include "act/cgroup.h"

#include <gtest/gtest.h>

#include "tests/unit/act/fake_host.h"

namespace inferscope::act {
namespace {

using Cgroups = test::FakeHost::Cgroups;
using test::FakeHost;
using Kind = Action::Kind;

/// The file an action would write, from the root of the cgroups; or the problem.
std::string knob_of(const FakeHost& host, Kind kind, const ProcessTarget& target) {
  const auto knob = knob_for(kind, target, host.roots(), host.roots().mounts());
  if (!knob) return knob.error().text();
  return std::filesystem::path((*knob)->where()).lexically_relative(host.roots().cgroups);
}

std::string value_of(const FakeHost& host, const Action& action, const ProcessTarget& target) {
  const auto knob = knob_for(action.kind, target, host.roots(), host.roots().mounts());
  if (!knob) return knob.error().text();
  const auto current = (*knob)->read();
  if (!current) return current.error().text();
  const auto value = value_for(action, **knob, *current);
  return value ? *value : value.error().text();
}

ProcessTarget group(const std::string& cgroup) {
  return {.cgroup = cgroup};
}

TEST(Knob, IsThatOfTheVersionThatControlsIt) {
  for (const Cgroups cgroups : {Cgroups::version1, Cgroups::hybrid}) {
    FakeHost host(cgroups);
    host.add_group("/a/b");
    EXPECT_EQ(knob_of(host, Kind::throttle, group("/a/b")), "cpu/a/b/cpu.cfs_quota_us");
    EXPECT_EQ(knob_of(host, Kind::weight, group("/a/b")), "cpu/a/b/cpu.shares");
    EXPECT_EQ(knob_of(host, Kind::freeze, group("/a/b")), "freezer/a/b/freezer.state");
  }
  FakeHost host(Cgroups::version2);
  host.add_group("/a/b");
  EXPECT_EQ(knob_of(host, Kind::throttle, group("/a/b")), "a/b/cpu.max");
  EXPECT_EQ(knob_of(host, Kind::weight, group("/a/b")), "a/b/cpu.weight");
  EXPECT_EQ(knob_of(host, Kind::freeze, group("/a/b")), "a/b/cgroup.freeze");
}

TEST(Knob, OfAProcessIsThatOfItsCgroup) {
  FakeHost host(Cgroups::version1);
  host.add_group("/pod/x");
  host.add({.pid = 42, .cgroup = "/pod/x"});
  EXPECT_EQ(knob_of(host, Kind::throttle, {.pid = 42}), "cpu/pod/x/cpu.cfs_quota_us");
}

TEST(Knob, ARootIsNeverOne) {
  FakeHost host;
  host.add_group("/a");
  host.add({.pid = 42, .cgroup = "/"});
  EXPECT_EQ(knob_of(host, Kind::throttle, {.pid = 42}), "process 42 is in the root cgroup, which is never acted on");
  EXPECT_EQ(knob_of(host, Kind::freeze, group("/")), "the root cgroup is never acted on");
  for (const char* path : {"", "a", "/..", "/../../etc", "/a/../a", "/a/./b", "//a"})
    EXPECT_NE(knob_of(host, Kind::throttle, group(path)).find("out of reach"), std::string::npos) << path;
}

TEST(Knob, OfAHybridHostIsVersion2sWhereVersion1HasOnlyTheRoot) {
  FakeHost host(Cgroups::hybrid);
  std::filesystem::create_directories(host.file("unified/a"));
  host.set("unified/a/cgroup.freeze", "0");
  host.add({.pid = 42, .cgroup = "/a"});
  std::filesystem::create_directories(host.file("cpu/a"));
  std::filesystem::remove_all(host.file("freezer/a"));
  EXPECT_EQ(knob_of(host, Kind::freeze, {.pid = 42}), "unified/a/cgroup.freeze");
}

TEST(Knob, SaysWhatIsMissing) {
  FakeHost host(Cgroups::version2);
  host.add_group("/a");
  EXPECT_EQ(knob_of(host, Kind::freeze, group("/b")), "cgroup /b is gone, or another one by now");
  ProcessTarget other = group("/a");
  other.cgroup_id = 1;
  EXPECT_EQ(knob_of(host, Kind::freeze, other), "cgroup /a is gone, or another one by now");
  std::filesystem::remove(host.file("a/cpu.max"));
  EXPECT_NE(knob_of(host, Kind::throttle, group("/a")).find("its controller is not switched on there"),
            std::string::npos);
  EXPECT_NE(knob_of(FakeHost(Cgroups::none), Kind::throttle, group("/a")).find("no hierarchy"), std::string::npos);
}

TEST(Knob, ThatIsNoPlainFileIsNotFollowed) {
  FakeHost host(Cgroups::version2);
  host.add_group("/a");
  const std::string outside = host.state().native();
  std::filesystem::remove(host.file("a/cpu.max"));
  std::filesystem::create_symlink(outside, host.file("a/cpu.max"));
  EXPECT_NE(knob_of(host, Kind::throttle, group("/a")).find("cannot write"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(outside));
}

TEST(Value, OfAThrottleIsAShareOfThePeriod) {
  FakeHost one(Cgroups::version1);
  one.add_group("/a");
  EXPECT_EQ(value_of(one, test::throttle(0.2), group("/a")), "20000");
  EXPECT_EQ(value_of(one, test::throttle(2.5), group("/a")), "250000");
  EXPECT_EQ(value_of(one, test::throttle(0.0001), group("/a")), "1000") << "the least that the kernel takes";
  one.set("cpu/a/cpu.cfs_period_us", "50000");
  EXPECT_EQ(value_of(one, test::throttle(0.2), group("/a")), "10000");
  FakeHost two(Cgroups::version2);
  two.add_group("/a");
  EXPECT_EQ(value_of(two, test::throttle(0.2), group("/a")), "20000 100000");
  two.set("a/cpu.max", "70000 50000");
  EXPECT_EQ(value_of(two, test::throttle(0.2), group("/a")), "10000 50000");
}

TEST(Value, OfAThrottleNeverGivesMore) {
  FakeHost one(Cgroups::version1);
  one.add_group("/a");
  one.set("cpu/a/cpu.cfs_quota_us", "10000");
  EXPECT_EQ(value_of(one, test::throttle(0.2), group("/a")), "it is limited to 0.10 processors already");
  EXPECT_EQ(value_of(one, test::throttle(0.05), group("/a")), "5000");
  FakeHost two(Cgroups::version2);
  two.add_group("/a");
  two.set("a/cpu.max", "10000 100000");
  EXPECT_EQ(value_of(two, test::throttle(0.2), group("/a")), "it is limited to 0.10 processors already");
}

TEST(Value, ThatIsNoneIsRefused) {
  FakeHost host(Cgroups::version1);
  host.add_group("/a");
  for (const double quota : {0.0, -1.0, 1e300, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_NE(value_of(host, test::throttle(quota), group("/a")).find("is none"), std::string::npos) << quota;
  EXPECT_NE(value_of(host, test::weight(10001), group("/a")).find("is none"), std::string::npos);
  host.set("cpu/a/cpu.cfs_period_us", "nonsense");
  EXPECT_NE(value_of(host, test::throttle(0.2), group("/a")).find("period"), std::string::npos);
}

TEST(Value, OfAWeightIsConvertedAsTheKernelDoes) {
  FakeHost one(Cgroups::version1);
  one.add_group("/a");
  EXPECT_EQ(value_of(one, test::weight(100), group("/a")), "1024");
  EXPECT_EQ(value_of(one, test::weight(1), group("/a")), "10");
  EXPECT_EQ(value_of(one, test::weight(10000), group("/a")), "102400");
  FakeHost two(Cgroups::version2);
  two.add_group("/a");
  EXPECT_EQ(value_of(two, test::weight(7), group("/a")), "7");
}

TEST(Value, OfAnIdleGroupIsTheLeastWeightWhereTheKernelHasNone) {
  for (const Cgroups cgroups : {Cgroups::version1, Cgroups::version2}) {
    FakeHost host(cgroups);
    host.add_group("/a");
    const std::string folder = cgroups == Cgroups::version1 ? "cpu/a/" : "a/";
    EXPECT_EQ(value_of(host, test::weight(idle_weight), group("/a")), "idle");
    host.set(folder + "cpu.idle", "1");
    for (const std::uint32_t weight : {idle_weight, 1u, 100u})
      EXPECT_EQ(value_of(host, test::weight(weight), group("/a")), "it gets only what nobody else wants already");
    std::filesystem::remove(host.file(folder + "cpu.idle"));
    EXPECT_EQ(value_of(host, test::weight(idle_weight), group("/a")), cgroups == Cgroups::version1 ? "10" : "1");
  }
}

TEST(Knob, OfAWeightIsOneWithTheGroupsBeingIdle) {
  for (const Cgroups cgroups : {Cgroups::version1, Cgroups::version2}) {
    FakeHost host(cgroups);
    host.add_group("/a");
    const std::string folder = cgroups == Cgroups::version1 ? "cpu/a/" : "a/";
    const std::string file = folder + (cgroups == Cgroups::version1 ? "cpu.shares" : "cpu.weight");
    const auto knob = knob_for(Kind::weight, group("/a"), host.roots(), host.roots().mounts());
    ASSERT_TRUE(knob);
    const std::string before = host.value(file);
    EXPECT_EQ((*knob)->read().value(), before);
    ASSERT_TRUE((*knob)->write("idle"));
    EXPECT_EQ(host.value(folder + "cpu.idle"), "1");
    EXPECT_EQ((*knob)->read().value(), "idle");
    ASSERT_TRUE((*knob)->write("512"));
    EXPECT_EQ(host.value(folder + "cpu.idle"), "0");
    EXPECT_EQ((*knob)->read().value(), "512");
    EXPECT_TRUE(is_left_of(host.file(file), "idle", before));
    EXPECT_FALSE(is_left_of(host.file(file), "idle", "512"));
    EXPECT_FALSE(is_left_of(host.file(file), "10", before));
  }
}

TEST(Value, OfAFreeze) {
  FakeHost one(Cgroups::version1);
  one.add_group("/a");
  EXPECT_EQ(value_of(one, test::freeze(), group("/a")), "FROZEN");
  FakeHost two(Cgroups::version2);
  two.add_group("/a");
  EXPECT_EQ(value_of(two, test::freeze(), group("/a")), "1");
}

TEST(Knob, OfTheFreezerIsTheGroupsOwnStateNotThatOfOneAbove) {
  FakeHost host(Cgroups::version1);
  host.add_group("/a");
  host.set("freezer/a/freezer.state", "FROZEN");
  auto knob = knob_for(Kind::freeze, group("/a"), host.roots(), host.roots().mounts());
  ASSERT_TRUE(knob);
  EXPECT_EQ((*knob)->read().value(), "THAWED");
  host.set("freezer/a/freezer.self_freezing", "1");
  EXPECT_EQ((*knob)->read().value(), "FROZEN");
}

TEST(Knob, IsHeldWhileItsFolderIsMadeAnew) {
  FakeHost host(Cgroups::version2);
  host.add_group("/a");
  auto knob = knob_for(Kind::weight, group("/a"), host.roots(), host.roots().mounts());
  ASSERT_TRUE(knob);
  std::filesystem::remove_all(host.file("a"));
  host.add_group("/a");
  EXPECT_FALSE((*knob)->write("7"));
  EXPECT_EQ(host.value("a/cpu.weight"), "100");
}

TEST(Knob, WhatAJournalMayName) {
  const HostRoots roots;
  EXPECT_TRUE(is_knob("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", roots));
  EXPECT_TRUE(is_knob("/sys/fs/cgroup/a/cgroup.freeze", roots));
  for (const char* path : {"/etc/passwd", "/etc/cpu.max", "/sys/fs/cgroup/../../../etc/cpu.max", "/sys/fs/cgroup/a/x",
                           "sys/fs/cgroup/a/cpu.max", "", "/sys/fs/cgroup2/cpu.max", "/sys/fs/cgroup/a/cgroup.procs"})
    EXPECT_FALSE(is_knob(path, roots)) << path;
}

TEST(Members, AreThoseOfAllGroupsBelow) {
  FakeHost host(Cgroups::version2);
  host.add_group("/a", {10, 11});
  host.add_group("/a/b", {12});
  host.add_group("/a/b/c", {13});
  EXPECT_EQ(processes_below(host.file("a")).value(), (std::vector<Pid>{10, 11, 12, 13}));
  host.add_group("/a/b", {0});
  EXPECT_NE(processes_below(host.file("a")).error().text().find("cannot be seen"), std::string::npos);
  std::filesystem::remove(host.file("a/b/cgroup.procs"));
  EXPECT_FALSE(processes_below(host.file("a"))) << "who is there cannot be told";
  EXPECT_FALSE(processes_below(host.file("z")));
}

TEST(Members, AProcessIsAloneWithItsDescendants) {
  FakeHost host;
  host.add({.pid = 10, .parent = 1});
  host.add({.pid = 11, .parent = 10});
  host.add({.pid = 12, .parent = 11});
  host.add({.pid = 20, .parent = 1});
  const auto problem = [&](const std::vector<Pid>& members) {
    const auto status = check_alone(10, members, host.roots());
    return status ? "" : status.error().cause;
  };
  EXPECT_EQ(problem({10}), "");
  EXPECT_EQ(problem({12, 11, 10}), "");
  EXPECT_EQ(problem({10, 99}), "") << "ended since the list was read";
  EXPECT_EQ(problem({10, 20}), "process 10 shares its cgroup with process 20");
  EXPECT_EQ(problem({11, 12}), "process 10 is not in the cgroup any more");
  host.add({.pid = 12, .parent = 98});
  EXPECT_EQ(problem({10, 12}), "process 10 shares its cgroup with process 12") << "whose descent cannot be told";
}

}  // namespace
}  // namespace inferscope::act
