// SPDX-License-Identifier: Apache-2.0
// What a probe on the launch of a kernel costs the program. It launches as quickly as it can, on a simulated GPU:
// without probes, with them where they are put (the kernel emulates the instruction), and one instruction further on
// (it is single-stepped there). Prints nanoseconds of processor time a launch, a line of JSON for each round. usage:
// gpu_bench LAUNCHES ROUNDS
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "discover/gpu/gpu_watch.h"
#include "source/live/live_source.h"
#include "tests/bench/watched_child.h"

using namespace inferscope;

namespace {

enum class Probes { none, stepped, placed };

/// Behind "push %rbp", with which the stand-in's function begins.
void move_off_the_push(GpuLibrary& library) {
  constexpr std::uint64_t push = 1;
  constexpr std::int64_t pushed = 8;
  for (GpuProbe& probe : library.probes)
    if (probe.symbol == "cuLaunchKernel") probe.places.entry = {probe.places.begin + push, pushed};
}

double run(source::LiveSource& source, const std::string& launches, Probes probes) {
  bench::WatchedChild child([&](int go, int result) {
    REQUIRE_OR_EXIT(dup2(go, STDIN_FILENO) >= 0 && dup2(result, STDOUT_FILENO) >= 0);
    setenv("LD_LIBRARY_PATH", GPU_STAND_INS, 1);
    setenv("GPU_SIM", "kernel_us=0", 1);
    execl(GPU_STAND_INS "/gpu_client", "gpu_client", ("launch:" + launches).c_str(), "wait", nullptr);
  });
  if (probes == Probes::none) {
    child.run_alone(source);
  } else {
    child.run_watched<GpuLibrary>(source, discover::GpuWatch(), [&](GpuLibrary& found) {
      if (probes == Probes::stepped) move_off_the_push(found);
      REQUIRE_OR_EXIT(source.watch(found).ok());
      child.let_go();
    });
  }
  const auto text = child.result<std::array<char, 32>>(1);
  return std::strtod(text.data(), nullptr) / std::strtod(launches.c_str(), nullptr);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    fmt::print(stderr, "usage: {} LAUNCHES ROUNDS\n", arguments[0]);
    return 2;
  }
  const auto rounds = std::strtoul(arguments[2], nullptr, 10);
  auto opened = source::LiveSource::open({.overhead_budget = 1});
  if (!opened) {
    fmt::print(stderr, "{}\n", opened.error().text());
    return 1;
  }
  for (unsigned long round = 0; round < rounds; ++round) {
    std::array<double, 3> spent{};
    for (const Probes probes :
         {Probes::none, Probes::stepped, Probes::placed, Probes::placed, Probes::stepped, Probes::none})
      spent[static_cast<std::size_t>(probes)] += run(*opened.value(), arguments[1], probes) / 2;
    fmt::print("{{\"none\": {:.0f}, \"stepped\": {:.0f}, \"placed\": {:.0f}}}\n", spent[0], spent[1], spent[2]);
    std::fflush(stdout);
  }
  return 0;
}
