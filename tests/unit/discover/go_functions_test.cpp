// SPDX-License-Identifier: Apache-2.0
#include "discover/elf/go_functions.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "discover/tls/tls_functions.h"
#include "tests/support/elf_image.h"
#include "tests/support/elf_of.h"

namespace inferscope::discover {
namespace {

using test::ElfImage;
using namespace std::string_literals;

const std::string read_name = "crypto/tls.(*Conn).Read";
const std::string write_name = "crypto/tls.(*Conn).Write";
/// cmp 0x10(%r14),%rsp; jbe to the end; nop; ret
const std::string with_registers = "\x49\x3b\x66\x10\x76\x02\x90\xc3"s;
/// mov %fs:-8,%rcx; cmp 0x10(%rcx),%rsp; jbe to the end; nop; ret
const std::string with_stack = "\x64\x48\x8b\x0c\x25\xf8\xff\xff\xff\x48\x3b\x61\x10\x76\x02\x90\xc3"s;

ElfImage image_of(ElfImage::Go version, const std::string& code = with_registers) {
  ElfImage image;
  image.go_table = version;
  image.in_go = {{.name = "runtime.text"},
                 {.name = read_name, .code = code},
                 {.name = "x" + read_name, .code = "\x90\x90\xc3"},
                 {.name = write_name, .code = code},
                 {.name = "main.main"}};
  return image;
}

constexpr std::array versions{ElfImage::Go::v1_2, ElfImage::Go::v1_16, ElfImage::Go::v1_18, ElfImage::Go::v1_20};

TEST(GoFunctions, FoundByTheTableOfEachVersion) {
  for (const ElfImage::Go version : versions) {
    SCOPED_TRACE(static_cast<int>(version));
    for (const std::uint64_t base : {std::uint64_t{0}, std::uint64_t{0x400000}}) {
      ElfImage image = image_of(version);
      image.base = base;
      const std::string content = image.build();
      const auto found = go_functions(*elf_of(content), {read_name, write_name, "main.main", "no.such"});
      ASSERT_TRUE(found);
      ASSERT_TRUE(*found) << found->error().text();
      ASSERT_EQ((*found)->size(), 3u);
      const ElfFunction& function = (*found)->at(read_name);
      EXPECT_EQ(content.substr(function.offset, function.size), with_registers);
      EXPECT_EQ((*found)->at("main.main").size, 1u) << "the last one ends where the table says";
    }
  }
}

TEST(GoFunctions, WhereCodeBeginsMayBeLeftToTheSection) {
  ElfImage image = image_of(ElfImage::Go::v1_20);
  image.go_code_begin = false;
  const std::string content = image.build();
  const auto found = go_functions(*elf_of(content), {read_name});
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(content.substr((*found)->at(read_name).offset, with_registers.size()), with_registers);
}

TEST(GoFunctions, NoTable) {
  EXPECT_FALSE(go_functions(*elf_of(ElfImage{}.build()), {read_name}));
}

TEST(GoFunctions, ABrokenTableIsToldAndNothingOfItBelieved) {
  for (const ElfImage::Go version : versions) {
    const std::string whole = image_of(version).build();
    const auto table = elf_of(whole)->section(".gopclntab");
    ASSERT_GT(table.size, 0u);
    const auto with = [&](std::uint64_t place, std::uint64_t value) {
      std::string content = whole;
      std::memcpy(content.data() + table.offset + place, &value, sizeof(value));
      return content;
    };
    const auto fails = [&](const std::string& content) {
      const auto found = go_functions(*elf_of(content), {read_name, write_name});
      return found && !*found && !found->error().text().empty();
    };
    EXPECT_TRUE(fails(with(0, 0x0801000012345678))) << "another version";
    EXPECT_TRUE(fails(with(8, UINT64_MAX))) << "more functions than anybody has";
    // Any word of it is a lie: what is found nevertheless is code of the file.
    for (std::uint64_t place = 16; place + 8 <= table.size; place += 4)
      for (const std::uint64_t lie : {std::uint64_t{0}, UINT64_MAX - 3, std::uint64_t{table.size - 1}}) {
        const std::string content = with(place, lie);
        const auto found = go_functions(*elf_of(content), {read_name});
        if (!found || !*found) continue;
        for (const auto& [name, function] : **found) EXPECT_LT(function.offset, content.size());
      }
    // Cut anywhere.
    int told = 0;
    for (std::uint64_t size = 0; size < table.size; ++size) {
      const std::string cut = test::with_sections(whole, [&](Elf64_Shdr& section) {
        if (section.sh_offset == table.offset && section.sh_size == table.size) section.sh_size = size;
      });
      const auto found = go_functions(*elf_of(cut), {read_name});
      if (found && !*found) ++told;
      if (!found || !*found || !(*found)->contains(read_name)) continue;
      EXPECT_EQ(cut.substr((*found)->at(read_name).offset, with_registers.size()), with_registers);
    }
    EXPECT_GT(told, 0);
  }
}

/// Descriptions far from each other: each would be a read of its own.
TEST(GoFunctions, ATableThatIsReadBackAndForthIsGivenUp) {
  ElfImage image = image_of(ElfImage::Go::v1_20);
  for (int i = 0; i < 2000; ++i) image.in_go.insert(image.in_go.begin(), {.name = "f"});
  const std::string content = image.build();
  const auto file = elf_of(content);
  const auto table = file->section(".gopclntab");
  std::string wide = content.substr(table.offset, table.size);
  std::uint64_t entries_at = 0;  // as the header says
  std::memcpy(&entries_at, wide.data() + 64, sizeof(entries_at));
  const std::size_t far = std::size_t{3} << 20;
  wide.resize(far + 64);
  for (std::uint32_t i = 0; i < 2000; i += 2) {
    const auto place = static_cast<std::uint32_t>(far - entries_at);
    std::memcpy(wide.data() + entries_at + 8 * i + 4, &place, sizeof(place));
  }
  const std::string whole = test::with_sections(content,
                                                [&](Elf64_Shdr& section) {
                                                  if (section.sh_offset == table.offset)
                                                    section.sh_offset = content.size(), section.sh_size = wide.size();
                                                }) +
                            wide;
  std::uint64_t read = 0;
  const auto counted = ElfFile::open([&](std::uint64_t offset, std::span<std::byte> into) -> std::size_t {
    const std::string_view rest = std::string_view(whole).substr(std::min<std::uint64_t>(offset, whole.size()));
    const std::size_t size = rest.copy(reinterpret_cast<char*>(into.data()), into.size());
    read += size;
    return size;
  });
  const auto found = go_functions(*counted, {"no.such.function", write_name});
  ASSERT_TRUE(found);
  EXPECT_FALSE(*found);
  EXPECT_LT(read, 10 * wide.size() + (4u << 20));
}

TEST(GoFunctions, TlsOfGoIsCalledAsItsCodeTells) {
  for (const auto& [code, calling, jump] :
       {std::tuple(with_registers, Calling::go_registers, 4u), std::tuple(with_stack, Calling::go_stack, 13u)}) {
    const std::string content = image_of(ElfImage::Go::v1_16, code).build();
    const TlsContent tls = static_tls(*elf_of(content));
    EXPECT_EQ(tls.evidence, ".gopclntab");
    EXPECT_EQ(tls.problem, "");
    ASSERT_EQ(tls.probes.size(), 2u);
    const TlsProbe& probe = tls.probes[0];
    EXPECT_EQ(probe.symbol, read_name);
    EXPECT_EQ(probe.calling, calling);
    EXPECT_EQ(probe.places.entry.offset, probe.places.begin + jump) << "on the jump, which the kernel emulates";
    ASSERT_EQ(probe.places.exits.size(), 1u);
    EXPECT_EQ(content[probe.places.exits[0].offset], '\xc3');
  }
}

TEST(GoFunctions, CodeThatIsNotOfGoGetsNoProbe) {
  for (const std::string& code : {"\x90\xc3"s, "\x49\x3b\x66\x18\x76\x02\x90\xc3"s,  // another offset
                                  with_registers.substr(0, 6),                       // no return
                                  "\x49\x3b\x66\x10\x55\xc3"s,                       // no jump
                                  "\x48\x3b\x61\x10\x76\x02\x90\xc3"s}) {            // no goroutine
    const TlsContent tls = static_tls(*elf_of(image_of(ElfImage::Go::v1_20, code).build()));
    EXPECT_EQ(tls.evidence, ".gopclntab");
    EXPECT_TRUE(tls.probes.empty());
    EXPECT_NE(tls.problem.find(read_name), std::string::npos);
  }
}

TEST(GoFunctions, AProgramWithoutTlsHasNone) {
  ElfImage image;
  image.in_go = {{.name = "main.main"}};
  EXPECT_EQ(static_tls(*elf_of(image.build())).evidence, "");
}

}  // namespace
}  // namespace inferscope::discover
