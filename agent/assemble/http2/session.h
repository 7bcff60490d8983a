// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "assemble/http2/hpack.h"
#include "assemble/http2/reader.h"

namespace inferscope::assemble::http2 {

/// Both directions of an HTTP/2 connection: frames, and header blocks decoded. What is made of the streams (exchanges,
/// or a redacted copy) is for the derived class.
class Session : public ProtocolParser, protected FrameSink {
 public:
  explicit Session(ConnectionContext& context);

  void bytes(Direction direction, std::string_view piece, bool fresh, std::uint64_t position) override;
  void hole(Direction direction, std::uint64_t bytes, Gap::Reason reason, std::uint64_t position) override;
  [[nodiscard]] Drop finished() const override { return finished_; }

 protected:
  /// A header block begins, its fields follow, it ends. `in_piece`: views of the wire point into the current piece.
  /// `good`: it was HPACK to its end. That of a request which the server promises to answer (push) is told as of stream
  /// 0, which nothing else is.
  virtual void headers_begin(std::string_view block) = 0;
  virtual void on_field(const HpackField& field, bool in_piece) = 0;
  virtual void headers_end(Side side, StreamId stream, bool good) = 0;
  /// Too much was not understood: nothing more comes.
  virtual void given_up() = 0;

  [[nodiscard]] ConnectionContext& context() const { return context_; }
  [[nodiscard]] const FrameReader& reader(Side side) const { return side == Side::request ? request_ : response_; }

 private:
  void on_block(Side side, StreamId stream, std::string_view block, bool promised) final;
  void on_lost(Side side, Gap::Reason reason, std::uint64_t bytes) final;
  /// Frames were missed.
  virtual void frames_lost(Side side, Gap::Reason reason, std::uint64_t bytes) = 0;
  HpackDecoder& decoder(Side side) { return side == Side::request ? request_fields_ : response_fields_; }

  ConnectionContext& context_;
  FrameReader request_;
  FrameReader response_;
  HpackDecoder request_fields_{};
  HpackDecoder response_fields_{};
  Drop finished_ = Drop::count;
};

}  // namespace inferscope::assemble::http2
