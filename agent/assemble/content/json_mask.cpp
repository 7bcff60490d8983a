// SPDX-License-Identifier: Apache-2.0
#include "assemble/content/json_mask.h"

#include <algorithm>

namespace inferscope::assemble {
namespace {

/// Keys whose string values are identifiers.
constexpr std::array<std::string_view, 13> identifier_keys{
    "model",       "id",          "object", "role",         "type",   "finish_reason",     "stop_type",
    "stop_reason", "done_reason", "code",   "service_tier", "status", "system_fingerprint"};

/// Keys below which names and numbers are content as well.
constexpr std::array<std::string_view, 5> private_keys{"top_logprobs", "logit_bias", "metadata", "arguments",
                                                       "properties"};

template <std::size_t size>
bool contains(const std::array<std::string_view, size>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

constexpr bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_identifier(char c) {
  return is_letter(c) || is_digit(c) || std::string_view("_-.:/@+$").find(c) != std::string_view::npos;
}
constexpr bool is_number(char c) {
  return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

}  // namespace

void JsonMask::reset() {
  state_ = State::value;
  escaped_ = false;
  depth_ = 0;
}

void JsonMask::feed(std::string_view piece, MaskOutput& output) {
  while (!piece.empty()) piece.remove_prefix(take(piece, output));
}

std::size_t JsonMask::take(std::string_view rest, MaskOutput& output) {
  switch (state_) {
    case State::in_key:
      return take_key(rest, output);
    case State::in_string:
      return take_string(rest, output);
    case State::in_number:
      return take_number(rest, output);
    case State::in_literal:
      return take_literal(rest, output);
    case State::broken:
      return rest.size();
    default:
      break;
  }
  const char c = rest[0];
  if (is_space(c)) {
    output.keep(rest.substr(0, 1));
    return 1;
  }
  if (state_ == State::first_element && c == ']') {
    pop();
  } else if (state_ == State::value || state_ == State::first_element) {
    begin_value(c);
    if (state_ == State::in_number || state_ == State::in_literal) return 0;  // the byte belongs to it
  } else if (state_ == State::first_key && c == '}') {
    pop();
  } else if ((state_ == State::first_key || state_ == State::key) && c == '"') {
    state_ = State::in_key;
    escaped_ = false;
    keep_ = !top().private_names;
    size_ = 0;
    key_.clear();
  } else if (state_ == State::colon && c == ':') {
    state_ = State::value;
  } else if (state_ == State::comma && c == ',') {
    state_ = top().object ? State::key : State::value;
  } else if (state_ == State::comma && c == (top().object ? '}' : ']')) {
    pop();
  } else {
    state_ = State::broken;
  }
  if (state_ != State::broken) output.keep(rest.substr(0, 1));
  return 1;
}

void JsonMask::begin_value(char c) {
  const bool member = depth_ > 0 && top().object;
  const bool open = depth_ == 0 || !top().private_names;
  const bool first_of_list = state_ == State::first_element;
  if (c == '{' || c == '[') return push(c == '{');
  if (c == '"') {
    state_ = State::in_string;
    escaped_ = false;
    keep_ = open && depth_ > 0 && top().keeps_strings && !top().next_private;
    size_ = 0;
    return;
  }
  if (c == '-' || is_digit(c)) {
    state_ = State::in_number;
    keep_ = open && member && !top().next_private;
    return;
  }
  state_ = State::in_literal;
  switch (c) {
    case 't':
      literal_ = "true";
      return;
    case 'f':
      literal_ = "false";
      return;
    case 'n':
      literal_ = "null";
      return;
    case 'D':  // "[DONE]", with which OpenAI's streams end
      literal_ = "DONE";
      if (first_of_list && depth_ == 1) return;
      break;
    default:
      break;
  }
  state_ = State::broken;
}

void JsonMask::push(bool object) {
  if (depth_ == deepest) {
    state_ = State::broken;
    return;
  }
  Level level{.object = object};
  if (depth_ > 0) {
    level.private_names = top().private_names || top().next_private;
    level.keeps_strings = !object && top().keeps_strings;
  }
  levels_[depth_++] = level;
  state_ = object ? State::first_key : State::first_element;
}

void JsonMask::pop() {
  --depth_;
  end_value();
}

std::size_t JsonMask::take_key(std::string_view rest, MaskOutput& output) {
  const char c = rest[0];
  if (!escaped_ && c == '"') {
    output.keep(rest.substr(0, 1));
    top().keeps_strings = keep_ && contains(identifier_keys, key_);
    top().next_private = contains(private_keys, key_);
    state_ = State::colon;
    return 1;
  }
  escaped_ = !escaped_ && c == '\\';
  keep_ = keep_ && is_identifier(c) && size_ < longest_key;
  ++size_;
  if (keep_) {
    key_.push_back(c);
    output.keep(rest.substr(0, 1));
  } else {
    key_.clear();
  }
  return 1;
}

std::size_t JsonMask::take_string(std::string_view rest, MaskOutput& output) {
  std::size_t i = 0;
  for (; i < rest.size(); ++i) {
    const char c = rest[i];
    if (!escaped_ && c == '"') {
      output.keep(rest.substr(i, 1));
      end_value();
      return i + 1;
    }
    escaped_ = !escaped_ && c == '\\';
    if (!keep_) continue;
    keep_ = is_identifier(c) && size_++ < longest_identifier;
    if (keep_) output.keep(rest.substr(i, 1));
  }
  return i;
}

std::size_t JsonMask::take_number(std::string_view rest, MaskOutput& output) {
  std::size_t i = 0;
  for (; i < rest.size() && is_number(rest[i]); ++i) {
    if (!keep_ && is_digit(rest[i])) {
      output.put(&rest[i], '1');
    } else {
      output.keep(rest.substr(i, 1));
    }
  }
  if (i < rest.size()) end_value();
  return i;
}

std::size_t JsonMask::take_literal(std::string_view rest, MaskOutput& output) {
  if (literal_.empty()) {
    end_value();
    return 0;
  }
  if (rest[0] != literal_[0]) {
    state_ = State::broken;
    return 0;
  }
  literal_.remove_prefix(1);
  output.keep(rest.substr(0, 1));
  return 1;
}

}  // namespace inferscope::assemble
