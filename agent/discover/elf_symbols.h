// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>

#include "core/result.h"

namespace inferscope::discover {

/// A function in an ELF file.
struct ElfFunction {
  std::uint64_t offset = 0;  ///< in the file
  std::uint64_t size = 0;    ///< bytes; 0: not said
};

/// Those of the named functions that the file defines, from its dynamic symbols, or its static ones where it has none.
/// Every offset that is given lies in the file, in a segment that is executed.
Result<std::map<std::string, ElfFunction>> find_functions(std::span<const std::byte> file,
                                                          const std::set<std::string>& names);

/// How far into a function, given by its first bytes, a probe is better placed than on its first instruction, in bytes.
/// The kernel emulates `push` and single-steps `endbr64`, which costs many times as much; behind an endbr64 that a push
/// follows, arguments and return address still are where they were.
std::size_t cheap_entry(std::span<const std::byte> code);

}  // namespace inferscope::discover
