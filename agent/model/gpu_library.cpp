// SPDX-License-Identifier: Apache-2.0
#include "model/gpu_library.h"

#include <array>

namespace inferscope {
namespace {

/// By GpuApi.
constexpr std::array api_names{"CUDA driver", "CUDA runtime", "NCCL", "HIP", "HSA", "Level Zero", "Vulkan", "OpenCL"};

}  // namespace

std::string describe(const GpuLibrary& library) {
  return library.name + " (" + api_names.at(static_cast<std::size_t>(library.api)) + ")";
}

}  // namespace inferscope
