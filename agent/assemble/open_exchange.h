// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "assemble/content/body.h"
#include "assemble/content/body_hash.h"
#include "assemble/protocol.h"

namespace inferscope::assemble {

/// One exchange from its request's first byte on: what is known of it, and who is told when something more is. For
/// parsers that know a message's head, the bytes of its body, and its end, however these travel. Made once and used for
/// many exchanges, for its memory.
class OpenExchange {
 public:
  /// `position`: where the stream of a side is read.
  OpenExchange(const ConnectionContext& context, ExchangeOutput& output, std::function<std::uint64_t(Side)> position);
  OpenExchange(const OpenExchange&) = delete;
  OpenExchange& operator=(const OpenExchange&) = delete;

  /// As new. `began`: its request's first byte.
  void begin(Moment began);
  /// Another parser goes on with it.
  void read_by(std::function<std::uint64_t(Side)> position) { position_ = std::move(position); }
  /// What the heads say is in the exchange, their sizes, and the request's sequence.
  void request_opened();
  void response_opened();
  void body(Side side, std::string_view bytes);
  void hole(Side side, std::uint64_t bytes, Gap::Reason reason);
  // Of what is no body, but a conversation of messages for as long as the exchange is open:
  void count(Side side, std::uint64_t bytes);
  void message(Side side, std::string_view data) const;
  void message_hole(Side side, std::uint64_t bytes) const;
  /// `known`: its end was seen; otherwise its framing was lost.
  void request_ended(bool known);
  void response_ended();
  void add_gap(Side side, Gap::Reason reason, std::uint64_t bytes);
  void close(Exchange::Ending ending);

  Exchange exchange{};

 private:
  struct Sink final : BodySink {
    Sink(OpenExchange& the_open, Side the_side) : open(the_open), side(the_side) {}
    void body_piece(std::string_view data) override;
    void body_message(std::string_view name, std::string_view data) override;
    void body_undecodable(std::uint64_t bytes, ContentDecoder::Status why, bool first) override;
    void body_oversized() override;

    OpenExchange& open;
    Side side;
  };

  void emit(ExchangeUpdate::Kind kind, std::string_view data = {}, std::string_view name = {},
            std::uint64_t missing = 0) const;
  void emit_hole(Side side, std::uint64_t bytes) const;

  const ConnectionContext& context_;
  ExchangeOutput& output_;
  std::function<std::uint64_t(Side)> position_;
  bool request_hole_ = false;
  BodyHash hash_{};
  Sink request_sink_;
  Sink response_sink_;
  Body request_body_;
  Body response_body_;
};

}  // namespace inferscope::assemble
