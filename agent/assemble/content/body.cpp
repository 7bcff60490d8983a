// SPDX-License-Identifier: Apache-2.0
#include "assemble/content/body.h"

namespace inferscope::assemble {

void Body::begin(const Headers& headers, Side side, const Limits& limits) {
  const std::string_view content_encoding = find_header(headers, "content-encoding");
  const ContentKind kind = content_kind(find_header(headers, "content-type"));
  encoded_ = !content_encoding.empty() && encoding_of(content_encoding) != Encoding::identity;
  failed_ = false;
  decoder_ = encoded_ ? make_decoder(content_encoding, limits) : nullptr;
  const bool divide = side == Side::response || kind == ContentKind::grpc;
  framing_ = divide ? make_framing(kind, find_header(headers, "grpc-encoding"), limits) : nullptr;
}

void Body::bytes(std::string_view wire) {
  if (wire.empty()) return;
  if (!encoded_) return decoded(wire);
  if (failed_) return sink_.body_undecodable(wire.size(), ContentDecoder::Status::malformed, false);
  const auto status = decoder_ ? decoder_->feed(wire, *this) : ContentDecoder::Status::limit;
  if (status == ContentDecoder::Status::ok) return;
  failed_ = true;
  if (framing_) framing_->hole();
  sink_.body_undecodable(wire.size(), status, true);
}

void Body::decoded(std::string_view bytes) {
  if (framing_) {
    framing_->feed(bytes, *this);
  } else {
    sink_.body_piece(bytes);
  }
}

void Body::hole() {
  failed_ = encoded_;  // no decoder can go on behind a hole
  if (framing_) framing_->hole();
}

void Body::end() {
  if (framing_) framing_->end(*this);
  end_without_rest();
}

void Body::end_without_rest() {
  framing_.reset();
  decoder_.reset();
}

}  // namespace inferscope::assemble
