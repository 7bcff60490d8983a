// SPDX-License-Identifier: Apache-2.0
#include "store/audit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/proc_stat.h"
#include "tests/support/temp_folder.h"

namespace inferscope::store {
namespace {

Audit open(const std::filesystem::path& file) {
  auto audit = Audit::open(file);
  if (!audit) throw std::runtime_error(audit.error().text());
  return std::move(audit).value();
}

std::string three_lines(const test::TempFolder& folder) {
  const auto file = folder.path() / "audit";
  Audit audit = open(file);
  EXPECT_TRUE(audit.append(5, R"({"text":"one"})"));
  EXPECT_TRUE(audit.append(6, R"({"text":"two"})"));
  EXPECT_TRUE(audit.append(7, R"({"text":"three"})"));
  return proc::read_text(file);
}

TEST(Audit, GoesOnOverARestart) {
  const test::TempFolder folder;
  three_lines(folder);
  {
    Audit audit = open(folder.path() / "audit");
    EXPECT_TRUE(audit.warnings().empty());
    EXPECT_TRUE(audit.append(8, "{}"));
  }
  const auto verdict = Audit::verify(folder.path() / "audit");
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->lines, 4u);
  EXPECT_EQ(verdict->bad_line, 0u);
  EXPECT_EQ(verdict->last_hash.size(), 64u);
}

/// No byte can be another one, and no line can be missing, without it being told.
TEST(Audit, EveryChangedByteIsSeen) {
  const test::TempFolder folder;
  const std::string text = three_lines(folder);
  ASSERT_EQ(Audit::verify_text(text).bad_line, 0u);
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = changed[at] == 'x' ? 'y' : 'x';
    EXPECT_NE(Audit::verify_text(changed).bad_line, 0u) << "byte " << at;
    std::string without = text;
    without.erase(at, 1);
    EXPECT_NE(Audit::verify_text(without).bad_line, 0u) << "byte " << at;
  }
}

TEST(Audit, MissingDoubledAndSwappedLinesAreSeen) {
  const test::TempFolder folder;
  const std::string text = three_lines(folder);
  const auto first = text.find('\n') + 1, second = text.find('\n', first) + 1;
  const std::string a = text.substr(0, first), b = text.substr(first, second - first), c = text.substr(second);
  EXPECT_EQ(Audit::verify_text(b + c).bad_line, 1u);
  EXPECT_EQ(Audit::verify_text(a + c).bad_line, 2u);
  EXPECT_EQ(Audit::verify_text(a + a + b + c).bad_line, 2u);
  EXPECT_EQ(Audit::verify_text(a + c + b).bad_line, 2u);
  EXPECT_EQ(Audit::verify_text("").lines, 0u);
  EXPECT_EQ(Audit::verify_text("\n").bad_line, 1u);
}

TEST(Audit, OneThatDoesNotVerifyIsSetAsideAndSaidInTheNext) {
  const test::TempFolder folder;
  std::string text = three_lines(folder);
  text[text.size() - 3] = 'X';
  folder.write("audit", text);
  Audit audit = open(folder.path() / "audit");
  ASSERT_EQ(audit.warnings().size(), 1u);
  EXPECT_NE(audit.warnings()[0].find("line 3"), std::string::npos);
  EXPECT_EQ(proc::read_text(folder.path() / "audit.damaged.1"), text);
  EXPECT_EQ(Audit::verify(folder.path() / "audit")->lines, 1u);
  EXPECT_NE(proc::read_text(folder.path() / "audit").find("audit.damaged.1"), std::string::npos);
}

TEST(Audit, AFileThatCannotBeReadIsAnError) {
  EXPECT_FALSE(Audit::verify("/nonexistent/audit"));
  EXPECT_FALSE(Audit::open("/nonexistent/audit"));
}

}  // namespace
}  // namespace inferscope::store
