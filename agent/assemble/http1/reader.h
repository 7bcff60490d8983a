// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "assemble/http1/syntax.h"
#include "assemble/websocket/reader.h"

namespace inferscope::assemble::http1 {

using assemble::Side;

/// What a range of the stream is in its message.
enum class Part : std::uint8_t { start_line, header_line, chunk_line, chunk_end, body, trailer_line, unframed };

enum class BodyKind : std::uint8_t { none, length, chunked, until_close, tunnel, other };

/// What a message's head says about its framing.
struct Head {
  Side side = Side::request;
  bool head_method = false;
  bool connect_method = false;
  int status = 0;
  std::optional<std::uint64_t> content_length{};
  bool transfer_encoding = false;
  bool chunked = false;    ///< the last transfer coding is chunked
  bool websocket = false;  ///< named in Upgrade
  bool http2 = false;      ///< likewise
  websocket::Extensions extensions{};
  bool truncated = false;  ///< fields beyond a limit were not handed over
  std::uint64_t bytes = 0;
};

/// Told what a Reader finds. Views are valid during the call; those of parts point into the piece given to bytes().
class ReaderSink {
 public:
  virtual ~ReaderSink() = default;
  /// A range of the current piece, complete lines or not. Only if the reader was asked for parts.
  virtual void on_part(Side side, Part part, std::string_view range) = 0;
  virtual void on_begin(Side side) = 0;
  virtual void on_request_line(const RequestLine& line) = 0;
  virtual void on_status_line(const StatusLine& line) = 0;
  virtual void on_field(Side side, const Field& field) = 0;
  /// Goes on the value of the last field, after a blank.
  virtual void on_folded(Side side, std::string_view value) = 0;
  /// Answers how the body is framed.
  virtual BodyKind on_head(const Head& head) = 0;
  virtual void on_body(Side side, std::string_view bytes) = 0;
  virtual void on_body_hole(Side side, std::uint64_t bytes, Gap::Reason reason) = 0;
  virtual void on_end(Side side) = 0;
  /// The message's framing is lost; `in_body`: after its head. The reader looks for the next message.
  virtual void on_lost(Side side, Gap::Reason reason, std::uint64_t bytes, bool in_body) = 0;
};

/// Divides one direction of a connection into messages and their parts, in any division into pieces. Buffers nothing
/// but the last line's beginning.
class Reader {
 public:
  enum class State : std::uint8_t {
    unsynced,    ///< waits for a start line at the beginning of a transfer
    start_line,  ///< between messages, or in a start line
    fields,
    body_length,
    body_until_close,
    chunk_line,
    chunk_data,
    chunk_end,
    chunk_lost,  ///< in a chunked response; waits for a chunk at the beginning of a transfer
    trailer,
    tunnel,
    other,  ///< what follows is for another reader
  };

  Reader(Side side, bool in_sync, bool wants_parts, const Limits& limits, Account& account, ReaderSink& sink)
      : side_(side),
        wants_parts_(wants_parts),
        state_(in_sync ? State::start_line : State::unsynced),
        limits_(limits),
        account_(account),
        sink_(sink) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { forget_line(Drop::connection_limit); }

  /// Returns the rest of the piece that a WebSocket begins with, otherwise nothing.
  std::string_view bytes(std::string_view piece, bool fresh, std::uint64_t position);
  void hole(std::uint64_t bytes, Gap::Reason reason, std::uint64_t position);
  /// The conversation turns with the next piece: a request begins there, if one does, however few of its bytes come at
  /// once.
  void turn() { turned_ = true; }
  /// No more bytes will come: completes a body that has no other end.
  void stream_ended();
  /// Looks for a new message; nothing is said to the sink.
  void abandon(Drop why);
  /// Bytes of what is not part of an exchange are counted as dropped.
  void count_as(Drop why) { uncounted_ = why; }
  void count_as_read() { uncounted_.reset(); }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool between_messages() const { return state_ == State::start_line && !begun_; }
  [[nodiscard]] bool in_body() const { return state_ >= State::body_length && state_ <= State::trailer; }
  /// Position of the stream that is read next.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t body_left() const { return left_; }
  /// Something was missed since expect_message() that may have been a message.
  [[nodiscard]] bool lost() const { return state_ == State::chunk_lost || (state_ == State::unsynced && uncertain_); }
  /// From here on only a whole message can follow.
  void expect_message() { uncertain_ = false; }
  /// Beginnings of transfers that were no message, in a row.
  [[nodiscard]] std::size_t failed_resyncs() const { return failed_resyncs_; }

 private:
  void consume(std::string_view range, Part part);
  void take_line(std::string_view& piece);
  void use_line(std::string_view line);
  void use_start_line(std::string_view line);
  void use_field(std::string_view line);
  void use_framing_field(const Field& field);
  void use_chunk_line(std::string_view line);
  void end_of_head();
  void message_end();
  void take_body(std::string_view& piece);
  bool resync(std::string_view piece);
  void weigh(std::string_view piece);
  void skip_lost(std::string_view& piece);
  void lose(Gap::Reason reason, std::uint64_t bytes);
  void forget_line(Drop why);
  [[nodiscard]] Part line_part() const;

  const Side side_;
  const bool wants_parts_;
  bool begun_ = false;           ///< first byte of a message was seen
  bool line_truncated_ = false;  ///< carry_ lacks the end of the line
  bool last_field_frames_ = false;
  bool malformed_ = false;
  bool uncertain_ = false;
  bool turned_ = false;
  bool tentative_ = false;  ///< in a start line of which too little is there to be sure
  State state_;
  std::optional<Drop> uncounted_{};
  std::uint64_t position_ = 0;
  std::uint64_t left_ = 0;        ///< of the body or chunk
  std::uint64_t line_bytes_ = 0;  ///< of the line whose beginning is in carry_
  std::size_t kept_ = 0;          ///< bytes of fields handed over
  std::size_t fields_ = 0;
  std::size_t failed_resyncs_ = 0;
  Head head_{};
  std::string carry_{};
  const Limits& limits_;
  Account& account_;
  ReaderSink& sink_;
};

}  // namespace inferscope::assemble::http1
