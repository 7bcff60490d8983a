// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/time.h"
#include "model/connection.h"

namespace inferscope {

enum class GpuApi : std::uint8_t { cuda, cuda_runtime, nccl, hip, hsa, level_zero, vulkan, opencl };

/// What a thread handed to a GPU, and when it knew that it was done. Summed up by the kernel side: one for each wait
/// that follows some work, and one for each graph.
///
/// A launch returns when it is in the queue; when the GPU begins and ends is not seen. It is busy within [begin, end]
/// at most.
struct GpuWork {
  enum class Ending : std::uint8_t {
    wait,   ///< the thread waited for what it had handed over
    graph,  ///< it launched a graph, and goes on without waiting
  };

  GpuApi api{};
  Pid pid = 0;
  Tid tid = 0;
  Ending ending = Ending::wait;
  /// The first launch, copy or graph since the last wait was handed over; the beginning of the wait if none was seen,
  /// as with ProbeLevel::Level::waits.
  Time begin{};
  Time wait_begin{};  ///< the wait was entered; graph: as end
  Time end{};         ///< the wait returned, or the graph was launched
  // Since this was told before:
  std::uint32_t launches = 0;
  std::uint32_t graphs = 0;
  std::uint32_t copies = 0;
  std::uint32_t collectives = 0;
  std::uint64_t copied_bytes = 0;
  Duration longest_gap{};   ///< between two of them in a row: the host was not quick enough, or had nothing to do
  std::int32_t result = 0;  ///< of the wait, as the API numbers them; 0: success
};

/// One call, of which few are told. Views are valid during the call only.
struct GpuCall {
  GpuApi api{};
  Pid pid = 0;
  Tid tid = 0;
  std::string_view function{};  ///< "cuLaunchKernel"
  std::string_view kernel{};    ///< demangled; empty if not known
  std::array<std::uint32_t, 3> grid{};
  std::array<std::uint32_t, 3> block{};
  std::uint64_t stream = 0;
  std::uint64_t one_of = 1;  ///< so many calls are behind each that is told
};

/// A call failed.
struct GpuFailure {
  enum class Kind : std::uint8_t { out_of_memory, illegal_address, launch_failure, device_lost, other };

  GpuApi api{};
  Pid pid = 0;
  Tid tid = 0;
  std::string_view function{};
  Kind kind = Kind::other;
  std::int32_t result = 0;  ///< as the API numbers them
};

/// Memory of GPUs that a process has allocated, as far as it was seen.
struct GpuMemory {
  GpuApi api{};
  Pid pid = 0;
  std::uint64_t bytes = 0;
  std::uint64_t peak_bytes = 0;
  std::uint64_t allocations = 0;  ///< so far
  std::uint64_t frees = 0;
};

/// From here on a process is seen with less detail, or with more again: what its probes cost has to stay within a
/// budget.
struct ProbeLevel {
  enum class Level : std::uint8_t {
    full,
    sums,   ///< no GpuCall is told
    waits,  ///< launches, copies and collectives are not seen: only waits and launches of graphs
    off,    ///< nothing of what it does in libraries of GPUs
  };

  Pid pid = 0;
  Level level = Level::full;  ///< of what it does in libraries of GPUs
  bool threads = true;        ///< what its threads do is told, in ThreadRun
  double cost = 0;            ///< of all its probes, in processors, that made it so
};
constexpr bool is_full(const ProbeLevel& seen) {
  return seen.level == ProbeLevel::Level::full && seen.threads;
}
/// What both allow; of the first.
constexpr ProbeLevel least_of(const ProbeLevel& one, const ProbeLevel& other) {
  return {one.pid, one.level > other.level ? one.level : other.level, one.threads && other.threads, one.cost};
}
/// "full", "sums", "waits", "off"
constexpr std::string_view name_of(ProbeLevel::Level level) {
  constexpr std::array<std::string_view, 4> names{"full", "sums", "waits", "off"};
  return names[static_cast<std::size_t>(level)];
}

/// Calls to a GPU's driver in the kernel, and what became of the work that it was given, since this was told before.
struct GpuDriverUse {
  enum class Driver : std::uint8_t { nvidia, amd_kfd, drm };

  Driver driver{};
  Pid pid = 0;
  std::uint64_t calls = 0;
  std::uint64_t failed = 0;
  Duration time{};
  Duration longest{};
  /// Of Driver::drm: jobs that are done, of whatever kind the driver has. Those of a driver without the kernel's
  /// scheduler are in no queue that could be seen: all of their time counts as running.
  std::uint64_t jobs = 0;
  Duration queued{};   ///< of all of them, until they were handed to the GPU
  Duration running{};  ///< from then on, until they were done
};

}  // namespace inferscope
