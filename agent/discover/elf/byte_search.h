// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "discover/elf/elf_file.h"

namespace inferscope::discover {

/// Reads a range of a file a block at a time, each with the end of the one before in front of it.
class BlockReader {
 public:
  struct Block {
    std::uint64_t offset = 0;  ///< of its first byte in the file
    std::span<const std::byte> bytes{};
  };

  /// `overlap`: bytes of the block before. The file must outlive this.
  BlockReader(const ElfFile& file, FileRange range, std::size_t overlap);
  /// Nothing at the end. Valid until the next one.
  std::optional<Block> next();

 private:
  const ElfFile& file_;
  FileRange range_;
  std::size_t overlap_;
  std::uint64_t done_ = 0;
  std::size_t kept_ = 0;
  std::vector<std::byte> buffer_;
};

/// Finds any of several texts in one pass, at the same cost for one and for many.
class ByteSearch {
 public:
  struct Place {
    std::size_t text = 0;      ///< which of them
    std::uint64_t offset = 0;  ///< of its first byte, as counted in `find`

    auto operator<=>(const Place&) const = default;
  };

  static constexpr std::size_t shortest = 4;  ///< bytes

  /// Texts that live elsewhere, none of them shorter.
  explicit ByteSearch(std::vector<std::string_view> texts);
  [[nodiscard]] std::size_t longest() const { return longest_; }
  /// Appends where they lie in `bytes`, whose first one counts as `offset`.
  void find(std::span<const std::byte> bytes, std::uint64_t offset, std::vector<Place>& places) const;

 private:
  std::vector<std::string_view> texts_;
  std::size_t longest_ = 0;
  std::bitset<1u << 16> beginnings_{};  ///< by the hash of their first four bytes
};

/// Where they lie in a part of a file, each once; places count from its beginning. Ends with the block in which so many
/// were found.
std::vector<ByteSearch::Place> find_texts(const ByteSearch& search, const ElfFile& file, FileRange range,
                                          std::size_t most);

}  // namespace inferscope::discover
