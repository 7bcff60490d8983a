// SPDX-License-Identifier: Apache-2.0
#include "assemble/http1/reader.h"

#include <algorithm>

namespace inferscope::assemble::http1 {
namespace {

/// And not the beginning of a response, or of blank lines.
bool may_be_method(std::string_view begin) {
  return is_token(begin[0]) && is_method_prefix(begin.substr(0, begin.find(' ')));
}

}  // namespace

std::string_view Reader::bytes(std::string_view piece, bool fresh, std::uint64_t position) {
  position_ = position;
  if (tentative_)
    weigh(piece);
  else if (fresh && (state_ == State::unsynced || state_ == State::chunk_lost) && !resync(piece))
    ++failed_resyncs_;
  turned_ = false;
  while (!piece.empty()) {
    switch (state_) {
      case State::unsynced:
      case State::tunnel:
      case State::chunk_lost:
        skip_lost(piece);
        break;
      case State::body_length:
      case State::body_until_close:
      case State::chunk_data:
        take_body(piece);
        break;
      case State::start_line:
      case State::fields:
      case State::chunk_line:
      case State::chunk_end:
      case State::trailer:
        take_line(piece);
        break;
      case State::other:
        return piece;
    }
  }
  return {};
}

void Reader::consume(std::string_view range, Part part) {
  position_ += range.size();
  if (wants_parts_) sink_.on_part(side_, part, range);
}

Part Reader::line_part() const {
  switch (state_) {
    case State::start_line:
      return Part::start_line;
    case State::fields:
      return Part::header_line;
    case State::chunk_line:
      return Part::chunk_line;
    case State::chunk_end:
      return Part::chunk_end;
    default:
      return Part::trailer_line;
  }
}

void Reader::take_line(std::string_view& piece) {
  if (state_ == State::start_line && !begun_) {
    // Blank lines before a message belong to nothing.
    const std::size_t blanks = std::min(piece.find_first_not_of("\r\n"), piece.size());
    if (blanks > 0) {
      consume(piece.substr(0, blanks), Part::start_line);
      account_.out += blanks;
      piece.remove_prefix(blanks);
      if (piece.empty()) return;
    }
    begun_ = true;
    head_ = Head{.side = side_};
    sink_.on_begin(side_);
  }
  const std::size_t end = piece.find('\n');
  const std::size_t size = end == std::string_view::npos ? piece.size() : end + 1;
  const std::string_view range = piece.substr(0, size);
  piece.remove_prefix(size);
  consume(range, line_part());
  head_.bytes += size;
  if (end == std::string_view::npos || line_bytes_ > 0) {
    const std::size_t longest = limits_.line + 2;  // with its end
    const std::size_t room = longest - std::min(longest, carry_.size());
    carry_.append(range.substr(0, room));
    line_truncated_ = line_truncated_ || range.size() > room;
    account_.held += size;
    line_bytes_ += size;
    if (end == std::string_view::npos) {
      if (head_.bytes > limits_.head_total) lose(Gap::Reason::limit, 0);
      return;
    }
    account_.held -= line_bytes_;
  }
  const std::uint64_t whole = line_bytes_ > 0 ? line_bytes_ : size;
  std::string_view line = line_bytes_ > 0 ? std::string_view(carry_) : range;
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() > limits_.line) {
    line = line.substr(0, limits_.line);
    line_truncated_ = true;
  }
  line_bytes_ = 0;
  malformed_ = false;
  use_line(line);
  if (malformed_) {
    account_.drop(Drop::malformed, whole);
  } else if (uncounted_) {
    account_.drop(*uncounted_, whole);
  } else {
    account_.out += whole;
  }
  carry_.clear();
  line_truncated_ = false;
}

void Reader::use_line(std::string_view line) {
  if (head_.bytes > limits_.head_total || (in_body() && line_truncated_)) return lose(Gap::Reason::limit, 0);
  switch (state_) {
    case State::start_line:
      return use_start_line(line);
    case State::fields:
      return line.empty() ? end_of_head() : use_field(line);
    case State::chunk_line:
      return use_chunk_line(line);
    case State::chunk_end:
      if (!line.empty()) return lose(Gap::Reason::malformed, 0);
      state_ = State::chunk_line;
      return;
    default:
      if (line.empty()) message_end();
  }
}

void Reader::use_start_line(std::string_view line) {
  if (line_truncated_) return lose(Gap::Reason::limit, 0);
  if (side_ == Side::request) {
    const auto parsed = parse_request_line(line);
    if (!parsed) return lose(Gap::Reason::malformed, 0);
    head_.head_method = parsed->method == "HEAD";
    head_.connect_method = parsed->method == "CONNECT";
    sink_.on_request_line(*parsed);
  } else {
    const auto parsed = parse_status_line(line);
    if (!parsed) return lose(Gap::Reason::malformed, 0);
    head_.status = parsed->status;
    sink_.on_status_line(*parsed);
  }
  kept_ = line.size();
  fields_ = 0;
  last_field_frames_ = false;
  state_ = State::fields;
}

void Reader::use_field(std::string_view line) {
  if (is_blank(line[0])) {  // obs-fold; harmless unless it hides how the message is framed
    if (last_field_frames_ || fields_ == 0) return lose(Gap::Reason::malformed, 0);
    const std::string_view value = trim(line);
    kept_ += value.size();
    if (kept_ <= limits_.head && fields_ <= limits_.headers) sink_.on_folded(side_, value);
    return;
  }
  const auto field = parse_field(line);
  if (!field) return lose(line_truncated_ ? Gap::Reason::limit : Gap::Reason::malformed, 0);
  ++fields_;
  use_framing_field(*field);
  if (malformed_) return;
  kept_ += field->name.size() + field->value.size();
  if (line_truncated_ || kept_ > limits_.head || fields_ > limits_.headers) head_.truncated = true;
  if (kept_ <= limits_.head && fields_ <= limits_.headers) sink_.on_field(side_, *field);
}

void Reader::use_framing_field(const Field& field) {
  last_field_frames_ = false;
  if (equal_ignoring_case(field.name, "content-length")) {
    last_field_frames_ = true;
    const auto length = parse_content_length(field.value);
    if (!length || line_truncated_ || (head_.content_length && *head_.content_length != *length))
      return lose(Gap::Reason::malformed, 0);
    head_.content_length = length;
  } else if (equal_ignoring_case(field.name, "transfer-encoding")) {
    last_field_frames_ = true;
    for_each_element(field.value, [this](std::string_view coding) {
      head_.transfer_encoding = true;
      head_.chunked = equal_ignoring_case(coding, "chunked");
    });
  } else if (equal_ignoring_case(field.name, "upgrade")) {
    head_.websocket = equal_ignoring_case(field.value, "websocket");
    head_.http2 = field.value == "h2c";
  } else if (equal_ignoring_case(field.name, "sec-websocket-extensions")) {
    websocket::add_extensions(field.value, head_.extensions);
  }
}

void Reader::end_of_head() {
  switch (sink_.on_head(head_)) {
    case BodyKind::none:
      return message_end();
    case BodyKind::length:
      left_ = head_.content_length.value_or(0);
      if (left_ == 0) return message_end();
      state_ = State::body_length;
      return;
    case BodyKind::chunked:
      state_ = State::chunk_line;
      return;
    case BodyKind::until_close:
      state_ = State::body_until_close;
      return;
    case BodyKind::tunnel:
      state_ = State::tunnel;
      begun_ = false;
      sink_.on_end(side_);
      return;
    case BodyKind::other:
      state_ = State::other;
      begun_ = false;
      return;
  }
}

void Reader::use_chunk_line(std::string_view line) {
  head_.bytes = 0;  // from here on it bounds the trailer section
  const auto size = parse_chunk_size(line);
  if (!size) return lose(Gap::Reason::malformed, 0);
  left_ = *size;
  state_ = left_ > 0 ? State::chunk_data : State::trailer;
}

void Reader::message_end() {
  state_ = State::start_line;
  begun_ = false;
  left_ = 0;
  sink_.on_end(side_);
}

void Reader::take_body(std::string_view& piece) {
  const bool bounded = state_ != State::body_until_close;
  const std::size_t size =
      bounded ? static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size())) : piece.size();
  const std::string_view range = piece.substr(0, size);
  piece.remove_prefix(size);
  if (uncounted_) {
    account_.drop(*uncounted_, size);
  } else {
    account_.out += size;
  }
  consume(range, Part::body);
  if (bounded) left_ -= size;
  sink_.on_body(side_, range);
  if (!bounded || left_ > 0) return;
  if (state_ == State::body_length) {
    message_end();
  } else if (state_ == State::chunk_data) {
    state_ = State::chunk_end;
  }
}

/// Servers that read byte by byte begin a message with a letter.
void Reader::weigh(std::string_view piece) {
  using Answer = Recognition::Answer;
  constexpr std::size_t enough = 64;
  const std::string begin = carry_ + std::string(piece.substr(0, enough));
  const Answer answer = recognise(begin).answer;
  if (answer == Answer::need_more && may_be_method(begin)) return;
  tentative_ = false;
  if (answer == Answer::request) {
    failed_resyncs_ = 0;
    return;
  }
  const std::size_t failed = failed_resyncs_ + 1;
  abandon(Drop::before_boundary);
  failed_resyncs_ = failed;
  uncertain_ = true;
}

bool Reader::resync(std::string_view piece) {
  using Answer = Recognition::Answer;
  const Answer answer = recognise(piece).answer;
  if (answer == Answer::need_more && turned_ && side_ == Side::request && may_be_method(piece)) {
    state_ = State::start_line;
    begun_ = false;
    tentative_ = true;
    return true;
  }
  if (answer == (side_ == Side::request ? Answer::request : Answer::response)) {
    if (state_ == State::chunk_lost) sink_.on_lost(side_, Gap::Reason::lost, 0, true);
    state_ = State::start_line;
    begun_ = false;
  } else if (state_ == State::chunk_lost && looks_like_chunk(piece)) {
    state_ = State::chunk_line;
  } else {
    return false;
  }
  failed_resyncs_ = 0;
  return true;
}

void Reader::skip_lost(std::string_view& piece) {
  uncertain_ = true;
  if (state_ == State::chunk_lost) {
    account_.drop(uncounted_.value_or(Drop::lost_framing), piece.size());
    sink_.on_body_hole(side_, piece.size(), Gap::Reason::lost);
  } else {
    account_.drop(state_ == State::tunnel ? Drop::after_upgrade : Drop::before_boundary, piece.size());
  }
  consume(piece, Part::unframed);
  piece = {};
}

void Reader::hole(std::uint64_t bytes, Gap::Reason reason, std::uint64_t position) {
  position_ = position;
  account_.drop(drop_of(reason), bytes);
  while (bytes > 0) {
    switch (state_) {
      case State::tunnel:
      case State::other:
        position_ += bytes;
        return;
      case State::chunk_lost:
      case State::body_until_close:
        sink_.on_body_hole(side_, bytes, reason);
        position_ += bytes;
        return;
      case State::body_length:
      case State::chunk_data: {
        // A chunk's end may be missing along with its data: the next chunk size is where it should be.
        const bool whole_chunk = state_ == State::chunk_data && bytes == left_ + 2;
        if (state_ == State::chunk_data && bytes > left_ && !whole_chunk) return lose(reason, bytes);
        const std::uint64_t size = std::min(bytes, left_);
        sink_.on_body_hole(side_, size, reason);
        position_ += size;
        left_ -= size;
        bytes -= size;
        if (left_ > 0) return;
        if (state_ == State::body_length) {
          message_end();
        } else if (whole_chunk) {
          position_ += bytes;
          state_ = State::chunk_line;
          return;
        } else {
          state_ = State::chunk_end;
        }
        break;
      }
      case State::unsynced:
      case State::start_line:
      case State::fields:
      case State::chunk_line:
      case State::chunk_end:
      case State::trailer:
        return lose(reason, bytes);
    }
  }
}

void Reader::lose(Gap::Reason reason, std::uint64_t bytes) {
  const bool was_in_body = in_body();
  tentative_ = false;
  malformed_ = reason == Gap::Reason::malformed || reason == Gap::Reason::limit;
  forget_line(malformed_ ? Drop::malformed : Drop::lost_framing);
  // Servers write a chunk at a time: there is hope within a response that was lost by a hole.
  const bool stays = was_in_body && !malformed_ && side_ == Side::response && state_ != State::trailer;
  if (state_ != State::unsynced) failed_resyncs_ = 0;
  state_ = stays ? State::chunk_lost : State::unsynced;
  if (!stays) begun_ = false;
  uncertain_ = true;
  if (was_in_body && bytes > 0) sink_.on_body_hole(side_, bytes, reason);
  position_ += bytes;
  if (!stays) sink_.on_lost(side_, reason, bytes, was_in_body);
}

void Reader::stream_ended() {
  if (state_ == State::body_until_close) return message_end();
  if (line_bytes_ > 0) abandon(Drop::after_end);
}

void Reader::abandon(Drop why) {
  forget_line(why);
  tentative_ = false;
  state_ = State::unsynced;
  begun_ = false;
  failed_resyncs_ = 0;
}

void Reader::forget_line(Drop why) {
  account_.drop_held(why, line_bytes_);
  line_bytes_ = 0;
  line_truncated_ = false;
  carry_.clear();
}

}  // namespace inferscope::assemble::http1
