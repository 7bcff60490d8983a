// SPDX-License-Identifier: Apache-2.0
#include "assemble/http2/reader.h"

#include <algorithm>
#include <optional>

namespace inferscope::assemble::http2 {
namespace {

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::size_t header_size = 9;
constexpr std::uint8_t end_stream = 0x1;   // of DATA and HEADERS
constexpr std::uint8_t end_headers = 0x4;  // of HEADERS, PUSH_PROMISE and CONTINUATION
constexpr std::uint8_t padded = 0x8;       // of DATA, HEADERS and PUSH_PROMISE
constexpr std::uint8_t priority = 0x20;    // of HEADERS
constexpr std::size_t priority_size = 5;
constexpr std::size_t promised_size = 4;
constexpr std::uint32_t usual_length = 16384;

FrameHeader header_of(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return std::uint32_t{static_cast<std::uint8_t>(bytes[i])}; };
  return {.length = at(0) << 16 | at(1) << 8 | at(2),
          .type = static_cast<std::uint8_t>(at(3)),
          .flags = static_cast<std::uint8_t>(at(4)),
          .stream = (at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8)) & 0x7fffffffU};
}

bool has_padding(const FrameHeader& frame) {
  const bool may = frame.is(FrameType::data) || frame.is(FrameType::headers) || frame.is(FrameType::push_promise);
  return may && (frame.flags & padded) != 0;
}

bool has_block(const FrameHeader& frame) {
  return frame.is(FrameType::headers) || frame.is(FrameType::push_promise) || frame.is(FrameType::continuation);
}

/// What comes before that which the frame is for.
std::uint64_t fixed_size(const FrameHeader& frame) {
  if (frame.is(FrameType::headers)) return (frame.flags & priority) != 0 ? priority_size : 0;
  return frame.is(FrameType::push_promise) ? promised_size : 0;
}

/// As far as the header alone can tell (RFC 9113 6).
bool is_possible(const FrameHeader& frame) {
  switch (static_cast<FrameType>(frame.type)) {
    case FrameType::data:
    case FrameType::headers:
    case FrameType::push_promise:
    case FrameType::continuation:
      return frame.stream != 0;
    case FrameType::priority:
      return frame.stream != 0 && frame.length == 5;
    case FrameType::rst_stream:
      return frame.stream != 0 && frame.length == 4;
    case FrameType::settings:
      return frame.stream == 0 && frame.length % 6 == 0;
    case FrameType::ping:
      return frame.stream == 0 && frame.length == 8;
    case FrameType::goaway:
      return frame.stream == 0 && frame.length >= 8;
    case FrameType::window_update:
      return frame.length == 4;
  }
  return frame.length <= usual_length;  // an extension, which is to be ignored
}

/// What is likely where one looks for a frame: one of the usual types, with no flag that it has not.
bool is_likely(const FrameHeader& frame) {
  constexpr std::uint8_t flags[] = {
      end_stream | padded, end_stream | end_headers | padded | priority, 0, 0, 1, end_headers | padded, 1, 0, 0,
      end_headers};
  if (frame.type >= std::size(flags) || (frame.flags & ~flags[frame.type]) != 0) return false;
  const bool of_client = frame.stream % 2 == 1 || frame.stream == 0;
  return is_possible(frame) && of_client && frame.length <= usual_length;
}

/// A transfer that begins so begins with a frame: it ends with it, or with another one.
bool begins_frame(std::string_view piece) {
  std::size_t frames = 0;
  while (piece.size() >= header_size) {
    const FrameHeader frame = header_of(piece);
    if (!is_likely(frame) || (frames == 0 && frame.is(FrameType::continuation))) return false;
    ++frames;
    if (piece.size() - header_size <= frame.length) return frames > 1 || piece.size() - header_size == frame.length;
    piece.remove_prefix(header_size + frame.length);
  }
  return frames > 1;
}

/// Of a block that begins a message, which of a request or response it is: pseudo-header fields come first, and those
/// that are always there have entries in the static table (RFC 7541 appendix A).
Recognition::Answer answer_of_block(std::string_view block) {
  using Answer = Recognition::Answer;
  if (block.empty()) return Answer::no;
  const auto first = static_cast<std::uint8_t>(block[0]);
  if ((first >= 0x82 && first <= 0x87) || first == 0x41 || first == 0x44) return Answer::request;
  return (first >= 0x88 && first <= 0x8e) || first == 0x48 ? Answer::response : Answer::no;
}

}  // namespace

Recognition recognise(std::string_view prefix) {
  using Answer = Recognition::Answer;
  if (prefix.starts_with(preface)) return {Answer::request};
  if (preface.starts_with(prefix)) return {prefix.empty() ? Answer::no : Answer::need_more};
  if (prefix.size() < header_size) return {};
  const FrameHeader frame = header_of(prefix);
  constexpr std::uint32_t most_settings = 16 * 6;
  if (frame.is(FrameType::settings) && is_likely(frame) && frame.flags == 0 && frame.length <= most_settings)
    return {Answer::response};
  if (!frame.is(FrameType::headers) || !is_likely(frame) || (frame.flags & end_headers) == 0) return {};
  const std::uint64_t before_block = (has_padding(frame) ? 1 : 0) + fixed_size(frame);
  if (frame.length <= before_block || prefix.size() <= header_size + before_block) return {};
  return {answer_of_block(prefix.substr(header_size + before_block))};
}

FrameReader::FrameReader(Side side, bool in_sync, const Limits& limits, Account& account, FrameSink& sink)
    : side_(side),
      limits_(limits),
      account_(account),
      sink_(sink),
      state_(!in_sync                ? State::unsynced
             : side == Side::request ? State::preface
                                     : State::header),
      skipping_(Drop::before_boundary) {}

void FrameReader::bytes(std::string_view piece, bool fresh, std::uint64_t position) {
  position_ = position;
  if (fresh && state_ == State::unsynced) {
    const auto answer = recognise(piece).answer;
    const bool found = begins_frame(piece) || (side_ == Side::response ? answer == Recognition::Answer::response
                                                                       : answer == Recognition::Answer::request ||
                                                                             answer == Recognition::Answer::need_more);
    failed_resyncs_ = found ? 0 : failed_resyncs_ + 1;
    if (found)
      state_ = side_ == Side::request && preface.starts_with(piece.substr(0, preface.size())) ? State::preface
                                                                                              : State::header;
  }
  while (!piece.empty()) {
    switch (state_) {
      case State::unsynced:
        position_ += piece.size();
        return account_.drop(skipping_, piece.size());
      case State::preface:
        take_preface(piece);
        break;
      case State::header:
        take_header(piece);
        break;
      case State::pad_length:
        take_pad_length(piece);
        break;
      case State::fixed:
        take_fixed(piece);
        break;
      case State::block:
        take_block(piece);
        break;
      case State::data:
        take_data(piece);
        break;
      case State::padding:
      case State::skipped:
        left_ -= take(piece, left_, state_ == State::padding ? Part::padding : Part::payload).size();
        if (left_ == 0) frame_ended();
        break;
    }
  }
}

std::string_view FrameReader::take(std::string_view& piece, std::uint64_t most, Part part) {
  const std::string_view range = piece.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), most)));
  piece.remove_prefix(range.size());
  position_ += range.size();
  account_.out += range.size();
  sink_.on_part(side_, part, range);
  return range;
}

void FrameReader::take_preface(std::string_view& piece) {
  const std::string_view expected = preface.substr(carry_.size());
  if (piece.substr(0, expected.size()) != expected.substr(0, piece.size())) return lose(Gap::Reason::malformed, 0);
  carry_.append(take(piece, expected.size(), Part::structure));
  if (carry_.size() < preface.size()) return;
  carry_.clear();
  state_ = State::header;
}

void FrameReader::take_header(std::string_view& piece) {
  // Before anybody takes it for structure.
  if (carry_.empty() && piece.size() >= header_size && !may_follow(header_of(piece)))
    return lose(Gap::Reason::malformed, 0);
  carry_.append(take(piece, header_size - carry_.size(), Part::structure));
  if (carry_.size() < header_size) return;
  frame_ = header_of(carry_);
  carry_.clear();
  begin_frame();
}

bool FrameReader::may_follow(const FrameHeader& frame) const {
  const bool goes_on = block_stream_ == 0 ? !frame.is(FrameType::continuation)
                                          : frame.is(FrameType::continuation) && frame.stream == block_stream_;
  return goes_on && is_possible(frame);
}

void FrameReader::begin_frame() {
  if (!may_follow(frame_)) return lose(Gap::Reason::malformed, 0);
  sink_.on_frame(side_, frame_);
  left_ = frame_.length;
  padding_ = 0;
  if (!has_padding(frame_)) return begin_fixed();
  if (left_ == 0) return lose(Gap::Reason::malformed, 0);
  state_ = State::pad_length;
}

void FrameReader::take_pad_length(std::string_view& piece) {
  padding_ = static_cast<std::uint8_t>(take(piece, 1, Part::structure)[0]);
  --left_;
  begin_fixed();
}

void FrameReader::begin_fixed() {
  fixed_ = fixed_size(frame_);
  if (fixed_ + padding_ > left_) return lose(Gap::Reason::malformed, 0);
  left_ -= padding_;
  state_ = State::fixed;
  if (fixed_ == 0) begin_payload();
}

void FrameReader::take_fixed(std::string_view& piece) {
  const std::size_t size = take(piece, fixed_, Part::structure).size();
  fixed_ -= size;
  left_ -= size;
  if (fixed_ == 0) begin_payload();
}

void FrameReader::begin_payload() {
  if (has_block(frame_)) {
    if (block_.size() + left_ > limits_.head_total) return lose(Gap::Reason::limit, 0);
    state_ = State::block;
    if (!frame_.is(FrameType::continuation)) {
      block_stream_ = frame_.stream;
      block_ends_stream_ = frame_.is(FrameType::headers) && (frame_.flags & end_stream) != 0;
      block_promised_ = frame_.is(FrameType::push_promise);
    }
    std::string_view nothing;
    if (left_ == 0) take_block(nothing);
    return;
  }
  state_ = frame_.is(FrameType::data) ? State::data : State::skipped;
  if (left_ == 0) payload_ended();
}

void FrameReader::take_block(std::string_view& piece) {
  const std::string_view range = take(piece, left_, Part::block);
  left_ -= range.size();
  const bool last = left_ == 0 && (frame_.flags & end_headers) != 0;
  block_in_piece_ = last && block_.empty();
  if (block_in_piece_) {
    block_ended(range);
  } else {
    block_.append(range);
    if (last) block_ended(block_);
  }
  if (left_ == 0 && state_ == State::block) payload_ended();
}

void FrameReader::block_ended(std::string_view block) {
  const StreamId stream = block_stream_;
  block_stream_ = 0;
  malformed_ = 0;
  sink_.on_block(side_, stream, block, block_promised_);
  block_ = {};
  if (block_ends_stream_) sink_.on_end(side_, stream);
}

void FrameReader::take_data(std::string_view& piece) {
  const std::string_view range = take(piece, left_, Part::data);
  left_ -= range.size();
  sink_.on_data(side_, frame_.stream, range);
  if (left_ == 0) payload_ended();
}

void FrameReader::payload_ended() {
  left_ = padding_;
  state_ = State::padding;
  if (left_ == 0) frame_ended();
}

void FrameReader::frame_ended() {
  state_ = State::header;
  if (frame_.is(FrameType::data) && (frame_.flags & end_stream) != 0) sink_.on_end(side_, frame_.stream);
  if (frame_.is(FrameType::rst_stream)) sink_.on_reset(side_, frame_.stream);
}

void FrameReader::hole(std::uint64_t bytes, Gap::Reason reason, std::uint64_t position) {
  position_ = position;
  account_.drop(drop_of(reason), bytes);
  const bool within = state_ == State::data || state_ == State::padding || state_ == State::skipped;
  if (within && state_ != State::data && bytes <= left_) {
    position_ += bytes;
    left_ -= bytes;
    if (left_ == 0) frame_ended();
    return;
  }
  if (state_ == State::data) {
    const std::uint64_t size = std::min(bytes, left_);
    sink_.on_data_hole(side_, frame_.stream, size, reason);
    position_ += size;
    left_ -= size;
    bytes -= size;
    if (left_ == 0) payload_ended();
    if (bytes == 0) return;
  }
  lose(reason, bytes);
}

void FrameReader::lose(Gap::Reason reason, std::uint64_t bytes) {
  const bool was_synced = state_ != State::unsynced;
  if (reason == Gap::Reason::malformed || reason == Gap::Reason::limit) ++malformed_;
  state_ = State::unsynced;
  skipping_ = reason == Gap::Reason::malformed ? Drop::malformed : Drop::lost_framing;
  carry_.clear();
  block_.clear();
  block_stream_ = 0;
  if (was_synced || bytes > 0) sink_.on_lost(side_, reason, bytes);
  position_ += bytes;
}

}  // namespace inferscope::assemble::http2
