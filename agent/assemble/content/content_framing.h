// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "assemble/limits.h"

namespace inferscope::assemble {

/// Takes complete messages of a body; the views are valid during the call.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  virtual void message(std::string_view name, std::string_view data) = 0;
  /// One message was longer than Limits::message and was left out.
  virtual void oversized() = 0;
};

/// Divides a body into the messages that its content type says it is made of. Any division into pieces gives the
/// same messages.
class ContentFraming {
 public:
  ContentFraming() = default;
  ContentFraming(const ContentFraming&) = delete;
  ContentFraming& operator=(const ContentFraming&) = delete;
  virtual ~ContentFraming() = default;

  virtual void feed(std::string_view bytes, MessageSink& sink) = 0;
  /// Some bytes are missing here.
  virtual void hole() = 0;
  /// The body is complete.
  virtual void end(MessageSink& sink) = 0;
};

enum class ContentKind : std::uint8_t { other, event_stream, json_lines, grpc };

/// From a Content-Type header, parameters and case ignored.
ContentKind content_kind(std::string_view content_type);
/// Null for ContentKind::other. `message_encoding`: how single messages are compressed, where they may be.
std::unique_ptr<ContentFraming> make_framing(ContentKind kind, std::string_view message_encoding, const Limits& limits);
/// "application/json" of "Application/JSON; charset=utf-8", which is compared ignoring case.
std::string_view media_type(std::string_view content_type);

}  // namespace inferscope::assemble
