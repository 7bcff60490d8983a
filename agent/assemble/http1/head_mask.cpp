// SPDX-License-Identifier: Apache-2.0
#include "assemble/http1/head_mask.h"

#include <algorithm>
#include <array>

namespace inferscope::assemble::http1 {
namespace {

constexpr std::array<std::string_view, 25> kept_fields{"content-type",
                                                       "content-length",
                                                       "transfer-encoding",
                                                       "content-encoding",
                                                       "connection",
                                                       "upgrade",
                                                       "sec-websocket-extensions",
                                                       "expect",
                                                       "host",
                                                       "server",
                                                       "user-agent",
                                                       "traceparent",
                                                       "tracestate",
                                                       "x-request-id",
                                                       "accept",
                                                       "te",
                                                       "trailer",
                                                       "date",
                                                       "keep-alive",
                                                       "accept-encoding",
                                                       "retry-after",
                                                       "grpc-status",
                                                       "grpc-encoding",
                                                       "grpc-accept-encoding",
                                                       "grpc-timeout"};
constexpr std::string_view version_prefix = "HTTP/1.";
constexpr std::size_t longest_name = 64;
constexpr std::size_t longest_chunk_size = 16;
/// What a byte that may not be in a field name becomes: another one that may not.
constexpr char not_a_token = '?';

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_hex(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
}
constexpr bool is_visible(char c) {
  return c > ' ' && c < '\x7f';
}

}  // namespace

void HeadMask::feed(Part part, std::string_view range, MaskOutput& output) {
  for (; !range.empty(); range.remove_prefix(1)) {
    if (range[0] == '\n') {
      output.keep(range.substr(0, 1));
      phase_ = Phase::begin;
      count_ = 0;
    } else if (range[0] == '\r') {
      output.keep(range.substr(0, 1));
    } else {
      byte(part, range, output);
    }
  }
}

void HeadMask::byte(Part part, std::string_view rest, MaskOutput& output) {
  switch (part) {
    case Part::start_line:
      return start_line_byte(rest, output);
    case Part::header_line:
    case Part::trailer_line:
      return field_byte(rest, output);
    case Part::chunk_line:
      return chunk_byte(rest.substr(0, 1), output);
    case Part::chunk_end:
    case Part::body:
    case Part::unframed:
      return;
  }
}

void HeadMask::start_line_byte(std::string_view rest, MaskOutput& output) {
  if (phase_ == Phase::begin) {
    phase_ = side_ == Side::request ? Phase::method : Phase::version;
    word_.clear();
    count_ = 0;
  }
  const std::string_view byte = rest.substr(0, 1);
  switch (phase_) {
    case Phase::method:
      return method_byte(byte, output);
    case Phase::target:
      return target_byte(byte, output);
    case Phase::query:
      return query_byte(rest, output);
    case Phase::version:
      return version_byte(byte, output);
    case Phase::status:
      return status_byte(byte, output);
    case Phase::reason:
      if (is_blank(byte[0])) output.keep(byte);
      return;
    default:
      return;
  }
}

void HeadMask::method_byte(std::string_view byte, MaskOutput& output) {
  if (byte[0] == ' ' && is_known_method(word_)) {
    output.keep(byte);
    phase_ = Phase::target;
    count_ = 0;
    return;
  }
  word_.push_back(byte[0]);
  if (is_method_prefix(word_)) {
    output.keep(byte);
  } else {
    phase_ = Phase::garbage;
  }
}

void HeadMask::target_byte(std::string_view byte, MaskOutput& output) {
  const char c = byte[0];
  const bool connect = word_ == "CONNECT";
  if (c == ' ') {
    output.keep(byte);
    phase_ = Phase::version;
    count_ = 0;
    return;
  }
  if (c == '?') {
    output.keep(byte);
    phase_ = Phase::query;
    query_value_ = query_name_kept_ = false;
    count_ = 0;
    return;
  }
  // Of what is no target as the Reader knows them nothing is kept.
  constexpr std::string_view plain = "http://";
  constexpr std::string_view secure = "https://";
  if (!connect && count_ == 0 && c != '/' && c != '*' && c != 'h') phase_ = Phase::garbage;
  if (!connect && c == 'h' && count_ == 0) word_.assign(1, '\0');
  if (!connect && word_[0] == '\0' && count_ < secure.size()) {
    word_.push_back(c);
    const std::string_view scheme = std::string_view(word_).substr(1);
    if (!scheme.starts_with(plain) && !plain.starts_with(scheme) && !secure.starts_with(scheme))
      phase_ = Phase::garbage;
  }
  ++count_;
  if (phase_ == Phase::target && is_visible(c)) output.keep(byte);
}

void HeadMask::query_byte(std::string_view rest, MaskOutput& output) {
  const std::string_view byte = rest.substr(0, 1);
  const char c = byte[0];
  if (c == ' ') {
    output.keep(byte);
    phase_ = Phase::version;
    count_ = 0;
  } else if (c == '&') {
    output.keep(byte);
    query_value_ = query_name_kept_ = false;
    count_ = 0;
  } else if (c == '=' && !query_value_) {
    output.keep(byte);
    query_value_ = true;
  } else if (!query_value_) {
    // A word alone is a value rather than a name.
    if (count_++ == 0) {
      const std::size_t end = rest.find_first_of("=& \r\n");
      query_name_kept_ = end != std::string_view::npos && rest[end] == '=';
    }
    if (query_name_kept_ && is_visible(c)) output.keep(byte);
  }
}

void HeadMask::version_byte(std::string_view byte, MaskOutput& output) {
  const char c = byte[0];
  const bool fits = count_ < version_prefix.size()    ? c == version_prefix[count_]
                    : count_ == version_prefix.size() ? c == '0' || c == '1'
                                                      : side_ == Side::response && c == ' ';
  if (!fits) {
    phase_ = Phase::garbage;
    return;
  }
  output.keep(byte);
  if (count_++ <= version_prefix.size()) return;
  phase_ = Phase::status;
  count_ = 0;
}

void HeadMask::status_byte(std::string_view byte, MaskOutput& output) {
  constexpr std::size_t digits = 3;
  const bool fits = count_ < digits ? is_digit(byte[0]) : byte[0] == ' ';
  if (!fits) {
    phase_ = Phase::garbage;
    return;
  }
  output.keep(byte);
  if (count_++ == digits) phase_ = Phase::reason;
}

void HeadMask::field_byte(std::string_view rest, MaskOutput& output) {
  if (phase_ == Phase::begin) {
    // A line that begins with a blank goes on the value before it.
    phase_ = is_blank(rest[0]) ? Phase::value : Phase::name;
    if (phase_ == Phase::name) {
      word_.clear();
      name_known_ = true;
    }
  }
  if (phase_ == Phase::name) {
    name_byte(rest, output);
  } else {
    value_byte(rest.substr(0, 1), output);
  }
}

void HeadMask::name_byte(std::string_view rest, MaskOutput& output) {
  const std::string_view byte = rest.substr(0, 1);
  const char c = byte[0];
  if (c == ':') {
    output.keep(byte);
    value_ = name_known_ ? treatment_of(word_) : Value::masked;
    phase_ = Phase::value;
    return;
  }
  if (is_blank(c)) return output.keep(byte);
  if (!is_token(c)) return output.put(byte.data(), not_a_token);
  if (word_.size() < longest_name) {
    word_.push_back(lower(c));
  } else {
    name_known_ = false;
  }
  // Without a colon in sight this may be no name; only what begins one of ours is safe to keep.
  const std::string_view ahead = rest.substr(0, 2 * longest_name);
  const std::size_t end = ahead.find_first_of(":\n");
  const bool is_name = end != std::string_view::npos && ahead[end] == ':';
  const bool is_ours =
      end == std::string_view::npos && std::any_of(kept_fields.begin(), kept_fields.end(),
                                                   [this](std::string_view field) { return field.starts_with(word_); });
  if (is_name || is_ours) {
    output.keep(byte);
  } else {
    name_known_ = false;
  }
}

void HeadMask::value_byte(std::string_view byte, MaskOutput& output) {
  const char c = byte[0];
  const bool kept = is_blank(c) || value_ == Value::kept || (value_ == Value::number && (is_digit(c) || c == '.'));
  if (kept) output.keep(byte);
}

HeadMask::Value HeadMask::treatment_of(std::string_view name) {
  if (std::find(kept_fields.begin(), kept_fields.end(), name) != kept_fields.end()) return Value::kept;
  // How TGI tells its times and token counts.
  if (name.starts_with("x-") &&
      (name.ends_with("-time") || name.ends_with("-tokens") || name.ends_with("-time-per-token")))
    return Value::number;
  return Value::masked;
}

void HeadMask::chunk_byte(std::string_view byte, MaskOutput& output) {
  const char c = byte[0];
  if (phase_ == Phase::begin) {
    phase_ = Phase::size;
    count_ = 0;
  }
  if (phase_ != Phase::size) return;
  if (is_hex(c) && count_ < longest_chunk_size) {
    ++count_;
    output.keep(byte);
  } else if (is_blank(c)) {
    count_ = longest_chunk_size;
    output.keep(byte);
  } else {
    if (c == ';') output.keep(byte);
    phase_ = Phase::garbage;
  }
}

}  // namespace inferscope::assemble::http1
