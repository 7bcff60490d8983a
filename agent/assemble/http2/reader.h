// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "assemble/protocol.h"

namespace inferscope::assemble::http2 {

using StreamId = std::uint32_t;

enum class FrameType : std::uint8_t {
  data,
  headers,
  priority,
  rst_stream,
  settings,
  push_promise,
  ping,
  goaway,
  window_update,
  continuation,
};

struct FrameHeader {
  std::uint32_t length = 0;
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  StreamId stream = 0;

  [[nodiscard]] bool is(FrameType of) const { return type == static_cast<std::uint8_t>(of); }
};

/// What a range of the stream is in its frame.
enum class Part : std::uint8_t {
  structure,  ///< preface, frame headers, padding lengths, priorities
  payload,    ///< of a frame that is neither
  block,      ///< of a header block
  data,
  padding,
};

/// Told what a FrameReader finds. Views are valid during the call.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// A range of the current piece.
  virtual void on_part(Side side, Part part, std::string_view range) = 0;
  virtual void on_frame(Side side, const FrameHeader& header) = 0;
  /// A whole header block. `promised`: of a pushed request, whose table entries count all the same.
  virtual void on_block(Side side, StreamId stream, std::string_view block, bool promised) = 0;
  virtual void on_data(Side side, StreamId stream, std::string_view bytes) = 0;
  virtual void on_data_hole(Side side, StreamId stream, std::uint64_t bytes, Gap::Reason reason) = 0;
  /// That side of the stream is complete.
  virtual void on_end(Side side, StreamId stream) = 0;
  virtual void on_reset(Side side, StreamId stream) = 0;
  /// Frames were missed, and nobody knows of which streams: header blocks may be among them.
  virtual void on_lost(Side side, Gap::Reason reason, std::uint64_t bytes) = 0;
};

/// Divides one direction of a connection into frames (RFC 9113 4), in any division into pieces. Keeps only a header
/// block, and a frame's header, until they are whole. After a hole outside of data it goes on where a transfer begins
/// with what can only be a frame.
class FrameReader {
 public:
  FrameReader(Side side, bool in_sync, const Limits& limits, Account& account, FrameSink& sink);
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  void bytes(std::string_view piece, bool fresh, std::uint64_t position);
  void hole(std::uint64_t bytes, Gap::Reason reason, std::uint64_t position);

  /// Position of the stream that is read next.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  /// Frames that cannot be, in a row.
  [[nodiscard]] std::size_t malformed() const { return malformed_; }
  [[nodiscard]] std::size_t failed_resyncs() const { return failed_resyncs_; }
  /// The block that on_block() hands over lies in the current piece as a whole.
  [[nodiscard]] bool block_in_piece() const { return block_in_piece_; }

 private:
  enum class State : std::uint8_t { unsynced, preface, header, pad_length, fixed, block, data, padding, skipped };

  std::string_view take(std::string_view& piece, std::uint64_t most, Part part);
  void take_preface(std::string_view& piece);
  void take_header(std::string_view& piece);
  [[nodiscard]] bool may_follow(const FrameHeader& frame) const;
  void begin_frame();
  void take_pad_length(std::string_view& piece);
  void begin_fixed();
  void take_fixed(std::string_view& piece);
  void begin_payload();
  void take_block(std::string_view& piece);
  void block_ended(std::string_view block);
  void take_data(std::string_view& piece);
  void payload_ended();
  void frame_ended();
  void lose(Gap::Reason reason, std::uint64_t bytes);

  const Side side_;
  const Limits& limits_;
  Account& account_;
  FrameSink& sink_;
  State state_;
  FrameHeader frame_{};
  std::string carry_{};        ///< beginning of the preface or of a frame header
  std::string block_{};        ///< of the frames of a header block so far
  StreamId block_stream_ = 0;  ///< whose block is not complete; 0: none
  bool block_ends_stream_ = false;
  bool block_promised_ = false;
  bool block_in_piece_ = false;
  std::uint64_t left_ = 0;     ///< of the payload without what is read of it and its padding; of the padding in that
  std::uint64_t fixed_ = 0;    ///< of left_, before what the frame is for
  std::uint64_t padding_ = 0;  ///< behind it
  Drop skipping_;              ///< what is skipped while unsynced counts as this
  std::uint64_t position_ = 0;
  std::size_t malformed_ = 0;
  std::size_t failed_resyncs_ = 0;
};

/// The client's preface, or the settings that a server begins with.
Recognition recognise(std::string_view prefix);

}  // namespace inferscope::assemble::http2
