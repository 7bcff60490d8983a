// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "assemble/websocket/reader.h"

namespace inferscope::assemble::websocket {

/// Takes what a WebSocket's frames turn out to be made of; views are valid during the call.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  /// So many bytes of payload, of whichever frame.
  virtual void payload(Side side, std::uint64_t bytes) = 0;
  /// One complete text message.
  virtual void text(Side side, std::string_view data) = 0;
  /// So many bytes are missing or no frames; 0 of them if it is not known how many.
  virtual void missing(Side side, std::uint64_t bytes, Gap::Reason reason) = 0;
  /// A message of so many bytes on the wire was longer than Limits::message, or could not be decompressed.
  virtual void unreadable(Side side, std::uint64_t bytes, Gap::Reason reason) = 0;
  virtual void closed(Side side) = 0;
};

/// Puts the messages of both directions together: fragments, masking, compression. Of binary messages, only their
/// bytes are counted. A message of which something is missing is left out; compressed ones that refer to it, and all
/// behind one that went beyond a bound, are unreadable.
class Messages final : public FrameSink {
 public:
  Messages(const Extensions& extensions, const Limits& limits, MessageSink& sink);
  ~Messages() override;

 private:
  struct Incoming;  ///< the message of a side that is being read

  void on_header(Side /*side*/, std::string_view /*range*/) override {}
  void on_frame(Side side, const Frame& frame) override;
  void on_payload(Side side, const Frame& frame, std::string_view wire, std::uint64_t offset) override;
  void on_payload_hole(Side side, const Frame& frame, std::uint64_t bytes, Gap::Reason reason) override;
  void on_frame_end(Side side, const Frame& frame) override;
  void on_lost(Side side, std::uint64_t bytes, Gap::Reason reason) override;

  [[nodiscard]] Incoming& incoming(Side side) const { return *incoming_[index_of(side)]; }
  void begin(Side side, const Frame& frame);
  void end(Side side);
  void decompress(Incoming& message, std::string_view compressed);
  void append(Incoming& message, std::string_view bytes) const;
  static void fail(Incoming& message, Gap::Reason why);

  const Extensions extensions_;
  const Limits& limits_;
  MessageSink& sink_;
  std::unique_ptr<Incoming> incoming_[2];
  std::string unmasked_{};
};

}  // namespace inferscope::assemble::websocket
