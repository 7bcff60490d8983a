// SPDX-License-Identifier: Apache-2.0
#include "assemble/content/content_mask.h"

#include <algorithm>
#include <array>

#include "assemble/content/content_decoder.h"
#include "assemble/content/content_framing.h"
#include "assemble/content/grpc.h"
#include "assemble/http1/syntax.h"

namespace inferscope::assemble {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::array<std::string_view, 4> field_names{"data", "event", "id", "retry"};
constexpr std::size_t longest_event_name = 64;

/// Clients often send JSON without saying so; what is not JSON is masked as soon as it shows.
bool may_be_json(std::string_view content_type) {
  const std::string_view type = media_type(content_type);
  constexpr std::string_view suffix = "+json";
  return type.empty() || http1::equal_ignoring_case(type, "application/json") ||
         http1::equal_ignoring_case(type, "application/x-www-form-urlencoded") ||
         (type.size() > suffix.size() && http1::equal_ignoring_case(type.substr(type.size() - suffix.size()), suffix));
}

/// A message of protobuf of some size: a field of bytes with the number 15, its length, and the mask for all the rest.
constexpr std::size_t blank_head = 6;
char blank_message(std::size_t at, std::uint32_t size) {
  constexpr char field_15 = '\x7a';
  if (size < 2) return MaskOutput::mask;
  if (at == 0) return field_15;
  std::uint32_t digits = 1;
  while (digits < 5 && (size - 1 - digits) >> (7 * digits) != 0) ++digits;
  if (at > digits) return MaskOutput::mask;
  const std::uint32_t digit = ((size - 1 - digits) >> (7 * (at - 1))) & 0x7fU;
  return static_cast<char>(digit | (at < digits ? 0x80U : 0));
}

constexpr bool is_event_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

}  // namespace

void ContentMask::begin(std::string_view content_type, std::string_view content_encoding) {
  kind_ = Kind::opaque;
  json_.reset();
  skipping_ = last_was_return_ = value_begins_ = false;
  field_ = Field::name;
  line_is_blank_ = true;
  mark_ = prefix_ = 0;
  name_.clear();
  if (encoding_of(content_encoding) != Encoding::identity) return;
  switch (content_kind(content_type)) {
    case ContentKind::event_stream:
      kind_ = Kind::events;
      return;
    case ContentKind::json_lines:
      kind_ = Kind::lines;
      return;
    case ContentKind::grpc:
      kind_ = Kind::messages;
      return;
    case ContentKind::other:
      if (may_be_json(content_type)) kind_ = Kind::json;
  }
}

void ContentMask::feed(std::string_view piece, MaskOutput& output) {
  switch (kind_) {
    case Kind::opaque:
      return;
    case Kind::json:
      return json_.feed(piece, output);
    case Kind::lines:
      return feed_lines(piece, output);
    case Kind::events:
      return feed_events(piece, output);
    case Kind::messages:
      return feed_messages(piece, output);
  }
}

/// Lengths are kept, and that it is compressed is not: what is left of it could not be decompressed. A message becomes
/// one that has a single field of a number which nobody uses.
void ContentMask::feed_messages(std::string_view piece, MaskOutput& output) {
  while (!piece.empty() && !skipping_) {
    if (prefix_ < grpc_prefix) {
      const auto byte = static_cast<std::uint8_t>(piece[0]);
      if (prefix_ == 0) {
        output.put(piece.data(), '\0');
        skipping_ = byte > 1;
        message_left_ = 0;
      } else {
        output.keep(piece.substr(0, 1));
        message_left_ = message_size_ = message_left_ << 8 | byte;
      }
      ++prefix_;
      piece.remove_prefix(1);
    }
    if (prefix_ < grpc_prefix) continue;
    const std::size_t size = std::min<std::size_t>(piece.size(), message_left_);
    for (std::size_t i = 0; i < size && message_size_ - message_left_ + i < blank_head; ++i)
      output.put(piece.data() + i, blank_message(message_size_ - message_left_ + i, message_size_));
    piece.remove_prefix(size);
    message_left_ -= static_cast<std::uint32_t>(size);
    if (message_left_ == 0) prefix_ = 0;
  }
}

void ContentMask::hole() {
  json_.lose();
  skipping_ = true;
  line_is_blank_ = last_was_return_ = false;
  mark_ = byte_order_mark.size();
}

void ContentMask::feed_lines(std::string_view piece, MaskOutput& output) {
  while (!piece.empty()) {
    const std::size_t end = piece.find('\n');
    const std::string_view part = piece.substr(0, end);
    if (!skipping_) json_.feed(part, output);
    // Each may be half of a line's end, which is no part of the line.
    for (std::size_t i = part.find('\r'); i != std::string_view::npos; i = part.find('\r', i + 1))
      output.keep(part.substr(i, 1));
    if (end == std::string_view::npos) return;
    output.keep(piece.substr(end, 1));
    piece.remove_prefix(end + 1);
    json_.reset();
    skipping_ = false;
  }
}

void ContentMask::feed_events(std::string_view piece, MaskOutput& output) {
  while (!piece.empty()) {
    const char c = piece[0];
    const std::string_view byte = piece.substr(0, 1);
    if (c == '\r' || c == '\n') {
      output.keep(byte);
      event_line_end(c);
      piece.remove_prefix(1);
    } else if (!skipping_ && !value_begins_ && (field_ == Field::data || field_ == Field::other)) {
      const std::string_view value = piece.substr(0, piece.find_first_of("\r\n"));
      feed_value(value, output);
      piece.remove_prefix(value.size());
    } else {
      last_was_return_ = false;
      if (!skipping_) event_byte(byte, output);
      line_is_blank_ = false;
      piece.remove_prefix(1);
    }
  }
}

void ContentMask::event_line_end(char c) {
  mark_ = byte_order_mark.size();
  if (c == '\n' && last_was_return_) {  // the second half of CR LF
    last_was_return_ = false;
    return;
  }
  last_was_return_ = c == '\r';
  if (line_is_blank_) {
    json_.reset();
    skipping_ = false;
  }
  line_is_blank_ = true;
  field_ = Field::name;
  value_begins_ = false;
  name_.clear();
}

void ContentMask::event_byte(std::string_view byte, MaskOutput& output) {
  if (mark_ < byte_order_mark.size()) {
    if (byte[0] == byte_order_mark[mark_]) {
      output.keep(byte);
      line_is_blank_ = ++mark_ == byte_order_mark.size();
      return;
    }
    mark_ = byte_order_mark.size();
  }
  if (field_ == Field::name) return take_field_name(byte, output);
  if (value_begins_) {
    value_begins_ = false;
    if (byte[0] == ' ') {
      output.keep(byte);
      return;
    }
  }
  feed_value(byte, output);
}

void ContentMask::feed_value(std::string_view value, MaskOutput& output) {
  switch (field_) {
    case Field::data:
      return json_.feed(value, output);
    case Field::event:
      for (std::size_t i = 0; i < value.size(); ++i)
        if (is_event_name(value[i]) && event_size_++ < longest_event_name) output.keep(value.substr(i, 1));
      return;
    case Field::retry:
      for (std::size_t i = 0; i < value.size(); ++i)
        if (value[i] >= '0' && value[i] <= '9') output.keep(value.substr(i, 1));
      return;
    case Field::name:
    case Field::other:
      return;
  }
}

void ContentMask::take_field_name(std::string_view byte, MaskOutput& output) {
  if (byte[0] == ':') {
    // No name at all is a comment.
    field_ = name_ == "data"    ? Field::data
             : name_ == "event" ? Field::event
             : name_ == "retry" ? Field::retry
                                : Field::other;
    value_begins_ = true;
    event_size_ = 0;
    output.keep(byte);
    return;
  }
  name_.push_back(byte[0]);
  const bool known = std::any_of(field_names.begin(), field_names.end(),
                                 [this](std::string_view name) { return name.starts_with(name_); });
  if (known) {
    output.keep(byte);
  } else {
    field_ = Field::other;
  }
}

}  // namespace inferscope::assemble
