// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/connection.h"
#include "model/gpu_work.h"
#include "model/probe_place.h"

namespace inferscope {

/// What a function of a GPU library does, and so what is made of a call.
enum class GpuFunction : std::uint8_t {
  launch,      ///< hands over a kernel, or a command buffer
  graph,       ///< hands over a graph of kernels
  copy,        ///< hands over a copy, and returns at once
  collective,  ///< hands over work of several GPUs together
  wait,        ///< returns when what was handed over is done, or with an error
  copy_back,   ///< a copy that returns when it is done
  poll,        ///< tells whether it is done, at once
  allocate,    ///< memory of the GPU
  free,
  name,   ///< makes a handle of the kernel of a name
  alias,  ///< makes another handle of a kernel
};

/// Which arguments tell what, from 1 on as the psABI passes integers and pointers; 0: none.
struct GpuArguments {
  /// How a launch tells its grid and block.
  enum class Grid : std::uint8_t {
    none,
    words,   ///< six arguments from the second on: grid x, y, z, block x, y, z
    packed,  ///< x and y in one: the second and third, and the fourth and fifth
    config,  ///< the first points to {unsigned grid[3], block[3], shared bytes; stream at 32}
  };

  std::uint8_t kernel = 0;  ///< its handle, or a graph's
  std::uint8_t bytes = 0;
  std::uint8_t times = 0;     ///< what bytes are multiplied by
  std::uint8_t blocking = 0;  ///< not 0: it returns when it is done, so it is a copy_back
  std::uint8_t stream = 0;    ///< or queue
  std::uint8_t out = 0;       ///< where what was made is told, 0: by the result; free: it itself
  std::uint8_t name = 0;
  Grid grid = Grid::none;

  bool operator==(const GpuArguments&) const = default;
};

/// A function that is probed.
struct GpuProbe {
  GpuFunction function{};
  GpuArguments arguments{};
  std::string symbol{};
  std::uint16_t number = 0;  ///< of the function among all that are known; not 0
  FunctionPlaces places{};
};

/// A library through which a process uses GPUs, as it maps it.
struct GpuLibrary {
  Pid pid = 0;
  GpuApi api{};
  /// Of those that carry out the same calls, one inside the other, only the one of lowest rank that a process maps is
  /// listened to, so that none is seen twice.
  std::uint8_t rank = 0;
  std::string name{};  ///< of the file, without folder
  std::string path{};  ///< where the file can be opened, also if it was replaced, deleted, or is in another root
  std::vector<GpuProbe> probes{};
  std::string problem{};  ///< why there are no probes; empty if there are
};

/// "libcuda.so.1 (CUDA driver)"
std::string describe(const GpuLibrary& library);

}  // namespace inferscope
