// SPDX-License-Identifier: Apache-2.0
#include "assemble/content/grpc.h"

#include <algorithm>

#include "assemble/content/content_decoder.h"

namespace inferscope::assemble {
namespace {

/// A whole message, up to a limit.
class Decompressed final : public DecodedSink {
 public:
  explicit Decompressed(std::size_t limit) : limit_(limit) {}
  void decoded(std::string_view bytes) override {
    fits_ = fits_ && text_.size() + bytes.size() <= limit_;
    if (fits_) text_.append(bytes);
  }
  [[nodiscard]] bool fits() const { return fits_; }
  [[nodiscard]] std::string_view text() const { return text_; }

 private:
  std::size_t limit_;
  bool fits_ = true;
  std::string text_{};
};

}  // namespace

void GrpcFraming::feed(std::string_view bytes, MessageSink& sink) {
  while (!bytes.empty() && !lost_) {
    if (prefix_.size() < grpc_prefix) {
      const std::size_t size = std::min(bytes.size(), grpc_prefix - prefix_.size());
      prefix_.append(bytes.substr(0, size));
      bytes.remove_prefix(size);
      if (prefix_.size() < grpc_prefix) return;
      const auto at = [this](std::size_t i) { return std::uint32_t{static_cast<std::uint8_t>(prefix_[i])}; };
      lost_ = at(0) > 1;
      compressed_ = at(0) == 1;
      left_ = at(1) << 24 | at(2) << 16 | at(3) << 8 | at(4);
      oversized_ = left_ > limits_.message;
      carry_.clear();
      if (left_ > 0 || lost_) continue;
    }
    const std::string_view part =
        bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_)));
    bytes.remove_prefix(part.size());
    left_ -= part.size();
    const bool whole = left_ == 0 && carry_.empty();
    if (!whole && !oversized_) carry_.append(part);
    if (left_ > 0) return;
    prefix_.clear();
    if (oversized_) {
      sink.oversized();
    } else {
      use(whole ? part : std::string_view(carry_), sink);
    }
  }
}

void GrpcFraming::use(std::string_view message, MessageSink& sink) {
  if (!compressed_ || message.empty()) return sink.message({}, message);
  Decompressed all(limits_.message);
  const auto decoder = make_decoder(encoding_, limits_);
  const bool good = decoder && decoder->feed(message, all) == ContentDecoder::Status::ok && all.fits();
  if (!good) return sink.oversized();
  sink.message({}, all.text());
}

void GrpcFraming::end(MessageSink& /*sink*/) {
  prefix_.clear();
  carry_.clear();
}

}  // namespace inferscope::assemble
