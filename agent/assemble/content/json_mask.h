// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "assemble/protocol.h"

namespace inferscope::assemble {

/// Keeps the structure of one JSON text: punctuation, keys, numbers and literals of members, and strings that are
/// identifiers by their key ("model", "finish_reason" …). What may be content is masked:
///
///   - all other strings, escapes and bytes alike, so that their length and emptiness stay;
///   - digits of numbers that are not members of an object (token ids, embeddings): each becomes 1;
///   - keys that are not made like identifiers, and everything below keys whose members are named by the user or by
///     the model ("arguments", "top_logprobs" …);
///   - everything from the first byte on that is not JSON, up to the next reset().
///
/// The state goes on over any division into pieces.
class JsonMask {
 public:
  void feed(std::string_view piece, MaskOutput& output);
  /// A new text begins.
  void reset();
  /// A hole: what follows cannot be understood.
  void lose() { state_ = State::broken; }

 private:
  enum class State : std::uint8_t {
    value,
    first_element,  ///< or the end of the array
    first_key,      ///< or the end of the object
    key,
    colon,
    comma,
    in_key,
    in_string,
    in_number,
    in_literal,
    done,
    broken,
  };
  struct Level {
    bool object = false;
    bool keeps_strings = false;  ///< by the key last read, for an array by that of the array
    bool private_names = false;  ///< names and values below are the user's
    bool next_private = false;   ///< by the key last read
  };

  static constexpr std::size_t deepest = 64;
  static constexpr std::size_t longest_key = 64;
  static constexpr std::size_t longest_identifier = 128;

  std::size_t take(std::string_view rest, MaskOutput& output);
  void begin_value(char c);
  void push(bool object);
  void pop();
  void end_value() { state_ = depth_ == 0 ? State::done : State::comma; }
  std::size_t take_key(std::string_view rest, MaskOutput& output);
  std::size_t take_string(std::string_view rest, MaskOutput& output);
  std::size_t take_number(std::string_view rest, MaskOutput& output);
  std::size_t take_literal(std::string_view rest, MaskOutput& output);
  [[nodiscard]] Level& top() { return levels_[depth_ - 1]; }

  State state_ = State::value;
  bool escaped_ = false;
  bool keep_ = false;  ///< of the string or number being read
  std::size_t depth_ = 0;
  std::size_t size_ = 0;  ///< of the key or string so far
  std::string key_{};
  std::string_view literal_{};  ///< what must follow
  std::array<Level, deepest> levels_{};
};

}  // namespace inferscope::assemble
