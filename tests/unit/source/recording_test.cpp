// SPDX-License-Identifier: Apache-2.0
#include "source/recording.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <chrono>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/event_text.h"
#include "tests/support/script.h"
#include "tests/support/temp_folder.h"

namespace inferscope::source {
namespace {

using test::Script;
using Texts = std::vector<std::string>;

Texts texts_of(const std::vector<Event>& events) {
  Texts texts;
  for (const Event& event : events) texts.push_back(test::text_of(event));
  return texts;
}

const RecordingInfo info{.created_unix_ns = 1'700'000'000'000'000'000,
                         .agent_version = "0.1.0",
                         .kernel = "6.1.0 x86_64",
                         .content_kept = true,
                         .capabilities = {{"socket", true, ""}, {"uring", false, "refused: \xff"}}};

std::string record(const std::vector<Event>& events) {
  const test::TempFolder folder;
  const std::string path = folder.file("recording");
  auto writer = RecordingWriter::create(path, info);
  EXPECT_TRUE(writer) << writer.error().text();
  for (const Event& event : events) EXPECT_TRUE((*writer)->write(event));
  EXPECT_TRUE((*writer)->finish());
  EXPECT_EQ((*writer)->events(), events.size());
  std::string bytes = test::read_file(path);
  EXPECT_EQ((*writer)->bytes(), bytes.size());
  return bytes;
}

struct Replayed {
  bool opened = false;
  std::string problem{};  ///< empty: came to its end
  Texts events{};
};

Replayed replay(std::string bytes) {
  Replayed result;
  auto reader = RecordingReader::from_bytes(std::move(bytes));
  if (!reader) {
    result.problem = reader.error().text();
    return result;
  }
  result.opened = true;
  while (!(*reader)->finished()) {
    const auto status = (*reader)->poll(
        Duration::zero(), [&result](const Event& event) { result.events.push_back(test::text_of(event)); });
    if (!status) result.problem = status.error().text();
  }
  return result;
}

/// What threads and GPUs did, each field of it another value.
void put_work(Script& script) {
  const auto at = [](int ms) { return Time{std::chrono::milliseconds(ms)}; };
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  script
      .put(ThreadRun{.pid = 1,
                     .tid = 2,
                     .ending = ThreadRun::Ending::exited,
                     .wait = ThreadRun::Wait::other,
                     .slept = at(-3),
                     .woken = at(4),
                     .begin = at(5),
                     .end = at(6),
                     .waker_pid = 7,
                     .waker_tid = 8,
                     .ran = Duration{9},
                     .delayed = Duration::max(),
                     .sleeps = 10,
                     .slept_in_between = Duration{11},
                     .preemptions = 12,
                     .migrations = 13,
                     .minor_faults = most,
                     .major_faults = 14,
                     .longest_delay = ThreadRun::Delay{at(15), at(16), 17, "ho\xc3"}})
      .put(ThreadRun{.pid = 1})
      .put(MemoryReclaim{.pid = 1, .tid = 2, .of_cgroup = true, .begin = at(3), .end = at(4), .pages = most})
      .put(DiskUse{.pid = 1,
                   .reads = 2,
                   .writes = 3,
                   .read_bytes = most,
                   .written_bytes = 4,
                   .time = Duration{5},
                   .longest = Duration{6}})
      .put(Retransmit{.connection = most, .pid = 2})
      .put(SendStall{.connection = most, .pid = 2, .begin = at(3), .end = at(4)})
      .put(GpuWork{.api = GpuApi::opencl,
                   .pid = 1,
                   .tid = 2,
                   .ending = GpuWork::Ending::graph,
                   .begin = at(3),
                   .wait_begin = at(4),
                   .end = at(5),
                   .launches = 6,
                   .graphs = 7,
                   .copies = 8,
                   .collectives = 9,
                   .copied_bytes = most,
                   .longest_gap = Duration{10},
                   .result = -11})
      .put(GpuCall{.api = GpuApi::hip,
                   .pid = 1,
                   .tid = 2,
                   .function = "f\xff",
                   .kernel = "k\x80",
                   .grid = {3, 4, 5},
                   .block = {6, 7, 8},
                   .stream = most,
                   .one_of = 9})
      .put(GpuFailure{.api = GpuApi::nccl,
                      .pid = 1,
                      .tid = 2,
                      .function = "f",
                      .kind = GpuFailure::Kind::other,
                      .result = std::numeric_limits<std::int32_t>::min()})
      .put(GpuMemory{.api = GpuApi::cuda, .pid = 1, .bytes = most, .peak_bytes = most, .allocations = 2, .frees = 3})
      .put(ProbeLevel{.pid = 1, .level = ProbeLevel::Level::off, .threads = false, .cost = 0.25})
      .put(GpuDriverUse{.driver = GpuDriverUse::Driver::drm,
                        .pid = 1,
                        .calls = 2,
                        .failed = 3,
                        .time = Duration{4},
                        .longest = Duration{5},
                        .jobs = most,
                        .queued = Duration{6},
                        .running = Duration{7}});
}

/// Every kind of event, with the ends of each number's range and with bytes that are not UTF-8.
Script every_kind() {
  Script script;
  script.clock(std::numeric_limits<std::int64_t>::min())
      .started({.pid = std::numeric_limits<Pid>::max(),
                .parent = -1,
                .start_time_ns = std::numeric_limits<std::uint64_t>::max(),
                .name = "na\xc3",  // a comm cut in the middle of a character
                .executable = "/opt/\xff\xfe server",
                .command_line = std::string("a\0b \x80", 6),
                .reason = "named"})
      .exited(7, -1, 9)
      .lost("event ring full \xf0", std::numeric_limits<std::uint64_t>::max());
  auto stream = script.open({.id = std::numeric_limits<ConnectionId>::max(),
                             .pid = 3,
                             .fd = -1,
                             .role = Role::client,
                             .local = {Family::unix_stream, std::string("@a\0\xff", 4), 0},
                             .remote = {Family::ipv6, "fe80::1", 65535},
                             .socket_inode = 5,
                             .peer_inode = std::numeric_limits<std::uint64_t>::max(),
                             .mid_stream = true});
  stream.received(std::string("\0\x80\xff{}", 5))
      .cut(Direction::sent, "head", 5000, "tail")
      .cut(Direction::sent, "", std::numeric_limits<std::uint64_t>::max(), "", Transfer::Cut::fault)
      .half_closed(Direction::sent)
      .closed(ConnectionClosed::Reason::forgotten);
  put_work(script);
  return script;
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

std::string number(std::uint32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string compress(std::string_view plain) {
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 3));
  return packed;
}

std::string frame(char kind, std::string_view packed, std::uint32_t plain_size) {
  return kind + number(static_cast<std::uint32_t>(packed.size())) + number(plain_size) + number(checksum(packed)) +
         std::string(packed);
}

/// Magic, version and an empty header.
std::string beginning() {
  return "IFSCREC\n" + number(recording_version) + frame('H', compress(""), 0);
}

TEST(Recording, EveryKindOfEventComesBackAsItWas) {
  const Script script = every_kind();
  const Replayed replayed = replay(record(script.events()));
  EXPECT_EQ(replayed.problem, "");
  EXPECT_EQ(replayed.events, texts_of(script.events()));
}

TEST(Recording, TellsHowItWasMade) {
  const auto reader = RecordingReader::from_bytes(record({}));
  ASSERT_TRUE(reader) << reader.error().text();
  const RecordingInfo& read = (*reader)->info();
  EXPECT_EQ(read.created_unix_ns, info.created_unix_ns);
  EXPECT_EQ(read.agent_version, info.agent_version);
  EXPECT_EQ(read.kernel, info.kernel);
  EXPECT_TRUE(read.content_kept);
  ASSERT_EQ(read.capabilities.size(), 2u);
  EXPECT_EQ(read.capabilities[1].name, "uring");
  EXPECT_FALSE(read.capabilities[1].active);
  EXPECT_EQ(read.capabilities[1].problem, "refused: \xff");
}

TEST(Recording, OfNothingIsWhole) {
  const Replayed replayed = replay(record({}));
  EXPECT_EQ(replayed.problem, "");
  EXPECT_TRUE(replayed.events.empty());
}

TEST(Recording, NowIsTheLastEvent) {
  const Script script = every_kind();
  auto reader = RecordingReader::from_bytes(record(script.events()));
  ASSERT_TRUE(reader);
  ASSERT_TRUE((*reader)->poll(Duration::zero(), [](const Event&) {}));
  EXPECT_EQ((*reader)->now(), script.now());
}

TEST(Recording, ManyBlocks) {
  Script script;
  auto stream = script.open();
  for (int i = 0; i < 40; ++i) stream.sent(std::string(16384, static_cast<char>('a' + i % 26)));
  const std::string bytes = record(script.events());
  auto reader = RecordingReader::from_bytes(bytes);
  ASSERT_TRUE(reader);
  std::size_t first_poll = 0;
  ASSERT_TRUE((*reader)->poll(Duration::zero(), [&first_poll](const Event&) { ++first_poll; }));
  EXPECT_GT(first_poll, 0u);
  EXPECT_LT(first_poll, script.events().size()) << "one block a poll";
  EXPECT_EQ(replay(bytes).events, texts_of(script.events()));
}

TEST(Recording, CutAnywhereGivesWhatStandsBeforeAndAnError) {
  Script script;
  auto stream = script.open();
  for (int i = 0; i < 20; ++i) stream.sent(std::string(16384, 'x'));
  stream.closed();
  const std::string whole = record(script.events());
  const Texts all = texts_of(script.events());
  std::size_t most = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Replayed replayed = replay(whole.substr(0, size));
    EXPECT_NE(replayed.problem, "") << "cut at " << size;
    ASSERT_LE(replayed.events.size(), all.size());
    EXPECT_TRUE(std::equal(replayed.events.begin(), replayed.events.end(), all.begin())) << "cut at " << size;
    EXPECT_GE(replayed.events.size(), most) << "more bytes, fewer events, at " << size;
    most = replayed.events.size();
  }
  EXPECT_EQ(most, all.size()) << "only the end frame is missing";
}

TEST(Recording, EverySingleFlipIsNoticed) {
  const std::string whole = record(every_kind().events());
  const Texts all = replay(whole).events;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const unsigned flip : {0x01u, 0x02u, 0x04u, 0x08u, 0x10u, 0x20u, 0x40u, 0x80u, 0xffu}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(static_cast<unsigned char>(damaged[at]) ^ flip);
      const Replayed replayed = replay(std::move(damaged));
      EXPECT_NE(replayed.problem, "") << "byte " << at << " flipped by " << flip;
      EXPECT_TRUE(replayed.events.empty() || replayed.events == all) << "byte " << at << " flipped by " << flip;
    }
  }
}

TEST(Recording, OfAnotherVersionNamesBoth) {
  std::string bytes = record({});
  bytes[8] = 9;
  const auto reader = RecordingReader::from_bytes(bytes);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().kind, Error::Kind::usage);
  EXPECT_NE(reader.error().cause.find("version 9"), std::string::npos) << reader.error().cause;
  EXPECT_NE(reader.error().cause.find("reads 1"), std::string::npos) << reader.error().cause;
}

TEST(Recording, WhatIsNoneIsRefused) {
  for (const std::string& bytes : {std::string(), std::string("IFSCREC"), std::string("IFSCREC\n"),
                                   std::string("GET / HTTP/1.1\r\n\r\n"), std::string(4096, '\0')}) {
    const auto reader = RecordingReader::from_bytes(bytes);
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().kind, Error::Kind::usage);
  }
}

TEST(Recording, ImpossibleSizesTakeNoMemory) {
  const std::string packed = compress("");
  EXPECT_FALSE(RecordingReader::from_bytes("IFSCREC\n" + number(recording_version) + frame('H', packed, 0xffffffff)));
  const Replayed claims_more = replay(beginning() + frame('B', packed, 0xffffffff));
  EXPECT_TRUE(claims_more.opened);
  EXPECT_NE(claims_more.problem.find("impossible size"), std::string::npos) << claims_more.problem;
  std::string too_long = frame('B', packed, 0);
  std::memset(too_long.data() + 1, 0xff, 4);  // a frame of 4 GiB in a file of some bytes
  EXPECT_NE(replay(beginning() + too_long).problem.find("cut"), std::string::npos);
}

TEST(Recording, CompressedContentMustBeOfItsClaimedSize) {
  const std::string zeros(1u << 20, '\0');
  EXPECT_NE(replay(beginning() + frame('B', compress(zeros), 100)).problem, "") << "more than claimed";
  EXPECT_NE(replay(beginning() + frame('B', compress("\x0a"), 100)).problem, "") << "less than claimed";
  EXPECT_NE(replay(beginning() + frame('B', "no zstd", 100)).problem, "");
}

TEST(Recording, UnreadableBlocksAndKindsAreErrors) {
  const auto with = [](char kind, std::string_view plain) {
    return replay(beginning() + frame(kind, compress(plain), static_cast<std::uint32_t>(plain.size()))).problem;
  };
  EXPECT_NE(with('B', "\xff\xff\xff"), "") << "no protobuf";
  EXPECT_NE(with('X', ""), "") << "an unknown frame";
  EXPECT_NE(with('B', std::string_view("\x0a\x00", 2)), "") << "an event without a kind";
  EXPECT_NE(with('B', std::string_view("\x0a\x06\x2a\x04\x08\x01\x10\x02", 8)), "") << "half-close of direction 2";
  // A transfer of length 0 with one byte of content.
  EXPECT_NE(with('B', std::string_view("\x0a\x05\x3a\x03\x5a\x01x", 7)), "");
  EXPECT_EQ(with('E', ""), "");
}

TEST(Recording, NothingMayStandBehindTheEnd) {
  const Script script = every_kind();
  const Replayed replayed = replay(record(script.events()) + "x");
  EXPECT_EQ(replayed.events.size(), script.events().size());
  EXPECT_NE(replayed.problem.find("behind its end"), std::string::npos) << replayed.problem;
}

TEST(Recording, UnfinishedOneKeepsItsBlocks) {
  const test::TempFolder folder;
  Script script;
  auto stream = script.open();
  for (int i = 0; i < 20; ++i) stream.sent(std::string(16384, 'x'));
  {
    auto writer = RecordingWriter::create(folder.file("cut"), info);
    ASSERT_TRUE(writer);
    for (const Event& event : script.events()) ASSERT_TRUE((*writer)->write(event));
  }
  const Replayed replayed = replay(test::read_file(folder.file("cut")));
  EXPECT_GT(replayed.events.size(), 10u);
  EXPECT_NE(replayed.problem.find("end is missing"), std::string::npos) << replayed.problem;
}

TEST(Recording, OnlyItsOwnerMayReadTheFile) {
  const test::TempFolder folder;
  ASSERT_TRUE(RecordingWriter::create(folder.file("private"), info));
  struct stat status {};
  ASSERT_EQ(stat(folder.file("private").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
}

TEST(Recording, WritingSaysWhatFails) {
  const auto nowhere = RecordingWriter::create("/nonexistent/folder/recording", info);
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().kind, Error::Kind::usage);
  auto full = RecordingWriter::create("/dev/full", info);
  ASSERT_TRUE(full) << "its beginning is still buffered";
  Script script;
  auto stream = script.open();
  for (int i = 0; i < 20; ++i) stream.sent(std::string(16384, 'x'));
  Status status = success();
  for (const Event& event : script.events())
    if (status) status = (*full)->write(event);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().text().find("disk full"), std::string::npos) << status.error().text();
}

TEST(Recording, MissingFileIsAUsageError) {
  const auto reader = RecordingReader::open("/nonexistent/recording");
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().kind, Error::Kind::usage);
}

TEST(Recording, RealTimeWaitsForEachEvent) {
  const test::TempFolder folder;
  Script script;
  script.step(std::chrono::milliseconds(20)).lost("a", 1).lost("b", 1).lost("c", 1);
  folder.write("recording", record(script.events()));
  auto reader = RecordingReader::open(folder.file("recording"), ReplaySpeed::real_time);
  ASSERT_TRUE(reader);
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Duration> at;
  std::size_t polls = 0;
  for (; !(*reader)->finished(); ++polls)
    ASSERT_TRUE((*reader)->poll(std::chrono::milliseconds(5), [&](const Event&) {
      at.push_back(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - begin));
    }));
  ASSERT_EQ(at.size(), 3u);
  // From the beginning, not from the first: on a busy machine that may be seen late.
  EXPECT_GE(at[1], std::chrono::milliseconds(20));
  EXPECT_GE(at[2], std::chrono::milliseconds(40));
  EXPECT_GT(polls, 4u) << "a poll lasts no longer than it may";
}

TEST(Recording, RealTimeOfImpossibleTimesDoesNotOverflow) {
  const test::TempFolder folder;
  Script script;
  std::vector<Event> events;
  events.push_back({Time{Duration::min()}, ClockSet{1}});
  events.push_back({Time{Duration::max()}, ClockSet{2}});
  folder.write("recording", record(events));
  auto reader = RecordingReader::open(folder.file("recording"), ReplaySpeed::real_time);
  ASSERT_TRUE(reader);
  std::size_t seen = 0;
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE((*reader)->poll(std::chrono::milliseconds(1), [&seen](const Event&) { ++seen; }));
  EXPECT_EQ(seen, 1u);
  EXPECT_FALSE((*reader)->finished());
}

}  // namespace
}  // namespace inferscope::source
