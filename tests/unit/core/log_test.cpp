// SPDX-License-Identifier: Apache-2.0
#include "core/log.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace inferscope::log {
namespace {

/// What `action` writes to standard error.
std::string written(const std::function<void()>& action) {
  testing::internal::CaptureStderr();
  action();
  return testing::internal::GetCapturedStderr();
}

/// The line without its time and level.
std::string text_line(std::string_view message, std::initializer_list<Field> fields) {
  const std::string line = written([&] { warn(message, fields); });
  const auto level = line.find(" warn");
  EXPECT_NE(level, std::string::npos) << line;
  EXPECT_TRUE(line.ends_with('\n'));
  const auto begin = line.find(message);
  return begin == std::string::npos ? line : line.substr(begin, line.size() - begin - 1);
}

class Log : public testing::Test {
 protected:
  void TearDown() override { configure(Level::info, false); }
};

TEST_F(Log, LevelsByName) {
  EXPECT_EQ(level_of("debug"), Level::debug);
  EXPECT_EQ(level_of("info"), Level::info);
  EXPECT_EQ(level_of("warn"), Level::warn);
  EXPECT_EQ(level_of("error"), Level::error);
  EXPECT_EQ(level_of("loud"), Level::info);
}

TEST_F(Log, WritesFromItsLevelUpwards) {
  configure(Level::warn, false);
  EXPECT_EQ(written([] { debug("no"); }), "");
  EXPECT_EQ(written([] { info("no"); }), "");
  EXPECT_NE(written([] { warn("yes"); }), "");
  EXPECT_NE(written([] { error("yes"); }), "");
  configure(Level::debug, false);
  EXPECT_NE(written([] { debug("yes"); }), "");
}

TEST_F(Log, FieldsAreQuotedWhereTheyMustBe) {
  configure(Level::info, false);
  EXPECT_EQ(text_line("watching", {{"pid", "42"}, {"name", "a b"}, {"why", ""}}),
            R"(watching pid=42 name="a b" why="")");
  EXPECT_EQ(text_line("x", {{"q", R"(say "hi" \ a=b)"}}), R"(x q="say \"hi\" \\ a=b")");
}

TEST_F(Log, FormatCharactersAreText) {
  EXPECT_EQ(text_line("100% {} {0} %v", {{"k", "{}%n"}}), "100% {} {0} %v k={}%n");
}

TEST_F(Log, NeitherTerminalNorNextLineCanBeReached) {
  const std::string line = text_line("named", {{"name", "a\n2026 error forged"}, {"comm", "\x1b[2J"}, {"d", "x\x7f"}});
  EXPECT_EQ(line, R"(named name="a\u000a2026 error forged" comm="\u001b[2J" d="x\u007f")");
}

TEST_F(Log, NoColourOffATerminal) {
  EXPECT_EQ(written([] { error("plain"); }).find('\x1b'), std::string::npos);
}

TEST_F(Log, JsonIsOneObjectALine) {
  configure(Level::info, true);
  const std::string line = written([] { info("he said \"hi\"", {{"name", "tab\there"}, {"n", "1"}}); });
  EXPECT_TRUE(line.starts_with("{\"time\":\"")) << line;
  EXPECT_TRUE(line.ends_with("}\n")) << line;
  EXPECT_NE(line.find(R"("level":"info","message":"he said \"hi\"","name":"tab\u0009here","n":"1"})"),
            std::string::npos)
      << line;
}

TEST_F(Log, JsonIsUtf8WhateverItIsGiven) {
  configure(Level::info, true);
  const std::string line = written([] {
    info("m", {{"good", "é€😀"}, {"bad", "a\xff\xc3(\xe2\x82z\xed\xa0\x80\xc0\xaf"}});
  });
  EXPECT_NE(line.find("\"good\":\"é€😀\""), std::string::npos) << line;
  EXPECT_NE(line.find(R"("bad":"a\ufffd\ufffd(\ufffd\ufffdz\ufffd\ufffd\ufffd\ufffd\ufffd")"), std::string::npos)
      << line;
}

TEST_F(Log, TextAgainAfterJson) {
  configure(Level::info, true);
  configure(Level::info, false);
  EXPECT_EQ(text_line("plain", {{"a", "b"}}), "plain a=b");
  EXPECT_EQ(written([] { warn("plain"); }).find('{'), std::string::npos);
}

TEST_F(Log, ManyThreadsWriteWholeLines) {
  configure(Level::info, false);
  const std::string text = written([] {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([] {
        for (int i = 0; i < 200; ++i) info("a line", {{"field", "value"}});
      });
    for (auto& thread : threads) thread.join();
  });
  std::size_t lines = 0;
  for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1, ++lines)
    EXPECT_TRUE(text.substr(at, end - at).ends_with("a line field=value"));
  EXPECT_EQ(lines, 800u);
}

}  // namespace
}  // namespace inferscope::log
