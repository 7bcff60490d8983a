// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "assemble/content/json_mask.h"
#include "assemble/websocket/reader.h"

namespace inferscope::assemble::websocket {

/// Says which bytes of a WebSocket are structure: the headers of its frames, their mask keys included, and that of the
/// JSON in text messages. Everything else becomes a mask that is still one when it is unmasked. Compressed messages are
/// masked as a whole: such a payload cannot be decompressed, so in a replay they are unreadable.
class FrameMask final : public FrameSink {
 public:
  explicit FrameMask(MaskOutput& output) : output_(output) {}

 private:
  struct Outgoing {
    bool readable = false;  ///< the message's text is there to be masked as JSON
    JsonMask json{};
  };

  void on_header(Side /*side*/, std::string_view range) override { output_.keep(range); }
  void on_frame(Side side, const Frame& frame) override;
  void on_payload(Side side, const Frame& frame, std::string_view wire, std::uint64_t offset) override;
  void on_payload_hole(Side side, const Frame& frame, std::uint64_t bytes, Gap::Reason reason) override;
  void on_frame_end(Side /*side*/, const Frame& /*frame*/) override {}
  void on_lost(Side side, std::uint64_t /*bytes*/, Gap::Reason /*reason*/) override { of(side).readable = false; }

  Outgoing& of(Side side) { return outgoing_[index_of(side)]; }

  MaskOutput& output_;
  Outgoing outgoing_[2]{};
  std::string unmasked_{};
};

}  // namespace inferscope::assemble::websocket
