// SPDX-License-Identifier: Apache-2.0
#include "act/guard.h"

#include <gtest/gtest.h>

#include "act/journal_record.h"
#include "tests/unit/act/some_lease.h"

namespace inferscope::act {
namespace {

using test::FakeHost;

struct Guarding : testing::Test {
  FakeHost host{FakeHost::Cgroups::version2};
  Guard guard{host.roots()};

  void SetUp() override { host.add_group("/a"); }
  Lease throttled(int number, const std::string& earlier, const std::string& written) {
    Lease lease = test::some_lease(number);
    lease.boot_id = read_boot_id(host.roots()).value();
    lease.folder_inode = host.inode("a");
    lease.effect.where = host.file("a/cpu.max");
    lease.effect.earlier = earlier;
    lease.effect.written = written;
    host.set("a/cpu.max", written);
    guard.on(encode({Record::Kind::intent, lease}));
    return lease;
  }
};

TEST_F(Guarding, UndoesWhatIsHeldTheNewestFirst) {
  throttled(1, "max 100000", "50000 100000");
  throttled(2, "50000 100000", "20000 100000");
  EXPECT_EQ(guard.held().size(), 2u);
  EXPECT_TRUE(guard.undo_all());
  EXPECT_EQ(host.value("a/cpu.max"), "max 100000");
  EXPECT_TRUE(guard.held().empty());
}

TEST_F(Guarding, ForgetsWhatTheAgentUndid) {
  const Lease lease = throttled(1, "max 100000", "50000 100000");
  guard.on(encode({Record::Kind::done, lease}));
  EXPECT_EQ(guard.held().size(), 1u);
  guard.on(encode({Record::Kind::undone, lease}));
  EXPECT_TRUE(guard.held().empty());
  EXPECT_TRUE(guard.undo_all());
  EXPECT_EQ(host.value("a/cpu.max"), "50000 100000");
}

TEST_F(Guarding, IsToldOfChanges) {
  Lease lease = throttled(1, "50000 100000", "20000 100000");
  lease.effect.earlier = "max 100000";
  guard.on(encode({Record::Kind::intent, lease}));
  EXPECT_TRUE(guard.undo_all());
  EXPECT_EQ(host.value("a/cpu.max"), "max 100000");
}

TEST_F(Guarding, AnAgentThatHangsDoesNotKeepALeaseForEver) {
  throttled(1, "max 100000", "20000 100000");
  guard.tick(test::at(130));
  EXPECT_EQ(guard.held().size(), 1u) << "the agent gets time to end it itself";
  guard.tick(test::at(140));
  EXPECT_TRUE(guard.held().empty());
  EXPECT_EQ(host.value("a/cpu.max"), "max 100000");
}

TEST_F(Guarding, WhatFailsIsTriedAgain) {
  throttled(1, "max 100000", "20000 100000");
  std::filesystem::remove(host.file("a/cpu.max"));
  EXPECT_FALSE(guard.undo_all());
  host.set("a/cpu.max", "20000 100000");
  EXPECT_TRUE(guard.undo_all());
  EXPECT_EQ(host.value("a/cpu.max"), "max 100000");
}

TEST_F(Guarding, WhatIsNoRecordChangesNothing) {
  for (const char* message : {"", "ready", "{}", "{\"record\":\"intent\"}"}) guard.on(message);
  EXPECT_TRUE(guard.held().empty());
  EXPECT_FALSE(run_guard(host.roots(), 0)) << "not started by an agent";
}

}  // namespace
}  // namespace inferscope::act
