// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "assemble/protocol.h"

/// WebSocket (RFC 6455): what an HTTP/1 connection is behind a 101 that says so. The client is Side::request, the
/// server Side::response.
namespace inferscope::assemble::websocket {

/// What was agreed on in a response's Sec-WebSocket-Extensions.
struct Extensions {
  bool unknown = false;                          ///< others than permessage-deflate: what frames mean cannot be known
  bool deflate = false;                          ///< permessage-deflate (RFC 7692): RSV1 marks compressed messages
  bool no_context_takeover[2] = {false, false};  ///< by side: each of its messages is compressed on its own
};

/// Adds what one field says to what the ones before it did.
void add_extensions(std::string_view field, Extensions& extensions);

enum class Opcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

struct Frame {
  Opcode opcode = Opcode::text;
  bool final = true;        ///< last one of its message
  bool compressed = false;  ///< of a message's first frame: the message is
  bool masked = false;
  std::array<char, 4> key{};
  std::uint64_t length = 0;  ///< of the payload

  [[nodiscard]] bool control() const { return opcode >= Opcode::close; }
  /// What byte number `offset` of a masked frame's payload is combined with.
  [[nodiscard]] char key_at(std::uint64_t offset) const { return key[static_cast<std::size_t>(offset % key.size())]; }
};

/// Told what a FrameReader finds. Views are valid during the call and point into the piece given to bytes().
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// A range of a frame's header, complete or not, that may also turn out to be malformed behind it.
  virtual void on_header(Side side, std::string_view range) = 0;
  virtual void on_frame(Side side, const Frame& frame) = 0;
  /// A range of the payload as on the wire, `offset` from its beginning.
  virtual void on_payload(Side side, const Frame& frame, std::string_view wire, std::uint64_t offset) = 0;
  virtual void on_payload_hole(Side side, const Frame& frame, std::uint64_t bytes, Gap::Reason reason) = 0;
  virtual void on_frame_end(Side side, const Frame& frame) = 0;
  /// So many bytes are missing or no frames, and with them where the next frame begins. More of them may follow: the
  /// reader looks for a frame at the beginning of a transfer.
  virtual void on_lost(Side side, std::uint64_t bytes, Gap::Reason reason) = 0;
};

/// Divides one direction of a WebSocket into frames, in any division into pieces. Buffers nothing but a header's
/// beginning. Malformed are headers that the RFC forbids: unknown opcodes, RSV bits that nothing gives a meaning,
/// fragments without a beginning, long or fragmented control frames, lengths not in their shortest form, and frames
/// of a client that are not masked or of a server that are.
class FrameReader {
 public:
  FrameReader(Side side, bool in_sync, const Extensions& extensions, Account& account, FrameSink& sink)
      : side_(side),
        deflate_(extensions.deflate),
        state_(in_sync ? State::header : State::lost),
        fragments_(in_sync ? Fragments::none : Fragments::unknown),
        account_(account),
        sink_(sink) {}
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;
  ~FrameReader() { forget_header(Drop::after_end); }

  /// `fresh`: the piece is the beginning of a transfer. `position` is that of its first byte in the stream.
  void bytes(std::string_view piece, bool fresh, std::uint64_t position);
  void hole(std::uint64_t bytes, Gap::Reason reason, std::uint64_t position);

  /// A close frame was read, and nothing belongs to the WebSocket behind it.
  [[nodiscard]] bool closed() const { return state_ == State::closed; }
  [[nodiscard]] bool lost() const { return state_ == State::lost; }
  /// Position of the stream that is read next.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  /// Beginnings of transfers that were no frame, in a row.
  [[nodiscard]] std::size_t failed_resyncs() const { return failed_resyncs_; }

 private:
  static constexpr std::size_t longest_header = 14;

  enum class State : std::uint8_t { header, payload, lost, closed };
  enum class Fragments : std::uint8_t { none, open, unknown };  ///< of a message that has more frames to come
  enum class Parsed : std::uint8_t { need_more, frame, malformed };

  /// `size`: of the header, if it is complete.
  Parsed parse(std::string_view header, Frame& frame, std::size_t& size) const;
  static bool fits(const Frame& frame, Fragments fragments);
  static Fragments behind(const Frame& frame, Fragments fragments);
  [[nodiscard]] bool is_plausible(std::string_view piece) const;
  void take_header(std::string_view& piece);
  void take_payload(std::string_view& piece);
  void skip(std::string_view& piece);
  void frame_end();
  void lose(Gap::Reason reason, std::uint64_t bytes);
  void forget_header(Drop why);

  const Side side_;
  const bool deflate_;
  State state_;
  Fragments fragments_;
  Gap::Reason why_lost_ = Gap::Reason::lost;
  Frame frame_{};
  std::uint64_t left_ = 0;  ///< of the payload
  std::uint64_t position_ = 0;
  std::array<char, longest_header> header_{};
  std::size_t header_size_ = 0;
  std::size_t failed_resyncs_ = 0;
  Account& account_;
  FrameSink& sink_;
};

}  // namespace inferscope::assemble::websocket
