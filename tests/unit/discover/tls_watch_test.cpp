// SPDX-License-Identifier: Apache-2.0
#include "discover/tls/tls_watch.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "tests/support/elf_image.h"
#include "tests/support/temp_folder.h"

namespace inferscope::discover {
namespace {

using std::chrono::milliseconds;
using test::ElfImage;

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

std::string libssl() {
  return ElfImage{.exported = {{.name = "SSL_read"}, {.name = "SSL_write"}}}.build();
}
std::string linked_with_openssl() {
  return ElfImage{.named = {{.name = "main"}, {.name = "SSL_read"}, {.name = "SSL_write"}}}.build();
}

/// Processes in a /proc of our own.
struct Processes {
  test::TempFolder proc{};
  TlsWatch watch{proc.path()};
  Time now = time_from_ns(1'000'000'000);
  std::vector<TlsLibrary> found{};

  void maps(const std::string& path, const std::string& content, Pid pid = 7, int inode = 5) {
    const std::string folder = std::to_string(pid);
    proc.write(folder + "/maps", "10-20 r-xp 00000000 08:01 " + std::to_string(inode) + " " + path + "\n");
    proc.write(folder + "/map_files/10-20", content);
  }
  void runs(const std::string& path, const std::string& content, Pid pid = 7) {
    maps(path, content, pid);
    proc.link(std::to_string(pid) + "/exe", proc.file(std::to_string(pid) + "/map_files/10-20"));
  }
  bool tick(milliseconds after) {
    now += after;
    return watch.tick(now, [this](const TlsLibrary& library) { found.push_back(library); });
  }
};

TEST(TlsWatch, TellsALibraryOnceForEachProgram) {
  Processes processes;
  processes.watch.follow(7, processes.now);
  processes.tick(milliseconds(0));  // gone, or nothing mapped yet
  EXPECT_TRUE(processes.found.empty());
  processes.maps("/usr/lib/libssl.so.3", libssl());
  processes.tick(milliseconds(20));
  ASSERT_EQ(processes.found.size(), 1u);
  EXPECT_EQ(processes.found[0].pid, 7);
  EXPECT_EQ(processes.found[0].problem, "");
  EXPECT_EQ(processes.found[0].probes.size(), 2u);
  EXPECT_EQ(describe(processes.found[0]), "libssl.so.3 (.dynsym)");
  processes.tick(milliseconds(10'000));
  EXPECT_EQ(processes.found.size(), 1u);
  processes.watch.follow(7, processes.now);  // it runs a new program
  processes.tick(milliseconds(0));
  EXPECT_EQ(processes.found.size(), 2u);
  processes.watch.forget(7);
  processes.maps("/usr/lib/libgnutls.so.30", libssl(), 7, 6);
  processes.tick(milliseconds(10'000));
  EXPECT_EQ(processes.found.size(), 2u);
}

TEST(TlsWatch, SeesALibraryThatIsLoadedLater) {
  Processes processes;
  processes.maps("/usr/lib/libc.so.6", ElfImage{.exported = {{.name = "read"}, {.name = "write"}}}.build());
  processes.watch.follow(7, processes.now);
  for (int i = 0; i < 100; ++i) processes.tick(milliseconds(100));
  EXPECT_TRUE(processes.found.empty());
  processes.maps("/usr/lib/node.abc/libnode.so.115", libssl(), 7, 6);
  for (int i = 0; i < 60; ++i) processes.tick(milliseconds(100));
  ASSERT_EQ(processes.found.size(), 1u);
  EXPECT_EQ(processes.found[0].name, "libnode.so.115") << "no name of a file is known";
}

TEST(TlsWatch, WhatALibraryOnlyNeedsOrIsNoElfFileIsNotToldOf) {
  Processes processes;
  processes.maps(
      "/usr/lib/_ssl.so",
      ElfImage{.exported = {{.name = "SSL_read", .defined = false}, {.name = "SSL_write", .defined = false}}}.build());
  processes.maps("/usr/lib/libssl.so.3", "no library", 8);
  processes.watch.follow(7, processes.now);
  processes.watch.follow(8, processes.now);
  for (int i = 0; i < 10; ++i) processes.tick(milliseconds(100));
  EXPECT_TRUE(processes.found.empty());
}

TEST(TlsWatch, TellsWhereAProgramHasIt) {
  Processes processes;
  processes.runs("/usr/bin/node", libssl());
  processes.runs("/usr/bin/llama-server", linked_with_openssl(), 8);
  processes.runs("/usr/bin/stripped", ElfImage{.constants = "extended master secret"}.build(), 9);
  processes.maps("/usr/lib/extension.so", linked_with_openssl(), 10);
  for (const Pid pid : {7, 8, 9, 10}) processes.watch.follow(pid, processes.now);
  while (processes.tick(milliseconds(0))) {
  }
  std::vector<std::string> described;
  for (const TlsLibrary& one : processes.found) {
    described.push_back(describe(one));
    EXPECT_EQ(one.probes.empty(), one.name == "stripped");
    EXPECT_EQ(one.problem.empty(), one.name != "stripped");
  }
  std::sort(described.begin(), described.end());
  EXPECT_EQ(described, (std::vector<std::string>{"extension.so (.symtab)", "llama-server (executable, .symtab)",
                                                 "node (executable, .dynsym)", "stripped (executable, .rodata)"}));
}

/// Seen by a change that the file's size and time do not show.
TEST(TlsWatch, AFileIsAnalysedOnceForAllProcesses) {
  Processes processes;
  const std::string content = linked_with_openssl();
  processes.maps("/usr/lib/extension.so", content);
  processes.watch.follow(7, processes.now);
  while (processes.tick(milliseconds(0))) {
  }
  ASSERT_EQ(processes.found.size(), 1u);
  const std::string path = processes.proc.file("7/map_files/10-20");
  const auto written = std::filesystem::last_write_time(path);
  processes.proc.write("7/map_files/10-20", std::string(content.size(), 'x'));
  std::filesystem::last_write_time(path, written);
  processes.proc.write("8/maps", "10-20 r-xp 00000000 08:01 5 /usr/lib/extension.so\n");
  std::filesystem::create_directories(processes.proc.file("8/map_files"));
  std::filesystem::create_hard_link(path, processes.proc.file("8/map_files/10-20"));
  processes.watch.follow(8, processes.now);
  processes.tick(milliseconds(0));
  ASSERT_EQ(processes.found.size(), 2u);
  EXPECT_EQ(processes.found[1].pid, 8);
  EXPECT_EQ(processes.found[1].probes.size(), 2u);
  std::filesystem::last_write_time(path, written + std::chrono::seconds(1));  // now it shows
  processes.watch.follow(8, processes.now);
  while (processes.tick(milliseconds(0))) {
  }
  EXPECT_EQ(processes.found.size(), 2u);
}

TEST(TlsWatch, WorkIsLeftToTheNextTick) {
  Processes processes;
  constexpr int files = 1200;
  std::string maps;
  for (int i = 1; i <= files; ++i) {
    const std::string range = std::to_string(i) + "0-" + std::to_string(i) + "8";
    maps += range + " r-xp 00000000 08:01 " + std::to_string(i) + " /usr/lib/" + std::to_string(i) + ".so\n";
    processes.proc.write("7/map_files/" + range, i == files ? libssl() : "other");
  }
  processes.proc.write("7/maps", maps);
  processes.watch.follow(7, processes.now);
  EXPECT_TRUE(processes.tick(milliseconds(0)));
  EXPECT_TRUE(processes.tick(milliseconds(0)));
  EXPECT_TRUE(processes.found.empty());
  EXPECT_FALSE(processes.tick(milliseconds(0)));
  ASSERT_EQ(processes.found.size(), 1u);
  EXPECT_EQ(processes.found[0].name, "1200.so");
}

/// dlclose() and dlopen(): its probes are in place already.
TEST(TlsWatch, AFileThatComesBackIsNotToldAgain) {
  Processes processes;
  processes.maps("/usr/lib/libssl.so.3", libssl());
  processes.watch.follow(7, processes.now);
  processes.tick(milliseconds(0));
  ASSERT_EQ(processes.found.size(), 1u);
  const std::string maps = test::read_file(processes.proc.file("7/maps"));
  processes.proc.write("7/maps", "");
  processes.tick(milliseconds(10'000));
  processes.proc.write("7/maps", maps);
  processes.tick(milliseconds(10'000));
  EXPECT_EQ(processes.found.size(), 1u);
}

/// A large file with names is searched in a tick of its own.
TEST(TlsWatch, OneLargeSearchPerTick) {
  Processes processes;
  ElfImage image{.named = {{.name = std::string(17u << 20, 'x')}, {.name = "SSL_read"}, {.name = "SSL_write"}}};
  const std::string large = image.build();
  for (const Pid pid : {7, 8}) {
    processes.runs("/usr/bin/server", large, pid);
    processes.watch.follow(pid, processes.now);
  }
  EXPECT_TRUE(processes.tick(milliseconds(0)));
  EXPECT_EQ(processes.found.size(), 1u);
  processes.watch.forget(8);  // before its turn
  EXPECT_FALSE(processes.tick(milliseconds(0)));
  EXPECT_EQ(processes.found.size(), 1u);
}

/// Without the table of names.
std::string stripped(const std::string& content) {
  return test::with_sections(content, [](Elf64_Shdr& section) {
    if (section.sh_type == SHT_SYMTAB) section.sh_type = SHT_PROGBITS;
  });
}

/// As in another layer of a container's image. What only says that it is the same program is searched itself.
TEST(TlsWatch, ABuildIsAnalysedOnceForAllItsCopies) {
  Processes processes;
  const std::string content = stripped(test::read_file(PROGRAMS "openssl_fixed"));
  const auto ticks_until_told = [&](Pid pid, const std::string& program) {
    processes.runs("/usr/bin/server", program, pid);
    processes.watch.follow(pid, processes.now);
    processes.found.clear();
    int ticks = 1;
    while (processes.tick(milliseconds(0))) ++ticks;
    EXPECT_EQ(processes.found.size(), 1u);
    return ticks;
  };
  EXPECT_GT(ticks_until_told(7, content), 1);
  EXPECT_EQ(describe(processes.found.at(0)), "server (executable, .rodata, .eh_frame)");
  const std::vector<TlsProbe> probes = processes.found.at(0).probes;
  ASSERT_EQ(probes.size(), 5u) << "two forms of reading and of writing share one each";

  EXPECT_EQ(ticks_until_told(8, content), 1);
  ASSERT_EQ(processes.found.at(0).probes.size(), probes.size());
  for (std::size_t i = 0; i < probes.size(); ++i)
    EXPECT_EQ(processes.found.at(0).probes[i].places.begin, probes[i].places.begin);

  std::string other = content;
  for (const TlsProbe& probe : probes) other.replace(probe.places.begin, 8, 8, '\x06');  // no instruction
  EXPECT_GT(ticks_until_told(9, other), 1);
  EXPECT_NE(processes.found.at(0).problem, "");
}

TEST(TlsWatch, PlacesProbesInARealLibrary) {
  void* library = dlopen("libssl.so.3", RTLD_NOW);
  ASSERT_NE(library, nullptr) << dlerror();
  TlsWatch watch;
  const Time now = time_from_ns(1);
  watch.follow(getpid(), now);
  std::vector<TlsLibrary> found;
  while (watch.tick(now, [&](const TlsLibrary& one) { found.push_back(one); })) {
  }
  if (geteuid() == 0) {
    const auto ssl =
        std::find_if(found.begin(), found.end(), [](const auto& one) { return one.name == "libssl.so.3"; });
    ASSERT_NE(ssl, found.end());
    EXPECT_EQ(ssl->problem, "");
    EXPECT_EQ(ssl->evidence, ".dynsym");
    EXPECT_FALSE(ssl->executable);
    std::string symbols;
    for (const TlsProbe& probe : ssl->probes) symbols += probe.symbol + ", ";
    for (const char* name : {"SSL_read, ", "SSL_write, ", "SSL_read_ex, ", "SSL_write_ex, ", "SSL_do_handshake, "})
      EXPECT_NE(symbols.find(name), std::string::npos) << name;
  } else {  // the kernel lets nobody else open map_files
    ASSERT_EQ(found.size(), 1u);
    EXPECT_NE(found[0].problem.find("cannot be read"), std::string::npos) << found[0].problem;
  }
  dlclose(library);
}

}  // namespace
}  // namespace inferscope::discover
