// SPDX-License-Identifier: Apache-2.0
#include "discover/elf/unwind_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "discover/elf/elf_symbols.h"
#include "tests/support/elf_image.h"
#include "tests/support/elf_of.h"
#include "tests/support/temp_folder.h"

namespace inferscope::discover {
namespace {

/// By the sorted table, and without one.
TEST(UnwindTable, FunctionsAreWhereTheirSymbolsSay) {
  for (const char* program : {"openssl_fixed", "openssl_pie"}) {
    SCOPED_TRACE(program);
    const std::string content = test::read_file(std::string(PROGRAMS) + program);
    const auto file = elf_of(content);
    ASSERT_TRUE(file);
    const auto functions = static_functions(*file, {"main", "SSL_read", "SSL_new", "ERR_set_debug", "SSL_CTX_new_ex"});
    ASSERT_TRUE(functions);
    ASSERT_EQ(functions->size(), 5u);
    std::vector<std::uint64_t> addresses;
    for (const auto& [name, function] : *functions)
      addresses.push_back(file->address_of(function.offset).value() + function.size / 2);
    const auto pieces = pieces_at(*file, addresses);
    ASSERT_TRUE(pieces) << pieces.error().text();
    EXPECT_EQ(pieces->size(), functions->size());
    for (const CodePiece& piece : *pieces) {
      EXPECT_FALSE(piece.in_frame);
      const auto same = [&](const auto& one) {
        return file->address_of(one.second.offset) == piece.range.begin &&
               one.second.size == piece.range.end - piece.range.begin;
      };
      EXPECT_TRUE(std::any_of(functions->begin(), functions->end(), same));
    }
  }
}

/// What the compiler put elsewhere begins in the frame of the rest.
TEST(UnwindTable, PartsOfFunctionsBeginInAFrame) {
  const std::string content = test::read_file(PROGRAMS "shape_300_cold");
  const auto file = elf_of(content);
  const auto functions = static_functions(*file, {"SSL_read.cold"});
  ASSERT_TRUE(functions);
  if (functions->empty()) GTEST_SKIP() << "this compiler does not";
  const auto pieces = pieces_at(*file, {file->address_of(functions->begin()->second.offset).value()});
  ASSERT_TRUE(pieces);
  ASSERT_EQ(pieces->size(), 1u);
  EXPECT_TRUE(pieces->front().in_frame);
}

/// Without a sorted one, all are read, but not as many as a file may claim.
TEST(UnwindTable, ATableThatIsTooLarge) {
  std::string content = test::read_file(PROGRAMS "openssl_pie");
  const FileRange table = elf_of(content)->section(".eh_frame");
  Elf64_Ehdr header{};
  std::memcpy(&header, content.data(), sizeof(header));
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section{};
    char* at = content.data() + header.e_shoff + i * sizeof(section);
    std::memcpy(&section, at, sizeof(section));
    if (section.sh_offset != table.offset || section.sh_type == SHT_NOBITS) continue;
    section.sh_size = 1u << 30;
    std::memcpy(at, &section, sizeof(section));
  }
  const auto pieces = pieces_at(*elf_of(content), {0x1000});
  ASSERT_FALSE(pieces);
  EXPECT_NE(pieces.error().text().find("too large: 1024 MiB"), std::string::npos) << pieces.error().text();
}

TEST(UnwindTable, AFileWithoutOne) {
  const std::string content = test::ElfImage{.constants = "none"}.build();
  EXPECT_FALSE(pieces_at(*elf_of(content), {0x1000}));
}

}  // namespace
}  // namespace inferscope::discover
