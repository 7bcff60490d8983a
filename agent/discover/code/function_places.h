// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "discover/code/probe_placement.h"
#include "discover/elf/elf_file.h"
#include "discover/elf/elf_symbols.h"
#include "model/probe_place.h"

namespace inferscope::discover {

/// Nothing if it is not all there is to see: more than can be decoded.
std::vector<std::byte> code_of(const ElfFunction& function, const ElfFile& file);

/// The same as offsets in the file, in which the function begins there.
FunctionPlaces places_of(std::uint64_t begin, const Placement& placement);

}  // namespace inferscope::discover
