// SPDX-License-Identifier: Apache-2.0
#include "discover/tls_watch.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "discover/elf_symbols.h"
#include "tests/support/temp_folder.h"

namespace inferscope::discover {
namespace {

using std::chrono::milliseconds;

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ElfSymbols, FindsFunctionsOfALibrary) {
  Dl_info info{};
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&getpid), &info), 0);
  const std::string libc = content_of(info.dli_fname);
  const auto found = find_functions(std::as_bytes(std::span(libc)), {"getpid", "write", "no_such_function"});
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2u);
  // What is in the file there is what runs.
  const auto& getpid_in_file = found->at("getpid");
  ASSERT_GT(getpid_in_file.size, 4u);
  EXPECT_TRUE(std::equal(libc.data() + getpid_in_file.offset, libc.data() + getpid_in_file.offset + 4,
                         reinterpret_cast<const char*>(&getpid)));
}

TEST(ElfSymbols, OtherFilesAreRefused) {
  for (const std::string& text : {std::string(), std::string("text"),
                                  std::string("\x7f"
                                              "ELF"),
                                  std::string(4096, '\0')})
    EXPECT_FALSE(find_functions(std::as_bytes(std::span(text)), {"f"}));
  std::string own = content_of("/proc/self/exe");
  own.resize(own.size() / 4);  // the tables stand at the end
  const auto found = find_functions(std::as_bytes(std::span(own)), {"main"});
  EXPECT_TRUE(!found || found->empty());
}

TEST(Mappings, OnlyExecutableFiles) {
  const auto files = parse_executable_mappings(
      "7f00-7f10 r--p 00000000 08:01 55    /usr/lib/libssl.so.3\n"
      "00007f10-7f20 r-xp 00001000 08:01 55    /usr/lib/libssl.so.3\n"
      "7f20-7f30 r-xp 00000000 00:00 0 \n"
      "7f30-7f40 r-xp 00000000 00:00 0     [vdso]\n"
      "7f40-7f50 r-xp 00000000 08:02 56    /tmp/with space.so (deleted)\n"
      "7f50-7f60 r-xp 00000000 08:02 x     /nowhere\n"
      "nonsense");
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].path, "/usr/lib/libssl.so.3");
  EXPECT_EQ(files[0].range, "7f10-7f20");
  EXPECT_EQ(files[0].inode, 55u);
  EXPECT_EQ(files[1].path, "/tmp/with space.so");
}

/// A process in a /proc of our own that maps a file.
struct Process {
  test::TempFolder proc{};
  TlsWatch watch{proc.path()};
  Time now = time_from_ns(1'000'000'000);
  std::vector<TlsLibrary> found{};

  void maps(const std::string& path, const std::string& content, int inode = 5) {
    proc.write("7/maps", "10-20 r-xp 00000000 08:01 " + std::to_string(inode) + " " + path + "\n");
    proc.write("7/map_files/10-20", content);
  }
  void tick(milliseconds after) {
    now += after;
    watch.tick(now, [this](const TlsLibrary& library) { found.push_back(library); });
  }
};

TEST(TlsWatch, TellsALibraryOnceForEachProgram) {
  Process process;
  process.watch.follow(7, process.now);
  process.tick(milliseconds(0));  // gone, or nothing mapped yet
  EXPECT_TRUE(process.found.empty());
  process.maps("/usr/lib/libssl.so.3", "no library");
  process.tick(milliseconds(20));
  ASSERT_EQ(process.found.size(), 1u);
  EXPECT_EQ(process.found[0].pid, 7);
  EXPECT_EQ(process.found[0].name, "libssl.so.3");
  EXPECT_TRUE(process.found[0].probes.empty());
  EXPECT_NE(process.found[0].problem.find("no usable ELF file"), std::string::npos);
  process.tick(milliseconds(10'000));
  EXPECT_EQ(process.found.size(), 1u);
  process.watch.follow(7, process.now);  // it runs a new program
  process.tick(milliseconds(0));
  EXPECT_EQ(process.found.size(), 2u);
  process.watch.forget(7);
  process.maps("/usr/lib/libgnutls.so.30", "another", 6);
  process.tick(milliseconds(10'000));
  EXPECT_EQ(process.found.size(), 2u);
}

TEST(TlsWatch, SeesALibraryThatIsLoadedLater) {
  Process process;
  process.maps("/usr/lib/libc.so.6", "");
  process.watch.follow(7, process.now);
  for (int i = 0; i < 100; ++i) process.tick(milliseconds(100));
  EXPECT_TRUE(process.found.empty());
  process.maps("/usr/lib/libssl.so.3", "");
  for (int i = 0; i < 60; ++i) process.tick(milliseconds(100));
  ASSERT_EQ(process.found.size(), 1u);
  EXPECT_NE(process.found[0].problem, "");
}

TEST(TlsWatch, PlacesProbesInARealLibrary) {
  void* library = dlopen("libssl.so.3", RTLD_NOW);
  ASSERT_NE(library, nullptr) << dlerror();
  TlsWatch watch;
  const Time now = time_from_ns(1);
  watch.follow(getpid(), now);
  std::vector<TlsLibrary> found;
  watch.tick(now, [&](const TlsLibrary& one) { found.push_back(one); });
  const auto ssl = std::find_if(found.begin(), found.end(), [](const auto& one) { return one.name == "libssl.so.3"; });
  ASSERT_NE(ssl, found.end());
  if (geteuid() == 0) {  // the kernel lets nobody else open map_files
    EXPECT_EQ(ssl->problem, "");
    std::vector<std::string> symbols;
    for (const TlsProbe& probe : ssl->probes) symbols.push_back(probe.symbol);
    for (const char* name : {"SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex", "SSL_do_handshake"})
      EXPECT_NE(std::find(symbols.begin(), symbols.end(), name), symbols.end()) << name;
  } else {
    EXPECT_EQ(ssl->problem, "its file cannot be read");
  }
  dlclose(library);
}

}  // namespace
}  // namespace inferscope::discover
