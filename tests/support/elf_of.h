// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "discover/elf/elf_file.h"

namespace inferscope::discover {

/// A file of this content, which must outlive it.
inline std::optional<ElfFile> elf_of(const std::string& content) {
  return ElfFile::open([&content](std::uint64_t offset, std::span<std::byte> into) -> std::size_t {
    if (offset >= content.size()) return 0;
    const std::size_t size = std::min(into.size(), content.size() - static_cast<std::size_t>(offset));
    std::memcpy(into.data(), content.data() + offset, size);
    return size;
  });
}

}  // namespace inferscope::discover
