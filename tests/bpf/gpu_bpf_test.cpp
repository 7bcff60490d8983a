// SPDX-License-Identifier: Apache-2.0
// What an unmodified program hands to a simulated GPU, compared with what that GPU did.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "discover/gpu/gpu_watch.h"
#include "tests/support/probe_maps.h"
#include "tests/support/sockets.h"
#include "tests/support/temp_folder.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

/// A line of the simulator's log.
using Fact = std::map<std::string, std::int64_t>;

std::vector<Fact> facts_of(const std::string& path) {
  std::vector<Fact> facts;
  std::ifstream file(path);
  const std::regex field("\"([a-z_]+)\": (-?[0-9]+)");
  for (std::string line; std::getline(file, line);) {
    Fact& fact = facts.emplace_back();
    for (std::sregex_iterator it(line.begin(), line.end(), field), end; it != end; ++it)
      fact[(*it)[1]] = std::stoll((*it)[2]);
  }
  return facts;
}

class GpuBpf : public testing::Test {
 protected:
  explicit GpuBpf(const source::LiveOptions& options = {.gpu_one_of = 16, .overhead_budget = 1}) : traced_(options) {}

  /// Runs the client with the probes in place. `settings`: of the simulated GPU.
  void run(const std::string& settings, std::vector<std::string> words) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const std::string log = folder_.file("log");
    std::filesystem::remove(log);
    discover::GpuWatch watch;
    bool followed = false;
    traced_.each_turn([&] {
      also_each_turn_();
      if (!std::exchange(followed, true)) watch.follow(traced_.child(), traced_.source().now());
      watch.tick(traced_.source().now(), [&](const GpuLibrary& library) {
        EXPECT_EQ(describe(library), "libcuda.so.1 (CUDA driver)");
        const auto status = traced_.source().watch(library);
        EXPECT_TRUE(status) << status.error().text();
        EXPECT_EQ(write(ready[1], "x", 1), 1);
      });
    });
    traced_.run([&] {
      REQUIRE_OR_EXIT(dup2(ready[0], STDIN_FILENO) == STDIN_FILENO);
      setenv("LD_LIBRARY_PATH", GPU_STAND_INS, 1);
      setenv("GPU_SIM", settings.c_str(), 1);
      setenv("GPU_SIM_LOG", log.c_str(), 1);
      std::vector<char*> arguments{const_cast<char*>("gpu_client")};
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      execv(GPU_STAND_INS "/gpu_client", arguments.data());
      _exit(101);
    });
    close(ready[0]);
    close(ready[1]);
    ASSERT_EQ(traced_.status(), 0);
    facts_ = facts_of(log);
    EXPECT_EQ(traced_.source().counters().details_lost, 0u);
    EXPECT_EQ(traced_.source().counters().records_refused, 0u);
  }

  [[nodiscard]] std::vector<const GpuWork*> work() const { return traced_.all<GpuWork>(); }
  [[nodiscard]] std::int64_t sum(const std::string& field) const {
    std::int64_t all = 0;
    for (const Fact& fact : facts_) all += fact.at(field);
    return all;
  }

  TempFolder folder_{};
  TracedProcess traced_;
  std::function<void()> also_each_turn_{[] {}};
  std::vector<Fact> facts_{};
};

TEST_F(GpuBpf, EachCallIsCountedOnceAndWindowsAreThoseOfTheGpu) {
  run("kernel_us=2000", {"times=20", "launch:10", "launch_ex:2", "copy:1000000", "wait"});
  ASSERT_EQ(work().size(), 20u);
  ASSERT_EQ(facts_.size(), 20u);
  for (std::size_t i = 0; i < facts_.size(); ++i) {
    const GpuWork& told = *work()[i];
    const Fact& fact = facts_[i];
    EXPECT_EQ(told.api, GpuApi::cuda);
    EXPECT_EQ(told.ending, GpuWork::Ending::wait);
    EXPECT_EQ(told.pid, traced_.child());
    EXPECT_EQ(told.tid, fact.at("tid"));
    EXPECT_EQ(told.launches, 12u);
    EXPECT_EQ(told.copies, 1u);
    EXPECT_EQ(told.copied_bytes, 1'000'000u);
    EXPECT_EQ(told.graphs, 0u);
    EXPECT_EQ(told.result, 0);
    // As the program sees it: what it takes to be woken belongs to its window.
    const std::int64_t really = fact.at("end") - fact.at("begin");
    EXPECT_LE(to_ns(told.begin), fact.at("begin"));
    EXPECT_GE(to_ns(told.end), fact.at("end"));
    EXPECT_NEAR(static_cast<double>(to_ns(told.end) - to_ns(told.begin)), static_cast<double>(really),
                0.02 * static_cast<double>(really));
    EXPECT_LE(to_ns(told.begin), fact.at("busy_begin"));
    EXPECT_GE(to_ns(told.end), fact.at("busy_end"));
    EXPECT_LE(to_ns(told.wait_begin), fact.at("wait_begin"));
    EXPECT_GT(to_ns(told.wait_begin), fact.at("begin"));
    EXPECT_LT(told.longest_gap, std::chrono::milliseconds(2));
  }
}

TEST_F(GpuBpf, SeveralThreadsEachForItself) {
  run("kernel_us=50", {"threads=4", "times=50", "launch:7", "wait"});
  std::map<Tid, std::uint32_t> launches;
  for (const GpuWork* one : work()) launches[one->tid] += one->launches;
  EXPECT_EQ(launches.size(), 4u);
  for (const auto& [tid, count] : launches) EXPECT_EQ(count, 350u);
  EXPECT_EQ(work().size(), 200u);
}

TEST_F(GpuBpf, GraphsAreToldAsTheyAreLaunched) {
  run("kernel_us=100", {"times=10", "launch:3", "graph:2", "launch:1", "wait"});
  std::uint32_t launches = 0, graphs = 0, waits = 0;
  Time begin{};
  for (const GpuWork* one : work()) {
    launches += one->launches;
    graphs += one->graphs;
    if (begin == Time{}) begin = one->begin;
    EXPECT_EQ(one->begin, begin) << "a graph is no wait";
    if (one->ending == GpuWork::Ending::graph) {
      EXPECT_EQ(one->wait_begin, one->end);
      EXPECT_EQ(one->graphs, 1u);
      continue;
    }
    ++waits;
    EXPECT_EQ(one->launches, 1u) << "since the last graph";
    begin = Time{};
  }
  EXPECT_EQ(launches, 40u);
  EXPECT_EQ(graphs, 20u);
  EXPECT_EQ(waits, 10u);
}

TEST_F(GpuBpf, EachWayOfWaitingEndsAWindow) {
  run("kernel_us=300,bytes_per_us=100",
      {"times=5", "launch:1", "event", "launch:2", "poll", "launch:3", "wait_all", "copy_back:50000"});
  std::vector<std::uint32_t> launches, copies;
  for (const GpuWork* one : work()) {
    launches.push_back(one->launches);
    copies.push_back(one->copies);
  }
  std::vector<std::uint32_t> expected, expected_copies;
  for (int i = 0; i < 5; ++i) {
    expected.insert(expected.end(), {1, 2, 3, 0});
    expected_copies.insert(expected_copies.end(), {0, 0, 0, 1});
  }
  EXPECT_EQ(launches, expected);
  EXPECT_EQ(copies, expected_copies);
  for (std::size_t i = 3; i < work().size(); i += 4) {
    EXPECT_EQ(work()[i]->copied_bytes, 50'000u);
    EXPECT_GE(work()[i]->end - work()[i]->begin, std::chrono::microseconds(500));
  }
}

TEST_F(GpuBpf, WaitsForNothingAreToldOfIfTheyAreLong) {
  run("stall_ms=3", {"times=3", "wait"});
  ASSERT_EQ(work().size(), 3u);
  for (const GpuWork* one : work()) {
    EXPECT_EQ(one->launches, 0u);
    EXPECT_EQ(one->begin, one->wait_begin);
    EXPECT_GE(one->end - one->begin, std::chrono::milliseconds(3));
  }
  traced_.forget();
  run("", {"times=200", "wait"});
  EXPECT_LT(work().size(), 20u) << "those that were interrupted";
}

TEST_F(GpuBpf, AHostThatIsSlowLeavesGaps) {
  run("kernel_us=10,gap_us=4000", {"launch:5", "wait"});
  ASSERT_EQ(work().size(), 1u);
  EXPECT_GE(work()[0]->longest_gap, std::chrono::milliseconds(4));
  EXPECT_LT(work()[0]->longest_gap, std::chrono::milliseconds(40));
}

TEST_F(GpuBpf, FailuresAreToldAtOnce) {
  run("fail_after=50", {"times=10", "launch:10", "wait"});
  const auto failures = traced_.all<GpuFailure>();
  ASSERT_EQ(failures.size(), 6u) << "the fifth wait, and all after it";
  for (const GpuFailure* one : failures) {
    EXPECT_EQ(one->function, "cuStreamSynchronize");
    EXPECT_EQ(one->kind, GpuFailure::Kind::illegal_address);
    EXPECT_EQ(one->result, 700);
    EXPECT_EQ(one->pid, traced_.child());
  }
  ASSERT_EQ(work().size(), 10u);
  EXPECT_EQ(work()[3]->result, 0);
  EXPECT_EQ(work()[4]->result, 700);
}

TEST_F(GpuBpf, MemoryIsAddedUpAndItsEndIsToldOf) {
  run("memory=10000", {"allocate:4000", "allocate:5000", "allocate:2000", "free", "allocate:3000", "sleep_us:400000",
                       "free", "sleep_us:400000"});
  const auto failures = traced_.all<GpuFailure>();
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0]->function, "cuMemAlloc_v2");
  EXPECT_EQ(failures[0]->kind, GpuFailure::Kind::out_of_memory);
  EXPECT_EQ(failures[0]->result, 2);
  const auto memory = traced_.all<GpuMemory>();
  ASSERT_GE(memory.size(), 2u);
  const GpuMemory& before = **(memory.end() - 2);
  EXPECT_EQ(before.bytes, 7000u);
  EXPECT_EQ(before.peak_bytes, 9000u);
  EXPECT_EQ(before.allocations, 3u);
  EXPECT_EQ(before.frees, 1u);
  EXPECT_EQ(memory.back()->bytes, 4000u);
  EXPECT_EQ(memory.back()->frees, 2u);
  EXPECT_EQ(traced_.source().counters().gpu_memory_full, 0u);
}

TEST_F(GpuBpf, SomeCallsAreToldByThemselvesWithTheNamesOfTheirKernels) {
  run("kernel_us=0", {"times=2000", "launch:1", "launch_ex:1", "wait"});
  std::map<std::string, int> kernels;
  for (const GpuCall* one : traced_.all<GpuCall>()) {
    ++kernels[std::string(one->kernel)];
    EXPECT_EQ(one->one_of, 16u);
    EXPECT_NE(one->stream, 0u);
    if (one->function == "cuLaunchKernel") {
      EXPECT_EQ(one->kernel, "attention(float*, int)");
      EXPECT_EQ(one->grid, (std::array<std::uint32_t, 3>{8, 2, 1}));
      EXPECT_EQ(one->block, (std::array<std::uint32_t, 3>{128, 1, 1}));
    } else {
      EXPECT_EQ(one->function, "cuLaunchKernelEx");
      EXPECT_EQ(one->kernel, "feed_forward");
      EXPECT_EQ(one->grid, (std::array<std::uint32_t, 3>{4, 3, 2}));
      EXPECT_EQ(one->block, (std::array<std::uint32_t, 3>{64, 2, 1}));
    }
  }
  ASSERT_EQ(kernels.size(), 2u) << "both, though they take turns";
  for (const auto& [kernel, count] : kernels) EXPECT_NEAR(count, 125, 60) << kernel;
}

TEST_F(GpuBpf, NothingIsKeptOfWhoHasEnded) {
  run("", {"threads=3", "allocate:100", "launch:1", "wait"});
  for (const char* map : {"gpu_threads", "gpu_allocations", "gpu_memory"}) EXPECT_EQ(entries_of(map), 0u) << map;
}

/// As many launches as a program can make, under the usual budget.
class GpuBudgetBpf : public GpuBpf {
 protected:
  GpuBudgetBpf() : GpuBpf({.gpu_one_of = 16}) {}
};

TEST_F(GpuBudgetBpf, ProbesThatCostTooMuchAreTakenOut) {
  std::vector<source::ProbeUse> uses;
  also_each_turn_ = [&] {
    if (auto now = traced_.source().probe_uses(); !now.empty()) uses = std::move(now);
  };
  run("kernel_us=0", {"times=2000", "launch:10000", "wait"});
  const auto levels = traced_.all<ProbeLevel>();
  ASSERT_GE(levels.size(), 1u);
  EXPECT_EQ(levels[0]->level, ProbeLevel::Level::waits) << "in one step: they cost many times as much as they may";
  EXPECT_EQ(levels[0]->pid, traced_.child());
  EXPECT_GT(levels[0]->cost, 0.01);
  Time first{}, given_up{};
  for (const Seen& seen : traced_.events()) {
    if (seen.as<GpuCall>() && first == Time{}) first = seen.event.time;
    if (const auto* level = seen.as<ProbeLevel>(); level && level->level == ProbeLevel::Level::waits)
      given_up = seen.event.time;
  }
  EXPECT_LT(given_up - first, std::chrono::seconds(1));
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].level, ProbeLevel::Level::waits);
  EXPECT_LT(uses[0].cost(), uses[0].allowed);
  EXPECT_NEAR(uses[0].allowed, 0.01, 0.001);
  std::uint64_t launches = 0;
  for (const GpuWork* one : work()) launches += one->launches;
  EXPECT_GT(launches, 10'000u);
  EXPECT_LT(launches, 10'000'000u) << "of twenty million";
}

}  // namespace
}  // namespace inferscope::test
