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

}  // namespace inferscope::discover
