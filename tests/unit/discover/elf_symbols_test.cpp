// SPDX-License-Identifier: Apache-2.0
#include "discover/elf/elf_symbols.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "discover/tls/tls_functions.h"
#include "tests/support/elf_image.h"
#include "tests/support/elf_of.h"
#include "tests/support/temp_folder.h"

/// Found by its name in this program's own file.
extern "C" int inferscope_test_marker(int value) {
  return value * 7 + 3;
}

namespace inferscope::discover {
namespace {

using test::ElfImage;

std::string code_at(const std::string& content, const ElfFunction& function) {
  return content.substr(function.offset, function.size);
}

TEST(ElfSymbols, FindsFunctionsOfALibrary) {
  Dl_info info{};
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&getpid), &info), 0);
  const std::string libc = test::read_file(info.dli_fname);
  const auto file = elf_of(libc);
  ASSERT_TRUE(file);
  const auto found = exported_functions(*file, {"getpid", "write", "no_such_function"});
  ASSERT_EQ(found.size(), 2u);
  // What is in the file there is what runs.
  const ElfFunction& function = found.at("getpid");
  ASSERT_GT(function.size, 4u);
  EXPECT_EQ(std::memcmp(libc.data() + function.offset, reinterpret_cast<const void*>(&getpid), 4), 0);
}

TEST(ElfSymbols, FindsFunctionsOfAnExecutable) {
  const std::string own = test::read_file("/proc/self/exe");
  const auto file = elf_of(own);
  ASSERT_TRUE(file);
  const auto found = static_functions(*file, {"inferscope_test_marker", "getpid", "no_such_function"});
  ASSERT_TRUE(found) << found.error().text();
  ASSERT_EQ(found->size(), 1u) << "what is imported does not count";
  const ElfFunction& function = found->at("inferscope_test_marker");
  EXPECT_EQ(
      std::memcmp(own.data() + function.offset, reinterpret_cast<const void*>(&inferscope_test_marker), function.size),
      0);
  EXPECT_EQ(inferscope_test_marker(1), 10);
}

TEST(ElfSymbols, OtherFilesAreRefused) {
  for (const std::string& text : {std::string(), std::string("text"),
                                  std::string("\x7f"
                                              "ELF"),
                                  std::string(4096, '\0')})
    EXPECT_FALSE(elf_of(text));
  std::string other = ElfImage{}.build();
  EXPECT_TRUE(elf_of(other));
  other[EI_CLASS] = ELFCLASS32;
  EXPECT_FALSE(elf_of(other));
}

TEST(ElfSymbols, CutFilesGiveNothingThatIsNotThere) {
  const std::string whole =
      ElfImage{.exported = {{.name = "first"}, {.name = "second"}}, .named = {{.name = "first"}}}.build();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    const auto file = elf_of(cut);
    if (!file) continue;
    for (const auto& [name, function] : exported_functions(*file, {"first", "second"}))
      EXPECT_LT(function.offset, size) << name;
    const auto found = static_functions(*file, {"first", "second"});
    ASSERT_TRUE(found);
    for (const auto& [name, function] : *found) EXPECT_LT(function.offset, size) << name;
  }
}

TEST(ElfSymbols, BothHashTables) {
  ElfImage image;
  for (int i = 0; i < 50; ++i)
    image.exported.push_back({.name = "function_" + std::to_string(i),
                              .code = std::string(4, static_cast<char>(i)),
                              .defined = i % 5 != 0,
                              .size = 4});
  for (const auto hash : {ElfImage::Hash::gnu, ElfImage::Hash::sysv}) {
    image.hash = hash;
    for (const std::uint64_t base : {0u, 0x400000u}) {  // of any place, of this one
      image.base = base;
      const std::string content = image.build();
      const auto file = elf_of(content);
      ASSERT_TRUE(file);
      for (const auto& function : image.exported) {
        const auto found = exported_functions(*file, {function.name});
        ASSERT_EQ(found.size(), function.defined ? 1u : 0u) << function.name;
        for (const auto& [name, one] : found) EXPECT_EQ(code_at(content, one), function.code);
      }
      EXPECT_TRUE(exported_functions(*file, {"function_", "function_50", "unction_1", "x", ""}).empty());
    }
  }
  image.hash = ElfImage::Hash::none;
  const std::string content = image.build();
  EXPECT_TRUE(exported_functions(*elf_of(content), {"function_1"}).empty());
}

TEST(ElfSymbols, OnlyFunctionsThatAreDefined) {
  const std::vector<ElfImage::Function> functions{{.name = "imported", .defined = false},
                                                  {.name = "object", .type = STT_OBJECT},
                                                  {.name = "resolver", .type = STT_GNU_IFUNC},
                                                  {.name = "empty", .size = 0},
                                                  {.name = "function"}};
  for (const auto hash : {ElfImage::Hash::gnu, ElfImage::Hash::sysv}) {
    const std::string content = ElfImage{.exported = functions, .named = functions, .hash = hash}.build();
    const auto file = elf_of(content);
    const std::vector<std::string_view> names{"imported", "object", "resolver", "empty", "function"};
    const auto exported = exported_functions(*file, names);
    const auto named = static_functions(*file, names);
    ASSERT_TRUE(named);
    for (const ElfFunctions* found : {&exported, &*named}) {
      EXPECT_EQ(found->size(), 1u);
      EXPECT_TRUE(found->contains("function"));
    }
  }
}

/// "SSL_read" begins inside "my_SSL_read".
TEST(ElfSymbols, NamesThatShareTheirTextWithOthers) {
  ElfImage image;
  image.named.push_back({.name = "my_SSL_read"});
  image.named.push_back({.name = "SSL_read", .code = "read", .size = 4});
  const std::string content = image.build();
  const auto found = static_functions(*elf_of(content), {"SSL_read", "read", "SSL_rea"});
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(code_at(content, found->at("SSL_read")), "read");
}

TEST(ElfSymbols, TextsOfManyBlocks) {
  constexpr std::size_t block = 256u << 10;
  for (std::size_t off = 0; off < 12; ++off) {
    ElfImage image;
    image.named.push_back({.name = std::string(block - 2 - off, 'x')});  // the next one begins so far before the edge
    image.named.push_back({.name = "SSL_read", .code = "read", .size = 4});
    const std::string content = image.build();
    const auto found = static_functions(*elf_of(content), {"SSL_write", "SSL_read"});
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 1u) << off;
    EXPECT_EQ(code_at(content, found->at("SSL_read")), "read");
  }
}

TEST(ElfSymbols, SymbolsOfManyBlocks) {
  ElfImage image;
  for (int i = 0; i < 25'000; ++i) image.named.push_back({.name = "f"});
  image.named.push_back({.name = "SSL_write", .code = "write", .size = 5});
  const std::string content = image.build();
  const auto found = static_functions(*elf_of(content), {"SSL_write"});
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(code_at(content, found->at("SSL_write")), "write");
}

TEST(ElfSymbols, TooLargeATableIsToldAndNotRead) {
  const std::string content = test::with_sections(
      ElfImage{.named = {{.name = "SSL_read"}, {.name = "SSL_write"}}}.build(), [](Elf64_Shdr& section) {
        if (section.sh_type == SHT_STRTAB) section.sh_size = 1u << 30;
      });
  const auto found = static_functions(*elf_of(content), {"SSL_read"});
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().text().find("1024 MiB"), std::string::npos) << found.error().text();
}

/// Whose texts are cut short, or that points into nowhere.
TEST(ElfSymbols, TablesThatLieElsewhere) {
  std::string content = ElfImage{.exported = {{.name = "function"}}, .named = {{.name = "function"}}}.build();
  for (std::size_t at = sizeof(Elf64_Ehdr); at + 8 <= content.size(); at += 8) {
    std::string broken = content;
    std::memset(broken.data() + at, 0xff, 8);
    const auto file = elf_of(broken);
    ASSERT_TRUE(file);
    for (const auto& [name, function] : exported_functions(*file, {"function"}))
      EXPECT_LT(function.offset, content.size()) << at;
    const auto found = static_functions(*file, {"function"});
    if (!found) continue;
    for (const auto& [name, function] : *found) EXPECT_LT(function.offset, content.size()) << at;
  }
}

std::vector<std::string> symbols_of(const TlsContent& content) {
  std::vector<std::string> symbols;
  for (const TlsProbe& probe : content.probes) symbols.push_back(probe.symbol);
  return symbols;
}

TEST(TlsFunctions, BothReadAndWriteMustBeDefined) {
  const std::string read_only = ElfImage{.exported = {{.name = "SSL_read"}, {.name = "SSL_write", .defined = false}},
                                         .named = {{.name = "SSL_read"}, {.name = "gnutls_record_send"}}}
                                    .build();
  EXPECT_EQ(exported_tls(*elf_of(read_only)).evidence, "");
  EXPECT_EQ(static_tls(*elf_of(read_only)).evidence, "");
  const std::string both =
      ElfImage{.exported = {{.name = "SSL_read"}, {.name = "SSL_write"}, {.name = "SSL_free"}, {.name = "SSL_new"}}}
          .build();
  const auto openssl = exported_tls(*elf_of(both));
  EXPECT_EQ(openssl.evidence, ".dynsym");
  EXPECT_EQ(symbols_of(openssl), (std::vector<std::string>{"SSL_read", "SSL_write", "SSL_free"}));
  EXPECT_EQ(openssl.problem, "");
  for (const TlsProbe& probe : openssl.probes) EXPECT_EQ(both[probe.places.begin], '\xc3');
  EXPECT_EQ(static_tls(*elf_of(both)).evidence, "") << "it is stripped";
}

TEST(TlsFunctions, NamesOfAProgramThatWasNotStripped) {
  const std::string content = ElfImage{.exported = {{.name = "main_of_a_plugin"}},
                                       .named = {{.name = "main"},
                                                 {.name = "gnutls_record_recv"},
                                                 {.name = "gnutls_record_send"},
                                                 {.name = "gnutls_handshake"}},
                                       .base = 0x400000}
                                  .build();
  EXPECT_EQ(exported_tls(*elf_of(content)).evidence, "");
  const auto tls = static_tls(*elf_of(content));
  EXPECT_EQ(tls.evidence, ".symtab");
  EXPECT_EQ(symbols_of(tls),
            (std::vector<std::string>{"gnutls_handshake", "gnutls_record_recv", "gnutls_record_send"}));
}

}  // namespace
}  // namespace inferscope::discover
