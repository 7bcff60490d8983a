// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "model/attributes.h"
#include "tests/support/temp_folder.h"

namespace inferscope::store {
namespace {

Record record(const std::string& id, std::int64_t time, bool open = false,
              std::string_view event = "inferscope.finding") {
  Record one{.event = event, .id = id, .finding = id, .open = open, .unix_ns = time, .text = "text of " + id};
  one.attributes.push_back({attribute::finding_state, std::string(open ? "open" : "over")});
  return one;
}

std::unique_ptr<Store> open(const Options& options) {
  auto store = Store::open(options);
  if (!store) throw std::runtime_error(store.error().text());
  return std::move(store).value();
}

TEST(Store, KeepsTheNewestStateOfEachRecordOverARestart) {
  const test::TempFolder folder;
  {
    auto store = open({.folder = folder.path()});
    EXPECT_TRUE(store->put(record("a1", 1, true)));
    EXPECT_TRUE(store->put(record("b2", 2)));
    EXPECT_TRUE(store->put(record("a1", 3)));
    EXPECT_TRUE(store->put(record("a1", 4, false, "inferscope.effect")));
  }
  const auto store = open({.folder = folder.path()});
  EXPECT_TRUE(store->warnings().empty());
  const auto findings = store->find({.event = "inferscope.finding"});
  ASSERT_TRUE(findings);
  ASSERT_EQ(findings->size(), 2u);
  EXPECT_NE(findings.value()[0].find("text of b2"), std::string::npos) << "oldest first";
  EXPECT_NE(findings.value()[1].find("\"time_unix_nano\":3"), std::string::npos);
  EXPECT_EQ(store->find({})->size(), 3u);
}

TEST(Store, FindsByIdFindingAndState) {
  const test::TempFolder folder;
  const auto store = open({.folder = folder.path()});
  (void)store->put(record("ab1", 1, true));
  (void)store->put(record("ab2", 2));
  (void)store->put(record("%", 3));
  EXPECT_EQ(store->find({.id = "ab"})->size(), 2u);
  EXPECT_EQ(store->find({.id = "%"})->size(), 1u) << "a pattern's letters are meant as they are";
  EXPECT_EQ(store->find({.id = "_"})->size(), 0u);
  EXPECT_EQ(store->find({.finding = "ab2"})->size(), 1u);
  EXPECT_EQ(store->find({.open_only = true})->size(), 1u);
  EXPECT_EQ(store->find({.last = 1})->size(), 1u);
  EXPECT_EQ(store->find({.event = "' OR 1=1 --"})->size(), 0u);
}

TEST(Store, WhatWasLeftOpenIsLostSightOf) {
  const test::TempFolder folder;
  const auto store = open({.folder = folder.path()});
  (void)store->put(record("a", 1, true));
  EXPECT_TRUE(store->close_left_open());
  EXPECT_TRUE(store->find({.open_only = true})->empty());
  EXPECT_NE(store->find({})->front().find("lost sight of"), std::string::npos);
}

TEST(Store, IsBoundedAndKeepsWhatIsOpen) {
  const test::TempFolder folder;
  const auto store = open({.folder = folder.path(), .rows_kept = 100});
  (void)store->put(record("open", 0, true));
  for (int i = 1; i <= 1100; ++i) (void)store->put(record(fmt::format("{:05}", i), i));
  const auto left = store->find({.last = 10'000});
  EXPECT_LE(left->size(), 100u + 256u + 2u);
  EXPECT_NE(left->front().find("text of open"), std::string::npos);
  EXPECT_NE(left->back().find("text of 01100"), std::string::npos);
}

TEST(Store, ADamagedDatabaseIsSetAside) {
  const test::TempFolder folder;
  folder.write("inferscope.db", std::string(8192, 'x'));
  const auto store = open({.folder = folder.path()});
  ASSERT_EQ(store->warnings().size(), 1u);
  EXPECT_NE(store->warnings()[0].find("inferscope.db.damaged.1"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "inferscope.db.damaged.1"));
  EXPECT_TRUE(store->put(record("a", 1)));
  EXPECT_EQ(store->find({})->size(), 1u);
}

TEST(Store, AFolderThatCannotBeMadeIsAnError) {
  const test::TempFolder folder;
  folder.write("file", "");
  const auto store = Store::open({.folder = folder.path() / "file" / "below"});
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().text().find("state.folder"), std::string::npos);
}

}  // namespace
}  // namespace inferscope::store
