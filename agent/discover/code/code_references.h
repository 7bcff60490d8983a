// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "discover/elf/byte_search.h"
#include "discover/elf/elf_file.h"

namespace inferscope::discover {

/// Addresses of the program.
struct AddressRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;  ///< the first one behind it

  [[nodiscard]] bool contains(std::uint64_t address) const { return address >= begin && address < end; }
  bool operator==(const AddressRange&) const = default;
};

/// Looks in all code for what may refer to some addresses: any four bytes that tell one of them relative to their own
/// end, or, in a program for a fixed address, as it is. Instructions are not decoded, so some of it is something else.
class CodeReferences {
 public:
  /// The file must outlive this.
  CodeReferences(const ElfFile& file, std::vector<AddressRange> targets);

  /// Searches the next block; tells how many bytes it had. None: all was searched.
  std::size_t step();
  /// Addresses of such four bytes.
  [[nodiscard]] const std::vector<std::uint64_t>& found() const { return found_; }
  /// There are more than are told.
  [[nodiscard]] bool too_many() const { return too_many_; }

 private:
  [[nodiscard]] bool is_target(std::uint64_t address) const;

  const ElfFile& file_;
  std::vector<AddressRange> targets_;
  std::bitset<1u << 16> low_bits_{};  ///< of all targets
  std::vector<Elf64_Phdr> code_{};    ///< segments that are left
  std::optional<BlockReader> reader_{};
  std::vector<std::uint64_t> found_{};
  bool too_many_ = false;
};

}  // namespace inferscope::discover
