// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "assemble/content/content_framing.h"

namespace inferscope::assemble {

/// Server-sent events (WHATWG HTML, 9.2.6), in any division into pieces. An event that lies within one piece is
/// handed over without being copied. Comments, ids and retry times are no messages, nor are events without data; an
/// event that the end of the body cuts off is dropped, as the standard says.
class SseParser final : public ContentFraming {
 public:
  explicit SseParser(std::size_t limit) : limit_(limit) {}

  void feed(std::string_view bytes, MessageSink& sink) override;
  void hole() override;
  void end(MessageSink& sink) override;

 private:
  void use_line(std::string_view line, bool in_piece, MessageSink& sink);
  void use_data(std::string_view value, bool in_piece);
  void dispatch(MessageSink& sink);
  void reset_event();
  void own_data();

  std::size_t limit_;
  std::string carry_{};      ///< beginning of a line
  std::string data_{};       ///< of the event so far, if it is not view_
  std::string_view view_{};  ///< the event's only data line, in the current piece
  std::string name_{};
  bool has_data_ = false;
  bool data_is_view_ = false;
  bool oversized_ = false;
  bool line_oversized_ = false;
  bool skip_line_feed_ = false;  ///< the last piece ended with CR, which LF may complete
  bool skipping_ = false;        ///< up to the next blank line
  std::uint8_t bom_ = 0;         ///< bytes of a byte order mark seen; 3 once it cannot come any more
};

}  // namespace inferscope::assemble
