// SPDX-License-Identifier: Apache-2.0
#include "assemble/content/sse.h"

#include <algorithm>

namespace inferscope::assemble {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

/// End of the first line, or npos.
std::size_t find_line_end(std::string_view bytes) {
  const std::size_t line_feed = bytes.find('\n');
  // A lone CR ends a line, too: it can only be before the LF.
  const std::size_t carriage_return = bytes.substr(0, line_feed).find('\r');
  return std::min(line_feed, carriage_return);
}

}  // namespace

void SseParser::feed(std::string_view bytes, MessageSink& sink) {
  while (bom_ < byte_order_mark.size() && !bytes.empty()) {
    if (bytes[0] != byte_order_mark[bom_]) {
      if (bom_ > 0) carry_.assign(byte_order_mark.substr(0, bom_));
      bom_ = static_cast<std::uint8_t>(byte_order_mark.size());
      break;
    }
    ++bom_;
    bytes.remove_prefix(1);
  }
  if (skip_line_feed_ && !bytes.empty()) {
    if (bytes[0] == '\n') bytes.remove_prefix(1);
    skip_line_feed_ = false;
  }
  while (!bytes.empty()) {
    const std::size_t end = find_line_end(bytes);
    const std::string_view part = bytes.substr(0, end);
    const bool in_piece = carry_.empty() && !line_oversized_;
    if (!in_piece || end == std::string_view::npos) {
      line_oversized_ = line_oversized_ || carry_.size() + part.size() > limit_;
      if (!line_oversized_ && !skipping_) carry_.append(part);
      // While an event is skipped only whether a line is blank matters.
      if (skipping_ && !part.empty()) carry_.assign(1, 'x');
    }
    line_oversized_ = line_oversized_ || part.size() > limit_;
    if (end == std::string_view::npos) break;
    const bool line_feed_follows = bytes[end] == '\r' && end + 1 < bytes.size() && bytes[end + 1] == '\n';
    skip_line_feed_ = bytes[end] == '\r' && end + 1 == bytes.size();
    bytes.remove_prefix(end + (line_feed_follows ? 2 : 1));
    if (line_oversized_) {
      oversized_ = true;
    } else {
      use_line(in_piece ? part : std::string_view(carry_), in_piece, sink);
    }
    carry_.clear();
    line_oversized_ = false;
  }
  if (data_is_view_) own_data();
}

void SseParser::use_line(std::string_view line, bool in_piece, MessageSink& sink) {
  if (line.empty()) return dispatch(sink);
  if (skipping_) return;
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    use_data(value, in_piece);
  } else if (field == "event") {
    name_.assign(value);
  }
}

void SseParser::use_data(std::string_view value, bool in_piece) {
  if (!has_data_) {
    has_data_ = true;
    if (value.size() > limit_) {
      oversized_ = true;
    } else if (in_piece) {
      view_ = value;
      data_is_view_ = true;
    } else {
      data_.assign(value);
    }
    return;
  }
  own_data();
  oversized_ = oversized_ || data_.size() + 1 + value.size() > limit_;
  if (oversized_) return;
  data_.push_back('\n');
  data_.append(value);
}

void SseParser::own_data() {
  if (data_is_view_) data_.assign(view_);
  data_is_view_ = false;
}

void SseParser::dispatch(MessageSink& sink) {
  if (oversized_ && !skipping_) {
    sink.oversized();
  } else if (has_data_) {
    const std::string_view data = data_is_view_ ? view_ : std::string_view(data_);
    if (!data.empty()) sink.message(name_, data);
  }
  reset_event();
}

void SseParser::reset_event() {
  data_.clear();
  name_.clear();
  has_data_ = data_is_view_ = oversized_ = skipping_ = false;
}

void SseParser::hole() {
  reset_event();
  carry_.clear();
  line_oversized_ = skip_line_feed_ = false;
  bom_ = static_cast<std::uint8_t>(byte_order_mark.size());
  skipping_ = true;
  // The hole may have ended in the middle of a line: its rest must not look blank.
  carry_.assign(1, 'x');
}

void SseParser::end(MessageSink& /*sink*/) {
  reset_event();
  carry_.clear();
}

}  // namespace inferscope::assemble
