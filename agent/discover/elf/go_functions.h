// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "discover/elf/elf_file.h"
#include "discover/elf/elf_symbols.h"

namespace inferscope::discover {

/// Those of the named functions that a Go program has, by the table with which its runtime finds its way through stacks
/// (runtime/symtab.go, "pclntab": Go 1.2 and later). It cannot be stripped. Nothing if the file has no such table; an
/// error if it has one that cannot be read. The table is read once, a block at a time.
std::optional<Result<ElfFunctions>> go_functions(const ElfFile& file, const std::vector<std::string_view>& names);

}  // namespace inferscope::discover
