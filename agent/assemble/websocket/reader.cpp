// SPDX-License-Identifier: Apache-2.0
#include "assemble/websocket/reader.h"

#include <algorithm>

#include "assemble/http1/syntax.h"

namespace inferscope::assemble::websocket {
namespace {

constexpr unsigned fin_bit = 0x80;
constexpr unsigned rsv1_bit = 0x40;
constexpr unsigned other_rsv_bits = 0x30;
constexpr unsigned opcode_bits = 0x0f;
constexpr unsigned mask_bit = 0x80;
constexpr unsigned length_bits = 0x7f;
constexpr unsigned two_byte_length = 126;
constexpr unsigned eight_byte_length = 127;
constexpr std::uint64_t longest_control_payload = 125;

constexpr unsigned byte_of(char c) {
  return static_cast<unsigned char>(c);
}

constexpr bool is_known(unsigned opcode) {
  return opcode <= static_cast<unsigned>(Opcode::binary) ||
         (opcode >= static_cast<unsigned>(Opcode::close) && opcode <= static_cast<unsigned>(Opcode::pong));
}

}  // namespace

void add_extensions(std::string_view field, Extensions& extensions) {
  http1::for_each_element(field, [&extensions](std::string_view extension) {
    const std::size_t name_end = extension.find(';');
    if (extensions.deflate ||
        !http1::equal_ignoring_case(http1::trim(extension.substr(0, name_end)), "permessage-deflate")) {
      extensions.unknown = true;
      return;
    }
    extensions.deflate = true;
    while (extension.find(';') != std::string_view::npos) {
      extension.remove_prefix(extension.find(';') + 1);
      const std::string_view parameter = http1::trim(extension.substr(0, extension.find(';')));
      // The sizes of windows do not matter: the largest reads them all.
      if (http1::equal_ignoring_case(parameter, "client_no_context_takeover"))
        extensions.no_context_takeover[static_cast<int>(Side::request)] = true;
      if (http1::equal_ignoring_case(parameter, "server_no_context_takeover"))
        extensions.no_context_takeover[static_cast<int>(Side::response)] = true;
    }
  });
}

FrameReader::Parsed FrameReader::parse(std::string_view header, Frame& frame, std::size_t& size) const {
  if (header.empty()) return Parsed::need_more;
  const unsigned first = byte_of(header[0]);
  const unsigned opcode = first & opcode_bits;
  frame.final = (first & fin_bit) != 0;
  frame.compressed = (first & rsv1_bit) != 0;
  if ((first & other_rsv_bits) != 0 || !is_known(opcode)) return Parsed::malformed;
  frame.opcode = static_cast<Opcode>(opcode);
  if (frame.compressed && (!deflate_ || frame.control() || frame.opcode == Opcode::continuation))
    return Parsed::malformed;
  if (frame.control() && !frame.final) return Parsed::malformed;
  if (header.size() < 2) return Parsed::need_more;

  const unsigned second = byte_of(header[1]);
  frame.masked = (second & mask_bit) != 0;
  if (frame.masked != (side_ == Side::request)) return Parsed::malformed;
  frame.length = second & length_bits;
  if (frame.control() && frame.length > longest_control_payload) return Parsed::malformed;
  const std::size_t length_size = frame.length == two_byte_length ? 2 : frame.length == eight_byte_length ? 8 : 0;
  size = 2 + length_size + (frame.masked ? frame.key.size() : 0);
  if (header.size() < 2 + length_size) return Parsed::need_more;
  if (length_size > 0) {
    std::uint64_t length = 0;
    for (const char c : header.substr(2, length_size)) length = length << 8 | byte_of(c);
    const std::uint64_t least = length_size == 2 ? two_byte_length : std::uint64_t{1} << 16;
    if (length < least || length >> 63 != 0) return Parsed::malformed;
    frame.length = length;
  }
  if (header.size() < size) return Parsed::need_more;
  if (frame.masked) std::copy_n(header.data() + size - frame.key.size(), frame.key.size(), frame.key.begin());
  return Parsed::frame;
}

/// Whether the frame may come behind others. Control frames may stand between the fragments of a message.
bool FrameReader::fits(const Frame& frame, Fragments fragments) {
  if (frame.control() || fragments == Fragments::unknown) return true;
  return (frame.opcode == Opcode::continuation) == (fragments == Fragments::open);
}

FrameReader::Fragments FrameReader::behind(const Frame& frame, Fragments fragments) {
  if (frame.control()) return fragments;
  return frame.final ? Fragments::none : Fragments::open;
}

void FrameReader::bytes(std::string_view piece, bool fresh, std::uint64_t position) {
  position_ = position;
  if (fresh && state_ == State::lost) {
    if (is_plausible(piece)) {
      state_ = State::header;
      failed_resyncs_ = 0;
    } else {
      ++failed_resyncs_;
    }
  }
  while (!piece.empty()) {
    switch (state_) {
      case State::header:
        take_header(piece);
        break;
      case State::payload:
        take_payload(piece);
        break;
      case State::lost:
      case State::closed:
        skip(piece);
        break;
    }
  }
}

/// A whole header, and nothing malformed behind it in the piece: what a redactor keeps of it is read as plausible, too.
/// Text, also the mask, begins no frame: its bytes have bits set that headers must not have.
bool FrameReader::is_plausible(std::string_view piece) const {
  Fragments fragments = Fragments::unknown;
  for (bool first = true; !piece.empty(); first = false) {
    Frame frame;
    std::size_t size = 0;
    const Parsed parsed = parse(piece.substr(0, longest_header), frame, size);
    if (parsed == Parsed::malformed || !fits(frame, fragments)) return false;
    if (parsed == Parsed::need_more) return !first;
    fragments = behind(frame, fragments);
    piece.remove_prefix(size);
    if (frame.length >= piece.size() || frame.opcode == Opcode::close) return true;
    piece.remove_prefix(static_cast<std::size_t>(frame.length));
  }
  return false;
}

void FrameReader::take_header(std::string_view& piece) {
  while (!piece.empty() && state_ == State::header) {
    header_[header_size_++] = piece[0];
    ++account_.held;
    std::size_t size = 0;
    const Parsed parsed = parse({header_.data(), header_size_}, frame_, size);
    const bool malformed = parsed == Parsed::malformed || !fits(frame_, fragments_);
    // A first byte that is wrong is not handed over as one of a header: its mask is as wrong.
    if (!malformed || header_size_ > 1) sink_.on_header(side_, piece.substr(0, 1));
    piece.remove_prefix(1);
    ++position_;
    if (malformed) return lose(Gap::Reason::malformed, 0);
    if (parsed == Parsed::need_more) continue;
    account_.held -= header_size_;
    account_.out += header_size_;
    header_size_ = 0;
    fragments_ = behind(frame_, fragments_);
    left_ = frame_.length;
    state_ = State::payload;
    sink_.on_frame(side_, frame_);
    if (left_ == 0) frame_end();
  }
}

void FrameReader::take_payload(std::string_view& piece) {
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size()));
  account_.out += size;
  sink_.on_payload(side_, frame_, piece.substr(0, size), frame_.length - left_);
  piece.remove_prefix(size);
  position_ += size;
  left_ -= size;
  if (left_ == 0) frame_end();
}

void FrameReader::frame_end() {
  state_ = frame_.opcode == Opcode::close ? State::closed : State::header;
  sink_.on_frame_end(side_, frame_);
}

void FrameReader::skip(std::string_view& piece) {
  account_.drop(state_ == State::closed ? Drop::after_end : Drop::lost_framing, piece.size());
  if (state_ == State::lost) sink_.on_lost(side_, piece.size(), why_lost_);
  position_ += piece.size();
  piece = {};
}

void FrameReader::hole(std::uint64_t bytes, Gap::Reason reason, std::uint64_t position) {
  position_ = position;
  account_.drop(drop_of(reason), bytes);
  if (state_ == State::payload) {
    const std::uint64_t size = std::min(bytes, left_);
    sink_.on_payload_hole(side_, frame_, size, reason);
    position_ += size;
    left_ -= size;
    bytes -= size;
    if (left_ == 0) frame_end();
  }
  if (bytes == 0) return;
  if (state_ == State::closed) {
    position_ += bytes;
  } else {
    lose(reason, bytes);
  }
}

void FrameReader::lose(Gap::Reason reason, std::uint64_t bytes) {
  const bool malformed = reason == Gap::Reason::malformed;
  forget_header(malformed ? Drop::malformed : Drop::lost_framing);
  if (state_ != State::lost) failed_resyncs_ = 0;
  state_ = State::lost;
  why_lost_ = malformed ? Gap::Reason::malformed : Gap::Reason::lost;
  fragments_ = Fragments::unknown;
  sink_.on_lost(side_, bytes, reason);
  position_ += bytes;
}

void FrameReader::forget_header(Drop why) {
  account_.drop_held(why, header_size_);
  header_size_ = 0;
}

}  // namespace inferscope::assemble::websocket
