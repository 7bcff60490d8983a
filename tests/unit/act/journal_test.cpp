// SPDX-License-Identifier: Apache-2.0
#include "act/journal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>

#include "tests/unit/act/some_lease.h"

namespace inferscope::act {
namespace {

using test::some_lease;

std::vector<std::string> ids(const std::vector<Lease>& leases) {
  std::vector<std::string> all;
  for (const Lease& lease : leases) all.push_back(lease.effect.id);
  return all;
}

struct JournalFile : testing::Test {
  test::TempFolder folder{};
  std::filesystem::path state = folder.path() / "state";
  std::filesystem::path file = state / "journal";

  std::unique_ptr<Journal> open() const {
    auto journal = Journal::open(state, Duration::zero());
    EXPECT_TRUE(journal) << (journal ? "" : journal.error().text());
    return journal ? std::move(journal).value() : nullptr;
  }
  void append(const std::string& text) const { std::ofstream(file, std::ios::app | std::ios::binary) << text; }
};

TEST(JournalRecord, IsReadAsItWasWritten) {
  for (const Record::Kind kind : {Record::Kind::intent, Record::Kind::done, Record::Kind::undone}) {
    const std::string line = encode({kind, some_lease(1)});
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto record = decode(line);
    ASSERT_TRUE(record) << line;
    EXPECT_EQ(record->kind, kind);
    EXPECT_EQ(encode(*record), line);
  }
  const Lease lease = decode(encode({Record::Kind::intent, some_lease(1)})).value().lease;
  EXPECT_EQ(lease.effect.decision.target, some_lease(1).effect.decision.target);
  EXPECT_EQ(lease.effect.decision.action, some_lease(1).effect.decision.action);
  EXPECT_EQ(lease.effect.lease_until, some_lease(1).effect.lease_until);
  EXPECT_EQ(lease.effect.state, Effect::State::active);
}

TEST(JournalRecord, ThatIsDamagedIsNone) {
  const std::string line = encode({Record::Kind::intent, some_lease(1)});
  for (std::size_t i = 0; i < line.size(); ++i) {
    std::string other = line;
    other[i] = static_cast<char>(other[i] ^ 1);
    EXPECT_FALSE(decode(other)) << i;
    EXPECT_FALSE(decode(line.substr(0, i))) << i;
  }
}

TEST_F(JournalFile, KeepsWhatIsOutstanding) {
  {
    const auto journal = open();
    for (int i = 1; i <= 3; ++i) ASSERT_TRUE(journal->intent(some_lease(i)));
    ASSERT_TRUE(journal->done(some_lease(1).effect.id));
    ASSERT_TRUE(journal->undone(some_lease(2).effect.id));
    Lease changed = some_lease(1);
    changed.effect.earlier = "another";
    ASSERT_TRUE(journal->intent(changed));
  }
  const auto journal = open();
  EXPECT_TRUE(journal->warnings().empty());
  EXPECT_EQ(ids(journal->outstanding()), (std::vector{some_lease(1).effect.id, some_lease(3).effect.id}));
  EXPECT_EQ(journal->outstanding()[0].effect.earlier, "another");
}

TEST_F(JournalFile, IsOfItsOwnerAlone) {
  open();
  EXPECT_EQ(std::filesystem::status(state).permissions(), std::filesystem::perms::owner_all);
  std::filesystem::permissions(state, std::filesystem::perms::all);
  const auto journal = Journal::open(state, Duration::zero());
  ASSERT_FALSE(journal);
  EXPECT_NE(journal.error().text().find("may be written to by others"), std::string::npos);
}

TEST_F(JournalFile, HasOneUserAtATime) {
  const auto journal = open();
  const auto second = Journal::open(state, std::chrono::milliseconds(10));
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().text().find("another inferscope uses"), std::string::npos);
}

TEST_F(JournalFile, ALineThatWasBeingWrittenIsNoDamage) {
  ASSERT_TRUE(open()->intent(some_lease(1)));
  append(encode({Record::Kind::intent, some_lease(2)}));
  const auto journal = open();
  EXPECT_EQ(ids(journal->outstanding()), std::vector{some_lease(1).effect.id}) << "2 was not yet done";
  EXPECT_TRUE(journal->warnings().empty());
  ASSERT_TRUE(journal->intent(some_lease(3)));
  EXPECT_EQ(read_journal(test::read_file(file)).outstanding.size(), 2u) << "and does not spoil the next one";
}

TEST_F(JournalFile, ThatIsDamagedIsSetAsideAndWhatCanBeReadCounts) {
  for (int round = 1; round <= 2; ++round) {
    ASSERT_TRUE(open()->intent(some_lease(round)));
    append("nonsense\n" + encode({Record::Kind::intent, some_lease(10 + round)}) + "\n");
    const auto journal = open();
    ASSERT_EQ(journal->warnings().size(), 1u);
    const auto aside = state / fmt::format("journal.corrupt.{}", round);
    EXPECT_NE(journal->warnings()[0].find(aside), std::string::npos) << journal->warnings()[0];
    EXPECT_NE(test::read_file(aside).find("nonsense"), std::string::npos);
    EXPECT_EQ(journal->outstanding().size(), static_cast<std::size_t>(2 * round));
  }
  EXPECT_TRUE(open()->warnings().empty()) << "the new one is whole";
}

TEST_F(JournalFile, ThatCannotBeReadIsSetAside) {
  open();
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  const auto journal = open();
  EXPECT_EQ(journal->warnings().size(), 1u);
  EXPECT_TRUE(journal->outstanding().empty());
  EXPECT_TRUE(journal->intent(some_lease(1)));
}

TEST_F(JournalFile, IsRewrittenWhenItGrows) {
  const auto journal = open();
  ASSERT_TRUE(journal->intent(some_lease(1)));
  for (int i = 2; i < 200; ++i) {
    ASSERT_TRUE(journal->intent(some_lease(i)));
    ASSERT_TRUE(journal->undone(some_lease(i).effect.id));
    ASSERT_LT(std::filesystem::file_size(file), 70'000u);
  }
  EXPECT_EQ(ids(read_journal(test::read_file(file)).outstanding), std::vector{some_lease(1).effect.id});
}

/// As on a full disk, the first part of a record may still find room.
TEST_F(JournalFile, WithoutRoomNothingIsNoted) {
  const auto journal = open();
  ASSERT_TRUE(journal->intent(some_lease(1)));
  const std::string before = test::read_file(file);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{before.size() + 100, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto refused = journal->intent(some_lease(2));
  setrlimit(RLIMIT_FSIZE, &limit);
  signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(refused);
  EXPECT_EQ(test::read_file(file), before);
  EXPECT_EQ(ids(journal->outstanding()), std::vector{some_lease(1).effect.id});
  EXPECT_TRUE(journal->intent(some_lease(3))) << "there is room again";
  EXPECT_EQ(read_journal(test::read_file(file)).outstanding.size(), 2u);
}

TEST_F(JournalFile, ARecordHasALimit) {
  Lease lease = some_lease(1);
  lease.effect.where.assign(record_limit, 'x');
  EXPECT_FALSE(open()->intent(lease));
}

}  // namespace
}  // namespace inferscope::act
