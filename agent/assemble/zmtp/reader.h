// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "assemble/protocol.h"

namespace inferscope::assemble::zmtp {

struct Frame {
  bool more = false;  ///< the message goes on with the next frame
  bool command = false;
  std::uint64_t length = 0;
};

/// Told what a FrameReader finds in one direction. Views are valid during the call.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// A range of the current piece that belongs to the greeting or to a frame's header.
  virtual void on_structure(std::string_view range) = 0;
  virtual void on_frame(const Frame& frame) = 0;
  virtual void on_body(std::string_view bytes) = 0;
  virtual void on_body_hole(std::uint64_t bytes) = 0;
  virtual void on_frame_end(const Frame& frame) = 0;
  /// Frames were missed, and nobody knows how many. Told again as long as that goes on.
  virtual void on_lost() = 0;
};

/// Divides one direction of a connection into the frames of ZMTP 3 (ZeroMQ RFC 23 and 37), in any division into pieces.
/// Keeps only what there is of a greeting or a header. After a hole outside of a body it goes on where a transfer
/// begins with what can only be frames.
class FrameReader {
 public:
  FrameReader(bool in_sync, Account& account, FrameSink& sink);
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;
  ~FrameReader() { forget_carry(Drop::after_end); }

  /// `fresh`: the piece is the beginning of a transfer.
  void bytes(std::string_view piece, bool fresh);
  void hole(std::uint64_t bytes, Gap::Reason reason);

  /// Why nothing more can be read here: another version, enciphered; Drop::count while it can.
  [[nodiscard]] Drop given_up() const { return given_up_; }
  /// Headers that could be none, since the last whole message.
  [[nodiscard]] std::size_t malformed() const { return malformed_; }
  [[nodiscard]] std::size_t failed_resyncs() const { return failed_resyncs_; }

 private:
  enum class State : std::uint8_t { greeting, header, body, lost };

  void take_greeting(std::string_view& piece);
  void take_header(std::string_view& piece);
  void take_body(std::string_view& piece);
  void frame_ended();
  void lose(bool malformed);
  void forget_carry(Drop why);

  State state_;
  Frame frame_{};
  std::uint64_t left_ = 0;  ///< of the body
  std::string carry_{};     ///< of a greeting or a header that is not complete
  Drop given_up_ = Drop::count;
  Drop skipping_;  ///< what is skipped while lost counts as this
  std::size_t malformed_ = 0;
  std::size_t failed_resyncs_ = 0;
  Account& account_;
  FrameSink& sink_;
};

/// The signature that either side begins with.
Recognition recognise(std::string_view prefix);
/// A transfer on a connection whose beginning is not known that can only be messages: frames from its first byte to its
/// last one, the last of them a message whose first frame, or the one behind a frame of one byte, is one array or map
/// of MessagePack from its first byte to its last one; or such a frame ends the transfer, and has not ended.
Recognition recognise_mid_stream(std::string_view transfer);

}  // namespace inferscope::assemble::zmtp
