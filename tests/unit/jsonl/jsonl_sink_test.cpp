// SPDX-License-Identifier: Apache-2.0
#include "exporters/jsonl/jsonl_sink.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <sstream>

#include "model/trace_json.h"
#include "tests/support/temp_folder.h"
#include "tests/support/traces.h"

namespace inferscope::exporters {
namespace {

using std::chrono::seconds;

std::unique_ptr<Sink> sink_of(const JsonlOptions& options) {
  auto sink = make_jsonl_sink(options);
  if (!sink) throw std::runtime_error(sink.error().text());
  return std::move(sink).value();
}

void put(Sink& sink, int first, int last) {
  for (int i = first; i <= last; ++i) {
    sink.put(test::chat_trace(static_cast<std::uint8_t>(i)));
    EXPECT_TRUE(sink.stats().balanced());
  }
}

std::vector<std::string> lines_of(const std::string& path) {
  std::istringstream text(test::read_file(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(JsonlSink, OneLineForEachTrace) {
  const test::TempFolder folder;
  const auto sink = sink_of({.path = folder.file("traces.jsonl")});
  EXPECT_EQ(sink->name(), "jsonl");
  put(*sink, 1, 3);
  sink->shut_down(seconds(5));
  const auto lines = lines_of(folder.file("traces.jsonl"));
  ASSERT_EQ(lines.size(), 3u);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(lines[static_cast<std::size_t>(i)], to_json(test::chat_trace(static_cast<std::uint8_t>(i + 1))));
  const auto stats = sink->stats();
  EXPECT_EQ(stats.in, 3u);
  EXPECT_EQ(stats.out, 3u);
  EXPECT_EQ(stats.held, 0u);
}

TEST(JsonlSink, TokenTimesIfWanted) {
  const test::TempFolder folder;
  const auto sink = sink_of({.path = folder.file("t"), .token_times = true});
  put(*sink, 1, 1);
  sink->shut_down(seconds(5));
  EXPECT_EQ(lines_of(folder.file("t")).at(0), to_json(test::chat_trace(1), true));
}

TEST(JsonlSink, AppendsToWhatIsThere) {
  const test::TempFolder folder;
  for (int round = 1; round <= 2; ++round) {
    const auto sink = sink_of({.path = folder.file("t")});
    put(*sink, round, round);
    sink->shut_down(seconds(5));
  }
  EXPECT_EQ(lines_of(folder.file("t")).size(), 2u);
}

TEST(JsonlSink, OnlyItsOwnerMayReadTheFile) {
  const test::TempFolder folder;
  const auto sink = sink_of({.path = folder.file("t")});
  struct stat status {};
  ASSERT_EQ(stat(folder.file("t").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
}

TEST(JsonlSink, RotatesBetweenLines) {
  const test::TempFolder folder;
  const std::size_t line = to_json(test::chat_trace(1)).size() + 1;
  const auto sink = sink_of({.path = folder.file("t"), .rotate_bytes = 2 * line + line / 2});
  put(*sink, 1, 5);
  sink->shut_down(seconds(5));
  EXPECT_EQ(sink->stats().out, 5u);
  const auto older = lines_of(folder.file("t.1")), newer = lines_of(folder.file("t"));
  ASSERT_EQ(older.size(), 2u);
  ASSERT_EQ(newer.size(), 1u);
  EXPECT_EQ(older[1], to_json(test::chat_trace(4)));
  EXPECT_EQ(newer[0], to_json(test::chat_trace(5)));
}

TEST(JsonlSink, LineLargerThanTheLimitIsStillWritten) {
  const test::TempFolder folder;
  const auto sink = sink_of({.path = folder.file("t"), .rotate_bytes = 10});
  put(*sink, 1, 2);
  sink->shut_down(seconds(5));
  EXPECT_EQ(lines_of(folder.file("t.1")).size(), 1u);
  EXPECT_EQ(lines_of(folder.file("t")).size(), 1u);
}

TEST(JsonlSink, PathThatCannotBeWritten) {
  const auto sink = make_jsonl_sink({.path = "/nonexistent/folder/t"});
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().kind, Error::Kind::usage);
  EXPECT_NE(sink.error().cause.find("/nonexistent/folder/t"), std::string::npos);
}

TEST(JsonlSink, FullDiskIsCounted) {
  const auto sink = sink_of({.path = "/dev/full"});
  put(*sink, 1, 4);
  sink->shut_down(seconds(5));
  const auto stats = sink->stats();
  EXPECT_EQ(stats.out, 0u);
  EXPECT_EQ(stats.dropped.at("write failed"), 4u);
  EXPECT_TRUE(stats.balanced());
}

TEST(JsonlSink, FullQueueIsCounted) {
  const test::TempFolder folder;
  const auto sink = sink_of({.path = folder.file("t"), .queue_lines = 1});
  for (int i = 0; i < 2000; ++i) sink->put(test::chat_trace());
  sink->shut_down(seconds(5));
  const auto stats = sink->stats();
  EXPECT_EQ(stats.in, 2000u);
  EXPECT_EQ(stats.held, 0u);
  EXPECT_TRUE(stats.balanced());
  EXPECT_EQ(lines_of(folder.file("t")).size(), stats.out);
}

/// A disk that fills in the middle of a line, by way of the limit of a file's size.
TEST(JsonlSink, NoHalfLineStaysBehind) {
  const test::TempFolder folder;
  const std::size_t line = to_json(test::chat_trace(1)).size() + 1;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = line + line / 2, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto sink = sink_of({.path = folder.file("t")});
  put(*sink, 1, 3);
  sink->shut_down(seconds(5));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(sink->stats().out, 1u);
  EXPECT_EQ(sink->stats().dropped.at("write failed"), 2u);
  EXPECT_EQ(test::read_file(folder.file("t")).size(), line);
}

}  // namespace
}  // namespace inferscope::exporters
