// SPDX-License-Identifier: Apache-2.0
#include "assemble/http1/mask.h"

#include <string>

#include "assemble/content/content_mask.h"
#include "assemble/http1/head_mask.h"
#include "assemble/http1/session.h"
#include "assemble/http2/mask.h"
#include "assemble/websocket/mask.h"

namespace inferscope::assemble::http1 {
namespace {

class Mask final : public Session {
 public:
  Mask(ConnectionContext& context, MaskOutput& output) : Session(context, true), output_(output) {}

 private:
  struct Message {
    explicit Message(Side side) : head(side) {}

    HeadMask head;
    ContentMask content{};
    bool body_begun = false;
    std::string content_type{};
    std::string content_encoding{};
  };

  Message& message(Side side) { return side == Side::request ? request_ : response_; }

  void begin(Side side) {
    Message& begun = message(side);
    begun.body_begun = false;
    begun.content_type.clear();
    begun.content_encoding.clear();
  }

  void on_part(Side side, Part part, std::string_view range) override {
    Message& current = message(side);
    if (part == Part::unframed) return;
    if (part != Part::body) return current.head.feed(part, range, output_);
    begin_body(current);
    current.content.feed(range, output_);
  }
  static void begin_body(Message& current) {
    if (!current.body_begun) current.content.begin(current.content_type, current.content_encoding);
    current.body_begun = true;
  }
  void on_request_line(const RequestLine& /*line*/) override { begin(Side::request); }
  void on_status_line(const StatusLine& /*line*/) override { begin(Side::response); }
  void on_field(Side side, const Field& field) override {
    Message& current = message(side);
    if (current.content_type.empty() && equal_ignoring_case(field.name, "content-type"))
      current.content_type.assign(field.value);
    if (current.content_encoding.empty() && equal_ignoring_case(field.name, "content-encoding"))
      current.content_encoding.assign(field.value);
  }
  // What was before may have broken off in the middle of a line.
  void message_begin(Side side) override { message(side).head.begin_line(); }
  void content_hole(Side side) override {
    message(side).head.begin_line();
    begin_body(message(side));
    message(side).content.hole();
  }

  // What is open when does not matter here: every message is masked, also one that belongs to no exchange.
  void on_folded(Side /*side*/, std::string_view /*value*/) override {}
  void request_opened(const Head& /*head*/) override {}
  void request_body(std::string_view /*bytes*/) override {}
  void request_hole(std::uint64_t /*bytes*/, Gap::Reason /*reason*/) override {}
  void request_ended(bool /*known*/) override {}
  void response_opened(const Head& /*head*/, bool /*informational*/) override {}
  void response_body(std::string_view /*bytes*/) override {}
  void response_hole(std::uint64_t /*bytes*/, Gap::Reason /*reason*/) override {}
  void response_ended() override {}
  void gap(Side /*side*/, Gap::Reason /*reason*/, std::uint64_t /*bytes*/) override {}
  void close_oldest(Closing /*how*/) override {}
  std::unique_ptr<ProtocolParser> http2_opened() override { return http2::make_mask(context(), output_); }
  websocket::FrameSink& websocket_opened(const websocket::Extensions& /*extensions*/) override { return frames_; }

  MaskOutput& output_;
  Message request_{Side::request};
  Message response_{Side::response};
  websocket::FrameMask frames_{output_};
};

}  // namespace

std::unique_ptr<ProtocolParser> make_mask(ConnectionContext& context, MaskOutput& output) {
  return std::make_unique<Mask>(context, output);
}

}  // namespace inferscope::assemble::http1
