// SPDX-License-Identifier: Apache-2.0
#include "assemble/zmtp/reader.h"

#include <algorithm>
#include <array>

#include "core/packed.h"

namespace inferscope::assemble::zmtp {
namespace {

constexpr std::size_t signature_size = 10;
constexpr std::size_t version_place = 10;
constexpr std::size_t mechanism_place = 12;
constexpr std::size_t mechanism_size = 20;
constexpr std::size_t greeting_size = 64;
constexpr unsigned oldest_version = 3;

constexpr unsigned more_bit = 1;
constexpr unsigned long_bit = 2;
constexpr unsigned command_bit = 4;
constexpr std::size_t short_header = 2;
constexpr std::size_t long_header = 9;
constexpr std::uint64_t longest_short = 255;
/// Nobody sends longer ones, and what is misread is likely to be longer.
constexpr std::uint64_t longest_plausible = std::uint64_t{1} << 30;
/// Of MessagePack that proves that a message is one. Less is had by chance.
constexpr std::size_t least_proof = 8;
/// The same where its end is not there.
constexpr std::size_t least_proof_of_beginning = 64;

constexpr unsigned byte_of(char c) {
  return static_cast<unsigned char>(c);
}

enum class Parsed : std::uint8_t { need_more, frame, malformed };

Parsed parse(std::string_view header, Frame& frame, std::size_t& size) {
  if (header.empty()) return Parsed::need_more;
  const unsigned flags = byte_of(header[0]);
  frame.more = (flags & more_bit) != 0;
  frame.command = (flags & command_bit) != 0;
  if ((flags & ~(more_bit | long_bit | command_bit)) != 0 || (frame.more && frame.command)) return Parsed::malformed;
  size = (flags & long_bit) != 0 ? long_header : short_header;
  frame.length = 0;
  for (const char c : header.substr(1, size - 1)) frame.length = frame.length << 8 | byte_of(c);
  const std::size_t missing = size - std::min(size, header.size());
  // Told by the first byte that makes it too long, in whose place the mask would do so, too.
  if (header.size() > 1 && frame.length > longest_plausible >> 8 * missing) return Parsed::malformed;
  return missing > 0 ? Parsed::need_more : Parsed::frame;
}

/// As it stands where frames have to prove themselves: no longer a header than its length needs.
Parsed parse_strictly(std::string_view header, Frame& frame, std::size_t& size) {
  const Parsed parsed = parse(header, frame, size);
  if (parsed != Parsed::frame) return parsed;
  const bool needed = (size == long_header) == (frame.length > longest_short);
  return needed ? Parsed::frame : Parsed::malformed;
}

/// A whole header, and frames behind each other up to the end of the piece. Text, also the mask, begins no frame.
bool is_plausible(std::string_view piece) {
  for (bool first = true; !piece.empty(); first = false) {
    Frame frame;
    std::size_t size = 0;
    const Parsed parsed = parse_strictly(piece, frame, size);
    if (parsed == Parsed::malformed) return false;
    if (parsed == Parsed::need_more) return !first;
    piece.remove_prefix(size);
    if (frame.length >= piece.size()) return true;
    piece.remove_prefix(static_cast<std::size_t>(frame.length));
  }
  return false;
}

bool is_packed(std::string_view body) {
  if (body.size() < least_proof) return false;
  PackedReader reader;
  const Packed* value = reader.parse(body);
  return value != nullptr && (value->is(Packed::Kind::array) || value->is(Packed::Kind::map)) &&
         reader.size() == body.size();
}

bool begins_packed(std::string_view body) {
  if (body.size() < least_proof_of_beginning) return false;
  PackedReader reader;
  const Packed* value = reader.parse(body);
  return value != nullptr && (value->is(Packed::Kind::array) || value->is(Packed::Kind::map)) && reader.cut_off() &&
         reader.element(*value, 1) != nullptr;
}

/// What may stand at a place of the greeting: RFC 23 leaves few bytes to choose.
bool fits_greeting(std::size_t place, char c) {
  const unsigned byte = byte_of(c);
  if (place == 0) return byte == 0xff;
  // Between the two fixed bytes stands a length, which peers of version 1 would read: that of a short name.
  if (place == signature_size - 2) return true;
  if (place < signature_size - 1) return byte == 0;
  if (place == signature_size - 1) return byte == 0x7f;
  if (place < mechanism_place) return byte < 0x20;
  if (place < mechanism_place + mechanism_size)
    return byte == 0 || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  return place == mechanism_place + mechanism_size ? byte <= 1 : byte == 0;
}

}  // namespace

Recognition recognise(std::string_view prefix) {
  using Answer = Recognition::Answer;
  if (prefix.empty()) return {Answer::no};
  for (std::size_t i = 0; i < std::min(prefix.size(), signature_size); ++i)
    if (!fits_greeting(i, prefix[i])) return {Answer::no};
  return {prefix.size() < signature_size ? Answer::need_more : Answer::peer};
}

Recognition recognise_mid_stream(std::string_view transfer) {
  constexpr Recognition no{Recognition::Answer::no};
  std::array<std::string_view, 2> begin{};  // of the message: its first two frames
  std::size_t frames = 0;
  bool more = false;
  bool proven = false;
  while (!transfer.empty()) {
    Frame frame;
    std::size_t size = 0;
    if (parse_strictly(transfer, frame, size) != Parsed::frame) return no;
    const std::string_view body = transfer.substr(size, static_cast<std::size_t>(frame.length));
    transfer.remove_prefix(size + body.size());
    const bool whole = body.size() == frame.length;
    if (frame.command && whole) continue;
    if (!more) frames = 0;
    if (!whole) {
      // Long prompts take more than a transfer, or more than is captured of one.
      const bool is_body = frames == 0 || (frames == 1 && begin[0].size() == 1);
      return {!frame.command && is_body && begins_packed(body) ? Recognition::Answer::peer : Recognition::Answer::no};
    }
    if (frames < begin.size()) begin[frames] = body;
    ++frames;
    more = frame.more;
    if (!more) proven = is_packed(frames > 1 && begin[0].size() == 1 ? begin[1] : begin[0]);
  }
  return {proven && !more ? Recognition::Answer::peer : Recognition::Answer::no};
}

FrameReader::FrameReader(bool in_sync, Account& account, FrameSink& sink)
    : state_(in_sync ? State::greeting : State::lost),
      skipping_(in_sync ? Drop::lost_framing : Drop::before_boundary),
      account_(account),
      sink_(sink) {}

void FrameReader::bytes(std::string_view piece, bool fresh) {
  if (fresh && state_ == State::lost && given_up_ == Drop::count) {
    if (is_plausible(piece)) {
      state_ = State::header;
      failed_resyncs_ = 0;
    } else {
      ++failed_resyncs_;
    }
  }
  while (!piece.empty()) {
    switch (state_) {
      case State::greeting:
        take_greeting(piece);
        break;
      case State::header:
        take_header(piece);
        break;
      case State::body:
        take_body(piece);
        break;
      case State::lost:
        account_.drop(given_up_ != Drop::count ? given_up_ : skipping_, piece.size());
        return sink_.on_lost();
    }
  }
}

void FrameReader::take_greeting(std::string_view& piece) {
  for (; !piece.empty() && carry_.size() < greeting_size; piece.remove_prefix(1)) {
    const std::size_t place = carry_.size();
    if (!fits_greeting(place, piece[0])) return lose(true);
    if (place == version_place && byte_of(piece[0]) < oldest_version) {
      given_up_ = Drop::not_recognised;
      return lose(false);
    }
    sink_.on_structure(piece.substr(0, 1));
    carry_ += piece[0];
    ++account_.held;
  }
  if (carry_.size() < greeting_size) return;
  const std::string_view mechanism = std::string_view(carry_).substr(mechanism_place, mechanism_size);
  const std::string_view name = mechanism.substr(0, mechanism.find('\0'));
  if (name != "NULL" && name != "PLAIN") {
    given_up_ = Drop::enciphered;
    return lose(false);
  }
  account_.held -= carry_.size();
  account_.out += carry_.size();
  carry_.clear();
  state_ = State::header;
}

void FrameReader::take_header(std::string_view& piece) {
  while (!piece.empty() && state_ == State::header) {
    carry_ += piece[0];
    ++account_.held;
    std::size_t size = 0;
    const Parsed parsed = parse(carry_, frame_, size);
    // A byte that is wrong is not handed over as one of a header: its mask is as wrong.
    if (parsed != Parsed::malformed) sink_.on_structure(piece.substr(0, 1));
    piece.remove_prefix(1);
    if (parsed == Parsed::malformed) return lose(true);
    if (parsed == Parsed::need_more) continue;
    account_.held -= carry_.size();
    account_.out += carry_.size();
    carry_.clear();
    left_ = frame_.length;
    state_ = State::body;
    sink_.on_frame(frame_);
    if (left_ == 0) frame_ended();
  }
}

void FrameReader::take_body(std::string_view& piece) {
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size()));
  account_.out += size;
  sink_.on_body(piece.substr(0, size));
  piece.remove_prefix(size);
  left_ -= size;
  if (left_ == 0) frame_ended();
}

void FrameReader::frame_ended() {
  state_ = State::header;
  if (!frame_.command && !frame_.more) malformed_ = 0;
  sink_.on_frame_end(frame_);
}

void FrameReader::hole(std::uint64_t bytes, Gap::Reason reason) {
  account_.drop(drop_of(reason), bytes);
  if (state_ == State::body) {
    const std::uint64_t size = std::min(bytes, left_);
    sink_.on_body_hole(size);
    left_ -= size;
    bytes -= size;
    if (left_ == 0) frame_ended();
  }
  if (bytes > 0) lose(false);
}

void FrameReader::lose(bool malformed) {
  if (malformed) ++malformed_;
  skipping_ = malformed ? Drop::malformed : Drop::lost_framing;
  forget_carry(given_up_ != Drop::count ? given_up_ : skipping_);
  if (state_ != State::lost) failed_resyncs_ = 0;
  state_ = State::lost;
  sink_.on_lost();
}

void FrameReader::forget_carry(Drop why) {
  account_.drop_held(why, carry_.size());
  carry_.clear();
}

}  // namespace inferscope::assemble::zmtp
