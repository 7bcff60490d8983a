// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace inferscope {

/// One value of MessagePack. Text lies in the bytes that were read.
struct Packed {
  enum class Kind : std::uint8_t { nil, boolean, integer, real, text, binary, array, map };

  Kind kind = Kind::nil;
  bool whole = true;           ///< of an array or a map: all of its own elements are here
  std::uint32_t size = 0;      ///< elements of an array, pairs of a map, as its header says
  std::uint32_t first = 0;     ///< place of the first child, 0 if there is none; a map's are keys and values by turns
  std::uint32_t next = 0;      ///< place of the next one in the same array or map, 0 if it is the last
  std::int64_t integer = 0;    ///< also of a boolean; what is too large is the largest
  double real = 0;             ///< of an integer, too
  std::string_view content{};  ///< of a text or binary; of an extension, which is binary here, with its type

  [[nodiscard]] bool is(Kind of) const { return kind == of; }
};

/// Reads MessagePack into a tree on memory that is used again and again. For bytes that anybody may have written:
/// depth, values and elements are bounded, and what a header says of sizes is never believed. Of bytes that are cut
/// off, or go on as something else, it gives what came before.
class PackedReader {
 public:
  static constexpr std::size_t deepest = 32;
  static constexpr std::size_t most_values = 65536;   ///< kept of all …
  static constexpr std::uint32_t longest_row = 4096;  ///< … and of one array or map

  /// The first value; null if there is none. Valid until the next call.
  const Packed* parse(std::string_view bytes);
  /// So many of the bytes are that value; nothing if it is not complete or not MessagePack.
  [[nodiscard]] std::optional<std::size_t> size() const { return size_; }
  /// The bytes end within that value, and nothing in them is wrong.
  [[nodiscard]] bool cut_off() const { return cut_off_; }

  // Null where there is none, or where it was not kept.
  [[nodiscard]] const Packed* first(const Packed& parent) const { return at(parent.first); }
  [[nodiscard]] const Packed* next(const Packed& value) const { return at(value.next); }
  [[nodiscard]] const Packed* element(const Packed& array, std::size_t index) const;
  [[nodiscard]] const Packed* member(const Packed& map, std::string_view name) const;
  [[nodiscard]] std::string_view text_member(const Packed& map, std::string_view name) const;
  [[nodiscard]] std::optional<std::uint64_t> count_member(const Packed& map, std::string_view name) const;

 private:
  [[nodiscard]] const Packed* at(std::uint32_t place) const { return place != 0 ? &values_[place] : nullptr; }

  std::vector<Packed> values_{};  ///< the first is none
  std::optional<std::size_t> size_{};
  bool cut_off_ = false;
};

/// A number that is not negative.
std::optional<std::uint64_t> count_of(const Packed& value);

}  // namespace inferscope
