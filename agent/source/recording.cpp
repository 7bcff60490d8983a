// SPDX-License-Identifier: Apache-2.0
#include "source/recording.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>
#include <thread>

#include "core/fd.h"
#include "model/time_math.h"
#include "source/recording_codec.h"

namespace inferscope::source {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

constexpr std::string_view magic = "IFSCREC\n";
constexpr std::size_t block_bytes = 256u << 10;   // of events, before compression
constexpr std::uint32_t frame_limit = 64u << 20;  // before compression; a larger one is damage or an attack
constexpr int compression_level = 3;

enum FrameKind : char { frame_header = 'H', frame_block = 'B', frame_end = 'E' };

struct FrameHead {
  char kind = 0;
  std::uint32_t size = 0;
  std::uint32_t plain_size = 0;
  std::uint32_t crc = 0;
};
constexpr std::size_t frame_head_bytes = 13;

void append_number(std::string& out, std::uint32_t number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

std::uint32_t read_number(std::string_view bytes) {
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.data(), sizeof(number));
  return number;
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

Error damaged(std::string_view what) {
  return Error{fmt::format("the recording is damaged: {}", what), "what stands before the damage was used"};
}

struct ContextDeleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

struct RecordingWriter::Impl {
  std::string path{};
  std::unique_ptr<std::FILE, ContextDeleter> file{};
  std::unique_ptr<ZSTD_CCtx, ContextDeleter> context{ZSTD_createCCtx()};
  recording::Block block{};
  std::size_t pending = 0;
  std::string plain{};
  std::string packed{};
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;

  Status put(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), file.get()) != text.size())
      return Error{fmt::format("cannot write {}: {}", path, strerror(errno)), "is the disk full?"};
    bytes += text.size();
    return success();
  }

  Status put_frame(char kind) {
    packed.resize(ZSTD_compressBound(plain.size()));
    const std::size_t size =
        ZSTD_compressCCtx(context.get(), packed.data(), packed.size(), plain.data(), plain.size(), compression_level);
    if (ZSTD_isError(size)) return Error{fmt::format("compression failed: {}", ZSTD_getErrorName(size))};
    packed.resize(size);
    std::string head(1, kind);
    append_number(head, static_cast<std::uint32_t>(size));
    append_number(head, static_cast<std::uint32_t>(plain.size()));
    append_number(head, checksum(packed));
    if (auto status = put(head); !status) return status;
    return put(packed);
  }

  Status flush() {
    if (block.events_size() == 0) return success();
    block.SerializeToString(&plain);
    block.Clear();
    pending = 0;
    if (auto status = put_frame(frame_block); !status) return status;
    if (std::fflush(file.get()) != 0)
      return Error{fmt::format("cannot write {}: {}", path, strerror(errno)), "is the disk full?"};
    return success();
  }
};

Result<std::unique_ptr<RecordingWriter>> RecordingWriter::create(const std::string& path, const RecordingInfo& info) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  // Only its owner may read it: it may hold content.
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (fd) impl->file.reset(fdopen(fd.get(), "wb"));
  if (impl->file) fd.release();
  if (!impl->file)
    return Error{fmt::format("cannot create {}: {}", path, strerror(errno)), "choose a path that can be written",
                 Error::Kind::usage};
  recording::Header header;
  header.set_created_unix_ns(info.created_unix_ns);
  header.set_agent_version(info.agent_version);
  header.set_kernel(info.kernel);
  header.set_content_kept(info.content_kept);
  for (const auto& capability : info.capabilities) {
    auto& out = *header.add_capabilities();
    out.set_name(capability.name);
    out.set_active(capability.active);
    out.set_problem(capability.problem);
  }
  header.SerializeToString(&impl->plain);
  std::string start(magic);
  append_number(start, recording_version);
  if (auto status = impl->put(start); !status) return status.error();
  if (auto status = impl->put_frame(frame_header); !status) return status.error();
  return std::unique_ptr<RecordingWriter>(new RecordingWriter(std::move(impl)));
}

RecordingWriter::RecordingWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RecordingWriter::~RecordingWriter() = default;

Status RecordingWriter::write(const Event& event) {
  recording::Event& out = *impl_->block.add_events();
  encode(event, out);
  ++impl_->events;
  const auto* transfer = std::get_if<Transfer>(&event.body);
  impl_->pending += 64 + (transfer ? transfer->head.size() + transfer->tail.size() : 0);
  return impl_->pending >= block_bytes ? impl_->flush() : success();
}

Status RecordingWriter::finish() {
  if (auto status = impl_->flush(); !status) return status;
  impl_->plain.clear();
  if (auto status = impl_->put_frame(frame_end); !status) return status;
  if (std::fclose(impl_->file.release()) != 0)
    return Error{fmt::format("cannot write {}: {}", impl_->path, strerror(errno)), "is the disk full?"};
  return success();
}

std::uint64_t RecordingWriter::events() const {
  return impl_->events;
}
std::uint64_t RecordingWriter::bytes() const {
  return impl_->bytes;
}

struct RecordingReader::Impl {
  std::string bytes{};
  std::size_t at = 0;
  RecordingInfo info{};
  ReplaySpeed speed = ReplaySpeed::full;
  std::unique_ptr<ZSTD_DCtx, ContextDeleter> context{ZSTD_createDCtx()};
  std::string plain{};
  recording::Block block{};
  int next = 0;  ///< in block
  bool ended = false;
  Time last{};
  std::optional<std::chrono::steady_clock::time_point> begun{};
  Time first{};

  Result<char> read_frame();
  Status read_header();
  Status read_block();
  Status emit_next(const Emit<Event>& emit);
  [[nodiscard]] Duration until_due(Time time) const;
};

/// Decompresses the next frame into `plain`. Sizes are checked before memory is taken.
Result<char> RecordingReader::Impl::read_frame() {
  const std::string_view rest = std::string_view(bytes).substr(at);
  if (rest.size() < frame_head_bytes) return damaged("it was cut (its end is missing)");
  const FrameHead head{rest[0], read_number(rest.substr(1)), read_number(rest.substr(5)), read_number(rest.substr(9))};
  const std::string_view content = rest.substr(frame_head_bytes, head.size);
  if (content.size() != head.size) return damaged("it was cut in the middle of a block");
  if (head.plain_size > frame_limit) return damaged("a block claims an impossible size");
  if (checksum(content) != head.crc) return damaged("a block was altered (its checksum differs)");
  plain.resize(head.plain_size);
  const std::size_t size =
      ZSTD_decompressDCtx(context.get(), plain.data(), plain.size(), content.data(), content.size());
  if (ZSTD_isError(size) || size != head.plain_size) return damaged("a block cannot be decompressed");
  at += frame_head_bytes + head.size;
  return head.kind;
}

Status RecordingReader::Impl::read_header() {
  const std::size_t start = magic.size() + sizeof(std::uint32_t);
  if (bytes.size() < start || !std::string_view(bytes).starts_with(magic))
    return Error{"this is no inferscope recording", "recordings are made by 'inferscope record FILE'",
                 Error::Kind::usage};
  const std::uint32_t version = read_number(std::string_view(bytes).substr(magic.size()));
  if (version != recording_version)
    return Error{
        fmt::format("the recording has format version {}, this inferscope reads {}", version, recording_version),
        "replay it with the version that recorded it", Error::Kind::usage};
  at = start;
  const auto kind = read_frame();
  if (!kind) return kind.error();
  recording::Header header;
  if (*kind != frame_header || !header.ParseFromString(plain)) return damaged("its header is not readable");
  info = {.created_unix_ns = header.created_unix_ns(),
          .agent_version = header.agent_version(),
          .kernel = header.kernel(),
          .content_kept = header.content_kept()};
  for (const auto& capability : header.capabilities())
    info.capabilities.push_back({capability.name(), capability.active(), capability.problem()});
  return success();
}

Status RecordingReader::Impl::read_block() {
  const auto kind = read_frame();
  if (!kind) return kind.error();
  next = 0;
  block.Clear();
  if (*kind == frame_end) {
    ended = true;
    if (at != bytes.size()) return damaged("something stands behind its end");
    return success();
  }
  if (*kind != frame_block || !block.ParseFromString(plain)) return damaged("a block is not readable");
  return success();
}

Duration RecordingReader::Impl::until_due(Time time) const {
  if (speed == ReplaySpeed::full || !begun) return Duration::zero();
  const auto passed = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - *begun);
  return Duration{saturating_add(elapsed(first, time).count(), -passed.count())};
}

Status RecordingReader::Impl::emit_next(const Emit<Event>& emit) {
  const auto event = decode(block.events(next));
  if (!event) return event.error();
  ++next;
  last = event->time;
  emit(*event);
  return success();
}

Result<std::unique_ptr<RecordingReader>> RecordingReader::from_bytes(std::string bytes) {
  auto impl = std::make_unique<Impl>();
  impl->bytes = std::move(bytes);
  if (auto status = impl->read_header(); !status) return status.error();
  return std::unique_ptr<RecordingReader>(new RecordingReader(std::move(impl)));
}

Result<std::unique_ptr<RecordingReader>> RecordingReader::open(const std::string& path, ReplaySpeed speed) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return Error{fmt::format("cannot read {}: {}", path, strerror(errno)), "check the path", Error::Kind::usage};
  auto reader = from_bytes({std::istreambuf_iterator<char>(file), {}});
  if (reader) (*reader)->impl_->speed = speed;
  return reader;
}

RecordingReader::RecordingReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RecordingReader::~RecordingReader() = default;

const RecordingInfo& RecordingReader::info() const {
  return impl_->info;
}
bool RecordingReader::finished() const {
  return impl_->ended;
}
Time RecordingReader::now() const {
  return impl_->last;
}

Status RecordingReader::poll(Duration timeout, const Emit<Event>& emit) {
  Impl& self = *impl_;
  const auto fail = [&self](const Error& error) {
    self.ended = true;
    return error;
  };
  if (self.ended) return success();
  if (self.next >= self.block.events_size())
    if (auto status = self.read_block(); !status) return fail(status.error());
  while (self.next < self.block.events_size()) {
    const Time due{Duration{self.block.events(self.next).time_ns()}};
    if (!self.begun) {
      self.begun = std::chrono::steady_clock::now();
      self.first = due;
    }
    if (const Duration wait = self.until_due(due); wait > Duration::zero()) {
      std::this_thread::sleep_for(std::min(wait, timeout));
      if (wait > timeout) return success();
    }
    if (auto status = self.emit_next(emit); !status) return fail(status.error());
  }
  return success();
}

}  // namespace inferscope::source
