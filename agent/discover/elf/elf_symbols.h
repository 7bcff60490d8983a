// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "discover/elf/elf_file.h"

namespace inferscope::discover {

/// A function that an ELF file defines; its first byte is in the file, in a segment that is executed.
struct ElfFunction {
  std::uint64_t offset = 0;  ///< in the file
  std::uint64_t size = 0;    ///< bytes, at least 1
};
using ElfFunctions = std::map<std::string, ElfFunction, std::less<>>;

/// Those of the named functions to which other files can link (.dynsym). They are looked up in the file's hash table,
/// as the dynamic linker does, so it costs the same for a file of any size.
ElfFunctions exported_functions(const ElfFile& file, const std::vector<std::string_view>& names);

/// Those that the table of all functions names (.symtab), which files have that were not stripped. The texts of the
/// table are read once, a block at a time; an error if they are more than is read.
Result<ElfFunctions> static_functions(const ElfFile& file, const std::vector<std::string_view>& names);

}  // namespace inferscope::discover
