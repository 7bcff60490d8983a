// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "assemble/content/json_mask.h"

namespace inferscope::assemble {

/// Says which bytes of a body are structure, by its content type: JSON, event streams and lines of JSON. Of any other
/// body, and of one with a content encoding, nothing is.
class ContentMask {
 public:
  void begin(std::string_view content_type, std::string_view content_encoding);
  void feed(std::string_view piece, MaskOutput& output);
  /// Some bytes are missing here.
  void hole();

 private:
  enum class Kind : std::uint8_t { opaque, json, lines, events, messages };
  enum class Field : std::uint8_t { name, data, event, retry, other };

  void feed_lines(std::string_view piece, MaskOutput& output);
  void feed_events(std::string_view piece, MaskOutput& output);
  void feed_messages(std::string_view piece, MaskOutput& output);
  void event_line_end(char c);
  void event_byte(std::string_view byte, MaskOutput& output);
  void feed_value(std::string_view value, MaskOutput& output);
  void take_field_name(std::string_view byte, MaskOutput& output);

  Kind kind_ = Kind::opaque;
  JsonMask json_{};
  bool skipping_ = false;  ///< after a hole, up to where the parser takes up again
  // Of event streams:
  Field field_ = Field::name;
  bool line_is_blank_ = true;
  bool last_was_return_ = false;
  bool value_begins_ = false;
  std::size_t event_size_ = 0;
  std::size_t mark_ = 0;  ///< bytes of a byte order mark seen
  std::string name_{};
  // Of gRPC:
  std::size_t prefix_ = 0;  ///< bytes seen of what is before a message
  std::uint32_t message_left_ = 0;
  std::uint32_t message_size_ = 0;
};

}  // namespace inferscope::assemble
