// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "assemble/content/content_framing.h"

namespace inferscope::assemble {

/// What stands before each message: whether it is compressed, and its length.
constexpr std::size_t grpc_prefix = 5;

/// Messages of gRPC ("gRPC over HTTP/2", Length-Prefixed-Message): a byte that says whether it is compressed, four
/// bytes of length, the message; handed over as it was before it was compressed. One that lies within a piece is not
/// copied. One that is longer than the limit, or cannot be decompressed, counts as oversized.
class GrpcFraming final : public ContentFraming {
 public:
  /// `encoding`: of the grpc-encoding header.
  GrpcFraming(std::string_view encoding, const Limits& limits) : limits_(limits), encoding_(encoding) {}

  void feed(std::string_view bytes, MessageSink& sink) override;
  /// Where the next message begins cannot be known behind it.
  void hole() override { lost_ = true; }
  void end(MessageSink& sink) override;

 private:
  void use(std::string_view message, MessageSink& sink);

  const Limits& limits_;
  std::string encoding_;
  bool lost_ = false;
  bool compressed_ = false;
  bool oversized_ = false;
  std::string prefix_{};    ///< of the message that is read
  std::uint64_t left_ = 0;  ///< of it
  std::string carry_{};     ///< its beginning
};

}  // namespace inferscope::assemble
