// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "discover/elf/elf_file.h"
#include "model/gpu_library.h"

namespace inferscope::discover {

struct GpuSymbol {
  std::string_view name;
  GpuFunction function;
  GpuArguments arguments;
};

/// Files by whose functions GPUs are used.
struct GpuLibraryKind {
  std::string_view file;  ///< with which its name begins
  GpuApi api;
  std::uint8_t rank;  ///< as in GpuLibrary, among those of one family
  /// Added to a name for another form of the function, with the same arguments: with a stream for each thread.
  std::span<const std::string_view> suffixes;
  std::span<const GpuSymbol> symbols;
};

std::span<const GpuLibraryKind> gpu_library_kinds();
/// Nothing if it is no such file.
const GpuLibraryKind* gpu_library_kind(std::string_view file_name);
/// Whose calls end in each other's.
bool same_family(GpuApi one, GpuApi other);

/// Where probes go in such a file: on those of its functions that it exports, or, if it exports none, that its table of
/// all functions names. An error if that is neither.
Result<std::vector<GpuProbe>> gpu_probes(const GpuLibraryKind& kind, const ElfFile& file);

}  // namespace inferscope::discover
