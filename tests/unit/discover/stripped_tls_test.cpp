// SPDX-License-Identifier: Apache-2.0
// Functions that are found without their names are those that the names tell.
#include "discover/tls/stripped_tls.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "discover/elf/elf_symbols.h"
#include "tests/support/elf_image.h"
#include "tests/support/elf_of.h"
#include "tests/support/temp_folder.h"

namespace inferscope::discover {
namespace {

using test::ElfImage;

TlsContent search(const ElfFile& file, std::uint64_t budget = 16u << 20) {
  StrippedTls search(file);
  while (!search.step(budget)) {
  }
  return search.content();
}
TlsContent search(const std::string& content) {
  return search(*elf_of(content));
}

/// What may be meant where a function is told.
const std::map<std::string, std::set<std::string>> meant{
    {"SSL_read", {"SSL_read"}},
    {"SSL_write", {"SSL_write"}},
    {"SSL_peek", {"SSL_peek"}},
    {"SSL_free", {"SSL_free"}},
    {"SSL_do_handshake", {"SSL_do_handshake"}},
    {"SSL_write_ex2", {"SSL_write_ex2"}},
    // Where a compiler made a part of the one of what the other does, both move plaintext, and in the same way.
    {"SSL_read_ex", {"SSL_read_ex", "ssl_read_internal"}},
    {"SSL_write_ex", {"SSL_write_ex", "ssl_write_internal"}},
    // Where both hand on to it, one probe is for both.
    {"SSL_read, SSL_read_ex", {"ssl_read_internal"}},
    {"SSL_write, SSL_write_ex", {"ssl_write_internal"}}};

/// Names of functions that the file's own table tells, by where they begin.
std::multimap<std::uint64_t, std::string> named(const ElfFile& file) {
  std::vector<std::string_view> names;
  for (const auto& [told, all] : meant) names.insert(names.end(), all.begin(), all.end());
  const auto functions = static_functions(file, names);
  EXPECT_TRUE(functions);
  std::multimap<std::uint64_t, std::string> by_begin;
  for (const auto& [name, function] : *functions) by_begin.emplace(function.offset, name);
  return by_begin;
}

/// Checks each function that is told against the table; returns their names.
std::set<std::string> told_rightly(const TlsContent& content, const ElfFile& file) {
  const auto names = named(file);
  std::set<std::string> told;
  for (const TlsProbe& probe : content.probes) {
    const auto [first, last] = names.equal_range(probe.places.begin);
    EXPECT_TRUE(std::any_of(first, last, [&](const auto& one) { return meant.at(probe.symbol).contains(one.second); }))
        << probe.symbol;
    std::istringstream symbols(probe.symbol);
    for (std::string symbol; std::getline(symbols >> std::ws, symbol, ',');) told.insert(symbol);
  }
  return told;
}

TEST(StrippedTls, FindsFunctionsOfARealOpenSsl) {
  for (const char* name : {"openssl_fixed", "openssl_pie"}) {
    SCOPED_TRACE(name);
    const std::string content = test::read_file(std::string(PROGRAMS) + name);
    const auto file = elf_of(content);
    ASSERT_TRUE(file);
    const TlsContent tls = search(*file);
    EXPECT_EQ(tls.problem, "");
    EXPECT_EQ(tls.evidence, ".rodata, .eh_frame");
    EXPECT_EQ(told_rightly(tls, *file), (std::set<std::string>{"SSL_do_handshake", "SSL_peek", "SSL_read", "SSL_write",
                                                               "SSL_read_ex", "SSL_write_ex", "SSL_free"}));
  }
}

/// Versions, and what compilers and linkers make of them.
TEST(StrippedTls, FindsFunctionsHoweverTheyAreLaidOut) {
  for (const char* version : {"111", "300", "330"}) {
    for (const std::string layout : {"separate", "merged", "cold", "ex_only", "plain_only"}) {
      SCOPED_TRACE(version + ("_" + layout));
      const std::string content = test::read_file(PROGRAMS "shape_" + (version + ("_" + layout)));
      const auto file = elf_of(content);
      ASSERT_TRUE(file);
      const TlsContent tls = search(*file);
      EXPECT_EQ(tls.problem, "");
      const auto told = told_rightly(tls, *file);
      EXPECT_TRUE(told.contains("SSL_free"));
      const std::string kind = layout == "ex_only" ? "_ex" : "";
      EXPECT_TRUE(told.contains("SSL_read" + kind) && told.contains("SSL_write" + kind));
    }
  }
}

TEST(StrippedTls, GoesOnInSlices) {
  const std::string content = test::read_file(PROGRAMS "openssl_fixed");
  const auto file = elf_of(content);
  StrippedTls slices(*file);
  std::size_t count = 1;
  while (!slices.step(1)) ++count;
  EXPECT_GT(count, 30u);
  EXPECT_EQ(slices.content().probes.size(), search(*file).probes.size());
}

TEST(StrippedTls, WhatIsHiddenIsTold) {
  for (const std::size_t before : {0u, 100u, (256u << 10) - 5u, 17u << 20}) {
    const std::string content =
        ElfImage{.constants = std::string(before, 'x') + "extended master secret" + std::string(100, 'y')}.build();
    const auto tls = search(content);
    EXPECT_EQ(tls.evidence, ".rodata") << before;
    EXPECT_TRUE(tls.probes.empty());
    EXPECT_NE(tls.problem.find("another library"), std::string::npos) << tls.problem;
  }
  EXPECT_EQ(search(ElfImage{.constants = "extended master secre"}.build()).evidence, "");
  EXPECT_EQ(search(ElfImage{.constants = "extended master secret", .sections = false}.build()).evidence, "");
}

TEST(StrippedTls, OtherLibrariesAreToldByName) {
  const auto problem = [](const std::string& text) {
    return search(ElfImage{.constants = "extended master secret" + text}.build()).problem;
  };
  using namespace std::string_literals;
  EXPECT_NE(problem("external/boringssl/ssl/ssl_lib.cc\0"s).find("BoringSSL"), std::string::npos);
  EXPECT_NE(problem("registry/src/rustls-0.23.12/src/conn.rs").find("rustls"), std::string::npos);
  EXPECT_NE(problem("tls: protocol is shutdown").find("Go's"), std::string::npos);
  EXPECT_EQ(problem("a program that speaks of rustls").find("it is"), std::string::npos);
}

/// The names of functions and of the source file without code that refers to them.
TEST(StrippedTls, NothingIsGuessed) {
  std::string constants = "extended master secret";
  for (const OpenSslName& name : openssl_names()) constants += name.text;
  constants += std::string("ssl/ssl_lib.c") + '\0';
  const auto tls = search(ElfImage{.constants = constants}.build());
  EXPECT_EQ(tls.evidence, ".rodata");
  EXPECT_TRUE(tls.probes.empty());
  EXPECT_NE(tls.problem, "");
}

/// A file that ends anywhere, or whose tables lie: nothing else is told than what is true.
TEST(StrippedTls, DamagedFiles) {
  const std::string content = test::read_file(PROGRAMS "shape_300_separate");
  const auto whole = elf_of(content);
  const TlsContent truth = search(*whole);
  ASSERT_FALSE(truth.probes.empty());
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string broken = content;
    if (i % 3 == 0) broken.resize(random() % content.size());
    for (unsigned damage = random() % 8; damage > 0 && !broken.empty(); --damage)
      broken[random() % broken.size()] = static_cast<char>(random());
    const auto file = elf_of(broken);
    if (!file) continue;
    const TlsContent found = search(*file, 1u << 16);
    EXPECT_TRUE(found.probes.empty() || found.problem.empty());
    for (const TlsProbe& probe : found.probes) EXPECT_LT(probe.places.begin, broken.size());
  }
}

}  // namespace
}  // namespace inferscope::discover
