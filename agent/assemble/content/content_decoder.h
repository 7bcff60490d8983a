// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "assemble/limits.h"

namespace inferscope::assemble {

/// Takes decoded bytes; the view is valid during the call.
class DecodedSink {
 public:
  virtual ~DecodedSink() = default;
  virtual void decoded(std::string_view bytes) = 0;
};

/// Removes a content encoding (RFC 9110 8.4.1) as the bytes come, within Limits::decoded and Limits::decoded_ratio.
class ContentDecoder {
 public:
  enum class Status : std::uint8_t { ok, limit, malformed };

  ContentDecoder() = default;
  ContentDecoder(const ContentDecoder&) = delete;
  ContentDecoder& operator=(const ContentDecoder&) = delete;
  virtual ~ContentDecoder() = default;

  /// Anything but ok is final: what came before it was handed over, nothing after it will be.
  virtual Status feed(std::string_view encoded, DecodedSink& sink) = 0;
};

enum class Encoding : std::uint8_t { identity, known, unknown };

/// What a Content-Encoding header asks for. Several encodings on top of each other are unknown.
Encoding encoding_of(std::string_view content_encoding);
/// Null unless the encoding is known.
std::unique_ptr<ContentDecoder> make_decoder(std::string_view content_encoding, const Limits& limits);

}  // namespace inferscope::assemble
