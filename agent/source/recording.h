// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "model/event.h"
#include "source/event_source.h"

namespace inferscope::source {

/// A recording is the magic "IFSCREC\n", the format version (32 bits, little-endian), then frames. A frame is its kind
/// ('H' header, 'B' block of events, 'E' end), the size of its content and of its content before compression (32 bits
/// each), the CRC-32 of the compressed content (zlib's), and the content: a message of recording.proto compressed with
/// zstd. The end frame is what tells a whole recording from one that was cut.
inline constexpr std::uint32_t recording_version = 1;

struct RecordingInfo {
  struct Capability {
    std::string name{};
    bool active = false;
    std::string problem{};
  };
  std::int64_t created_unix_ns = 0;
  std::string agent_version{};
  std::string kernel{};
  bool content_kept = false;
  std::vector<Capability> capabilities{};
};

/// Writes a recording. The file is whole after finish(); until then what was written can be read up to its last block.
class RecordingWriter {
 public:
  static Result<std::unique_ptr<RecordingWriter>> create(const std::string& path, const RecordingInfo& info);
  ~RecordingWriter();

  Status write(const Event& event);
  Status finish();
  [[nodiscard]] std::uint64_t events() const;
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  struct Impl;
  explicit RecordingWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

enum class ReplaySpeed : std::uint8_t { full, real_time };

/// Reads a recording as a source. A damaged one gives its events up to the damage, then an error.
class RecordingReader : public EventSource {
 public:
  static Result<std::unique_ptr<RecordingReader>> open(const std::string& path, ReplaySpeed speed = ReplaySpeed::full);
  /// The same from memory, for tests and fuzzing.
  static Result<std::unique_ptr<RecordingReader>> from_bytes(std::string bytes);
  ~RecordingReader() override;

  [[nodiscard]] const RecordingInfo& info() const;

  /// Emits one block (full speed) or what is due (real time).
  Status poll(Duration timeout, const Emit<Event>& emit) override;
  [[nodiscard]] bool finished() const override;
  [[nodiscard]] Time settled() const override { return now(); }
  [[nodiscard]] Time now() const override;  ///< the time of the last event

 private:
  struct Impl;
  explicit RecordingReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace inferscope::source
