// SPDX-License-Identifier: Apache-2.0
#include "discover/gpu/gpu_watch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/support/elf_image.h"
#include "tests/support/elf_of.h"
#include "tests/support/temp_folder.h"

namespace inferscope::discover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::ElfImage;

std::string driver() {
  return ElfImage{.exported = {{.name = "cuInit"}, {.name = "cuLaunchKernel"}, {.name = "cuLaunchKernel_ptsz"}}}
      .build();
}
std::string runtime() {
  return ElfImage{.exported = {{.name = "cudaLaunchKernel"}, {.name = "cudaMalloc"}}}.build();
}

std::vector<GpuProbe> probes_in(const std::string& file_name, const std::string& content) {
  const GpuLibraryKind* kind = gpu_library_kind(file_name);
  if (!kind) return {};
  auto probes = gpu_probes(*kind, *elf_of(content));
  return probes ? *probes : std::vector<GpuProbe>();
}

TEST(GpuFunctions, EachHasANumberOfItsOwnAndArgumentsThatFit) {
  std::set<std::string> names;
  std::set<std::uint16_t> numbers;
  for (const GpuLibraryKind& kind : gpu_library_kinds()) {
    std::vector<ElfImage::Function> all;
    for (const GpuSymbol& symbol : kind.symbols) all.push_back({.name = std::string(symbol.name)});
    const auto probes = probes_in(std::string(kind.file) + ".1", ElfImage{.exported = all}.build());
    ASSERT_EQ(probes.size(), kind.symbols.size()) << kind.file;
    for (const GpuProbe& probe : probes) {
      EXPECT_GT(probe.number, 0) << probe.symbol;
      EXPECT_LT(probe.number, 512) << "as many as fit into the number of a probe";
      EXPECT_EQ(names.insert(probe.symbol).second, numbers.insert(probe.number).second) << probe.symbol;
      const GpuArguments& at = probe.arguments;
      for (const std::uint8_t one : {at.kernel, at.bytes, at.times, at.blocking, at.stream, at.out, at.name})
        EXPECT_LE(one, 15) << probe.symbol;
      EXPECT_TRUE(probe.function != GpuFunction::name || at.name > 0) << probe.symbol;
      EXPECT_TRUE(probe.function != GpuFunction::free || at.out > 0) << probe.symbol;
      EXPECT_TRUE(probe.function != GpuFunction::allocate || at.bytes > 0) << probe.symbol;
      EXPECT_TRUE(at.grid == GpuArguments::Grid::none || probe.function == GpuFunction::launch) << probe.symbol;
    }
  }
  EXPECT_GT(names.size(), 100u);
}

TEST(GpuFunctions, FormsOfAFunctionHaveItsNumberAndArguments) {
  const auto probes = probes_in("libcuda.so.550.54", driver());
  ASSERT_EQ(probes.size(), 2u);
  EXPECT_EQ(probes[0].symbol, "cuLaunchKernel");
  EXPECT_EQ(probes[1].symbol, "cuLaunchKernel_ptsz");
  EXPECT_EQ(probes[0].number, probes[1].number);
  EXPECT_EQ(probes[0].arguments, probes[1].arguments);
  EXPECT_EQ(probes[0].arguments.stream, 9) << "behind (function, grid, block, shared bytes)";
  EXPECT_NE(probes[0].places.begin, probes[1].places.begin);
}

TEST(GpuFunctions, FilesAreKnownByTheirNames) {
  EXPECT_EQ(gpu_library_kind("libcuda.so.1")->api, GpuApi::cuda);
  EXPECT_EQ(gpu_library_kind("libcudart.so.12")->api, GpuApi::cuda_runtime);
  EXPECT_EQ(gpu_library_kind("libcudart-a7b20f20.so.11.0")->api, GpuApi::cuda_runtime);
  EXPECT_EQ(gpu_library_kind("libamdhip64.so.6")->api, GpuApi::hip);
  EXPECT_EQ(gpu_library_kind("libcudadebugger.so.1"), nullptr);
  EXPECT_EQ(gpu_library_kind("libc.so.6"), nullptr);
  EXPECT_TRUE(same_family(GpuApi::cuda, GpuApi::cuda_runtime));
  EXPECT_TRUE(same_family(GpuApi::hsa, GpuApi::hip));
  EXPECT_FALSE(same_family(GpuApi::nccl, GpuApi::cuda)) << "both are told: what it launches are kernels, too";
}

TEST(GpuFunctions, WithoutNamesOrInAnyBytesNothingIsFound) {
  const GpuLibraryKind& kind = *gpu_library_kind("libcuda.so.1");
  EXPECT_FALSE(gpu_probes(kind, *elf_of(ElfImage{.exported = {{.name = "other"}}}.build())));
  const std::string whole = driver();
  for (std::size_t size = 64; size < whole.size(); size += 7) {
    const std::string cut = whole.substr(0, size);
    const auto file = elf_of(cut);
    if (!file) continue;
    const auto probes = gpu_probes(kind, *file);
    if (!probes) continue;
    for (const GpuProbe& probe : *probes) EXPECT_LT(probe.places.begin, size);
  }
}

/// A process in a /proc of our own.
struct Process {
  test::TempFolder proc{};
  GpuWatch watch{proc.path()};
  Time now = time_from_ns(1'000'000'000);
  std::string maps{};
  std::vector<GpuLibrary> found{};

  Process() { watch.follow(7, now); }
  void map(const std::string& name, const std::string& content) {
    const std::string from = std::to_string(maps.size() + 10);
    maps += from + "-" + from + "f r-xp 00000000 08:01 " + from + " /usr/lib/" + name + "\n";
    proc.write("7/maps", maps);
    proc.write("7/map_files/" + from + "-" + from + "f", content);
  }
  void tick(milliseconds after) {
    now += after;
    watch.tick(now, [this](const GpuLibrary& library) { found.push_back(library); });
  }
  [[nodiscard]] std::vector<std::string> told() const {
    std::vector<std::string> all;
    for (const GpuLibrary& library : found) all.push_back(describe(library));
    return all;
  }
};

using Told = std::vector<std::string>;

TEST(GpuWatch, TheDriverIsToldAtOnceAndOnce) {
  Process process;
  process.map("libcuda.so.1", driver());
  process.tick(milliseconds(0));
  EXPECT_EQ(process.told(), Told{"libcuda.so.1 (CUDA driver)"});
  process.tick(seconds(30));
  EXPECT_EQ(process.found.size(), 1u);
  EXPECT_EQ(process.found[0].pid, 7);
  EXPECT_EQ(process.found[0].rank, 0);
  EXPECT_EQ(process.found[0].probes.size(), 2u);
  process.watch.follow(7, process.now);  // it runs a new program
  process.tick(seconds(0));
  EXPECT_EQ(process.found.size(), 2u);
}

TEST(GpuWatch, ARuntimeWhoseDriverIsMappedIsLeftAlone) {
  Process process;
  process.map("libcudart.so.12", runtime());
  process.tick(milliseconds(0));
  process.tick(seconds(2));
  EXPECT_EQ(process.told(), Told{}) << "its driver may still come";
  process.map("libcuda.so.1", driver());
  process.tick(seconds(5));
  process.tick(seconds(60));
  EXPECT_EQ(process.told(), Told{"libcuda.so.1 (CUDA driver)"});
}

TEST(GpuWatch, ARuntimeWithoutADriverIsListenedTo) {
  Process process;
  process.map("libcudart.so.12", runtime());
  process.tick(milliseconds(0));
  process.tick(seconds(11));
  EXPECT_EQ(process.told(), Told{"libcudart.so.12 (CUDA runtime)"});
  EXPECT_EQ(process.found[0].rank, 1) << "should its driver come now";
}

TEST(GpuWatch, ADriverWithoutNamesDoesNotHideItsRuntime) {
  Process process;
  process.map("libcuda.so.1", ElfImage{.exported = {{.name = "other"}}}.build());
  process.map("libcudart.so.12", runtime());
  process.tick(milliseconds(0));
  process.tick(seconds(11));
  ASSERT_EQ(process.told(), (Told{"libcuda.so.1 (CUDA driver)", "libcudart.so.12 (CUDA runtime)"}));
  EXPECT_NE(process.found[0].problem, "");
  EXPECT_EQ(process.found[1].problem, "");
}

TEST(GpuWatch, WhoEndedIsForgotten) {
  Process process;
  process.map("libcudart.so.12", runtime());
  process.tick(milliseconds(0));
  process.watch.forget(7);
  process.tick(seconds(60));
  EXPECT_EQ(process.told(), Told{});
}

}  // namespace
}  // namespace inferscope::discover
