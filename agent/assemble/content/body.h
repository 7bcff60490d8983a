// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "assemble/content/content_decoder.h"
#include "assemble/content/content_framing.h"
#include "assemble/protocol.h"

namespace inferscope::assemble {

/// Takes what a body turns out to be made of.
class BodySink {
 public:
  virtual ~BodySink() = default;
  virtual void body_piece(std::string_view data) = 0;
  virtual void body_message(std::string_view name, std::string_view data) = 0;
  /// So many bytes on the wire could not be understood. `first`: the first of them in this body.
  virtual void body_undecodable(std::uint64_t bytes, ContentDecoder::Status why, bool first) = 0;
  virtual void body_oversized() = 0;
};

/// One message's body above its transfer framing: removes the content encoding, then divides it into messages.
class Body final : private DecodedSink, private MessageSink {
 public:
  explicit Body(BodySink& sink) : sink_(sink) {}

  /// Of a response, messages are handed over instead of pieces if the content type has any; of a request only gRPC's,
  /// since otherwise one body is one request.
  void begin(const Headers& headers, Side side, const Limits& limits);
  void bytes(std::string_view wire);
  void hole();
  void end();
  /// Forgets what is unfinished.
  void end_without_rest();

 private:
  void decoded(std::string_view bytes) override;
  void message(std::string_view name, std::string_view data) override { sink_.body_message(name, data); }
  void oversized() override { sink_.body_oversized(); }

  BodySink& sink_;
  bool encoded_ = false;
  bool failed_ = false;
  std::unique_ptr<ContentDecoder> decoder_{};
  std::unique_ptr<ContentFraming> framing_{};
};

}  // namespace inferscope::assemble
