// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "discover/code/code_references.h"
#include "discover/elf/elf_file.h"

namespace inferscope::discover {

/// Code that the unwind tables describe in one piece: a function, or a part of one that the compiler put elsewhere.
struct CodePiece {
  AddressRange range{};
  bool in_frame = false;  ///< something is on the stack already where it begins: it is a part of a function

  bool operator==(const CodePiece&) const = default;
};

/// Pieces of code that hold any of these addresses, sorted. They are what exceptions and debuggers unwind the stack by,
/// and stay in files that were stripped (.eh_frame, in the format of DWARF's call frame information). Looked up by the
/// table that is sorted, if the file has it; otherwise all are read once, a block at a time, and it is an error if they
/// are more than is read, or none.
Result<std::vector<CodePiece>> pieces_at(const ElfFile& file, std::vector<std::uint64_t> addresses);

}  // namespace inferscope::discover
