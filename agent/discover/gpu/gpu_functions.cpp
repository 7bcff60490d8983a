// SPDX-License-Identifier: Apache-2.0
#include "discover/gpu/gpu_functions.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <string>
#include <utility>

#include "discover/code/function_places.h"
#include "discover/elf/elf_symbols.h"

namespace inferscope::discover {
namespace {

using enum GpuFunction;
using Grid = GpuArguments::Grid;

/// (CUfunction, grid x, y, z, block x, y, z, shared bytes, stream, …)
constexpr GpuArguments by_words{.kernel = 1, .stream = 9, .grid = Grid::words};
/// (function, dim3 grid, dim3 block, arguments, shared bytes, stream)
constexpr GpuArguments by_dim3{.kernel = 1, .stream = 8, .grid = Grid::packed};
/// (config, function, …)
constexpr GpuArguments by_config{.kernel = 2, .grid = Grid::config};

constexpr std::array cuda{
    GpuSymbol{"cuLaunchKernel", launch, by_words}, GpuSymbol{"cuLaunchKernelEx", launch, by_config},
    GpuSymbol{"cuLaunchCooperativeKernel", launch, by_words},
    GpuSymbol{"cuGraphLaunch", graph, {.kernel = 1, .stream = 2}},
    GpuSymbol{"cuMemcpyAsync", copy, {.bytes = 3, .stream = 4}},
    GpuSymbol{"cuMemcpyHtoDAsync_v2", copy, {.bytes = 3, .stream = 4}},
    GpuSymbol{"cuMemcpyDtoHAsync_v2", copy, {.bytes = 3, .stream = 4}},
    GpuSymbol{"cuMemcpyDtoDAsync_v2", copy, {.bytes = 3, .stream = 4}},
    GpuSymbol{"cuMemcpyDtoD_v2", copy, {.bytes = 3}},  // the host does not wait for it
    GpuSymbol{"cuMemcpyPeerAsync", copy, {.bytes = 5, .stream = 6}},
    GpuSymbol{"cuMemcpy2DAsync_v2", copy, {.stream = 2}}, GpuSymbol{"cuMemcpy3DAsync_v2", copy, {.stream = 2}},
    // Of many at once only the addresses of the sizes are told.
    GpuSymbol{"cuMemcpyBatchAsync", copy, {.stream = 9}}, GpuSymbol{"cuMemcpyBatchAsync_v2", copy, {.stream = 8}},
    GpuSymbol{"cuMemcpy", copy_back, {.bytes = 3}}, GpuSymbol{"cuMemcpyHtoD_v2", copy_back, {.bytes = 3}},
    GpuSymbol{"cuMemcpyDtoH_v2", copy_back, {.bytes = 3}}, GpuSymbol{"cuStreamSynchronize", wait, {.stream = 1}},
    GpuSymbol{"cuEventSynchronize", wait, {}}, GpuSymbol{"cuCtxSynchronize", wait, {}},
    GpuSymbol{"cuCtxSynchronize_v2", wait, {}},  // what runtimes call from CUDA 13 on
    GpuSymbol{"cuStreamQuery", poll, {.stream = 1}}, GpuSymbol{"cuEventQuery", poll, {}},
    GpuSymbol{"cuMemAlloc_v2", allocate, {.bytes = 2, .out = 1}},
    GpuSymbol{"cuMemAllocAsync", allocate, {.bytes = 2, .stream = 3, .out = 1}},
    GpuSymbol{"cuMemAllocFromPoolAsync", allocate, {.bytes = 2, .stream = 4, .out = 1}},
    GpuSymbol{"cuMemAllocManaged", allocate, {.bytes = 2, .out = 1}},
    GpuSymbol{"cuMemAllocPitch_v2", allocate, {.bytes = 3, .times = 4, .out = 1}},
    GpuSymbol{"cuMemCreate", allocate, {.bytes = 2, .out = 1}}, GpuSymbol{"cuMemFree_v2", free, {.out = 1}},
    GpuSymbol{"cuMemFreeAsync", free, {.stream = 2, .out = 1}}, GpuSymbol{"cuMemRelease", free, {.out = 1}},
    GpuSymbol{"cuModuleGetFunction", name, {.out = 1, .name = 3}},
    GpuSymbol{"cuLibraryGetKernel", name, {.out = 1, .name = 3}},
    GpuSymbol{"cuKernelGetFunction", alias, {.kernel = 2, .out = 1}}};

/// What it does ends in calls of the driver, also where it is linked into a program.
constexpr std::array cuda_runtime{GpuSymbol{"cudaLaunchKernel", launch, by_dim3},
                                  GpuSymbol{"cudaLaunchKernelExC", launch, by_config},
                                  GpuSymbol{"cudaLaunchCooperativeKernel", launch, by_dim3},
                                  GpuSymbol{"cudaGraphLaunch", graph, {.kernel = 1, .stream = 2}},
                                  GpuSymbol{"cudaMemcpyAsync", copy, {.bytes = 3, .stream = 5}},
                                  GpuSymbol{"cudaMemcpy2DAsync", copy, {.bytes = 5, .times = 6, .stream = 8}},
                                  GpuSymbol{"cudaMemcpyPeerAsync", copy, {.bytes = 5, .stream = 6}},
                                  GpuSymbol{"cudaMemcpy", copy_back, {.bytes = 3}},
                                  GpuSymbol{"cudaStreamSynchronize", wait, {.stream = 1}},
                                  GpuSymbol{"cudaEventSynchronize", wait, {}},
                                  GpuSymbol{"cudaDeviceSynchronize", wait, {}},
                                  GpuSymbol{"cudaStreamQuery", poll, {.stream = 1}},
                                  GpuSymbol{"cudaEventQuery", poll, {}},
                                  GpuSymbol{"cudaMalloc", allocate, {.bytes = 2, .out = 1}},
                                  GpuSymbol{"cudaMallocAsync", allocate, {.bytes = 2, .stream = 3, .out = 1}},
                                  GpuSymbol{"cudaMallocManaged", allocate, {.bytes = 2, .out = 1}},
                                  GpuSymbol{"cudaFree", free, {.out = 1}},
                                  GpuSymbol{"cudaFreeAsync", free, {.stream = 2, .out = 1}}};

/// What they hand over are kernels, which are seen as launches, too.
constexpr std::array nccl{
    GpuSymbol{"ncclAllReduce", collective, {.stream = 7}}, GpuSymbol{"ncclReduceScatter", collective, {.stream = 7}},
    GpuSymbol{"ncclBroadcast", collective, {.stream = 7}}, GpuSymbol{"ncclReduce", collective, {.stream = 8}},
    GpuSymbol{"ncclAllGather", collective, {.stream = 6}}, GpuSymbol{"ncclSend", collective, {.stream = 6}},
    GpuSymbol{"ncclRecv", collective, {.stream = 6}}};

/// Exported as C++. The libraries for matrices launch by it (Tensile's: rocBLAS, hipBLASLt).
constexpr std::string_view hip_ext_module_launch =
    "_Z24hipExtModuleLaunchKernelP18ihipModuleSymbol_tjjjjjjmP12ihipStream_tPPvS4_P11ihipEvent_tS6_j";

constexpr std::array hip{GpuSymbol{"hipLaunchKernel", launch, by_dim3},
                         GpuSymbol{"hipModuleLaunchKernel", launch, by_words},
                         GpuSymbol{"hipExtLaunchKernel", launch, by_dim3},
                         GpuSymbol{hip_ext_module_launch, launch, by_words},
                         GpuSymbol{"hipLaunchCooperativeKernel", launch, by_dim3},
                         GpuSymbol{"hipGraphLaunch", graph, {.kernel = 1, .stream = 2}},
                         GpuSymbol{"hipMemcpyAsync", copy, {.bytes = 3, .stream = 5}},
                         GpuSymbol{"hipMemcpyHtoDAsync", copy, {.bytes = 3, .stream = 4}},
                         GpuSymbol{"hipMemcpyDtoHAsync", copy, {.bytes = 3, .stream = 4}},
                         GpuSymbol{"hipMemcpyDtoDAsync", copy, {.bytes = 3, .stream = 4}},
                         GpuSymbol{"hipMemcpyPeerAsync", copy, {.bytes = 5, .stream = 6}},
                         GpuSymbol{"hipMemcpy", copy_back, {.bytes = 3}},
                         GpuSymbol{"hipMemcpyWithStream", copy_back, {.bytes = 3, .stream = 5}},
                         GpuSymbol{"hipStreamSynchronize", wait, {.stream = 1}},
                         GpuSymbol{"hipEventSynchronize", wait, {}},
                         GpuSymbol{"hipDeviceSynchronize", wait, {}},
                         GpuSymbol{"hipStreamQuery", poll, {.stream = 1}},
                         GpuSymbol{"hipEventQuery", poll, {}},
                         GpuSymbol{"hipMalloc", allocate, {.bytes = 2, .out = 1}},
                         GpuSymbol{"hipMallocAsync", allocate, {.bytes = 2, .stream = 3, .out = 1}},
                         GpuSymbol{"hipMallocManaged", allocate, {.bytes = 2, .out = 1}},
                         GpuSymbol{"hipFree", free, {.out = 1}},
                         GpuSymbol{"hipFreeAsync", free, {.stream = 2, .out = 1}},
                         GpuSymbol{"hipModuleGetFunction", name, {.out = 1, .name = 3}}};

/// Below HIP. A kernel is handed over in memory, and told by the signal of its queue.
constexpr std::array hsa{GpuSymbol{"hsa_signal_store_screlease", launch, {.stream = 1}},
                         GpuSymbol{"hsa_amd_memory_async_copy", copy, {.bytes = 5}},
                         GpuSymbol{"hsa_signal_wait_scacquire", wait, {}},
                         GpuSymbol{"hsa_signal_wait_relaxed", wait, {}}};

constexpr std::array level_zero{
    GpuSymbol{"zeCommandListAppendLaunchKernel", launch, {.kernel = 2, .stream = 1}},
    GpuSymbol{"zeCommandListAppendLaunchCooperativeKernel", launch, {.kernel = 2, .stream = 1}},
    GpuSymbol{"zeCommandListAppendMemoryCopy", copy, {.bytes = 4, .stream = 1}},
    GpuSymbol{"zeCommandQueueExecuteCommandLists", graph, {.stream = 1}},
    GpuSymbol{"zeCommandQueueSynchronize", wait, {.stream = 1}},
    GpuSymbol{"zeCommandListHostSynchronize", wait, {.stream = 1}},
    GpuSymbol{"zeEventHostSynchronize", wait, {}},
    GpuSymbol{"zeFenceHostSynchronize", wait, {}},
    GpuSymbol{"zeEventQueryStatus", poll, {}},
    GpuSymbol{"zeFenceQueryStatus", poll, {}},
    GpuSymbol{"zeMemAllocDevice", allocate, {.bytes = 3, .out = 6}},
    GpuSymbol{"zeMemFree", free, {.out = 2}}};

/// What is handed over are buffers of commands; how many kernels are in them is not seen.
constexpr std::array vulkan{GpuSymbol{"vkQueueSubmit", launch, {.stream = 1}},
                            GpuSymbol{"vkQueueSubmit2", launch, {.stream = 1}},
                            GpuSymbol{"vkQueueSubmit2KHR", launch, {.stream = 1}},
                            GpuSymbol{"vkWaitForFences", wait, {}},
                            GpuSymbol{"vkWaitSemaphores", wait, {}},
                            GpuSymbol{"vkWaitSemaphoresKHR", wait, {}},
                            GpuSymbol{"vkQueueWaitIdle", wait, {.stream = 1}},
                            GpuSymbol{"vkDeviceWaitIdle", wait, {}},
                            GpuSymbol{"vkGetFenceStatus", poll, {}}};

constexpr std::array opencl{GpuSymbol{"clEnqueueNDRangeKernel", launch, {.kernel = 2, .stream = 1}},
                            GpuSymbol{"clEnqueueReadBuffer", copy, {.bytes = 5, .blocking = 3, .stream = 1}},
                            GpuSymbol{"clEnqueueWriteBuffer", copy, {.bytes = 5, .blocking = 3, .stream = 1}},
                            GpuSymbol{"clEnqueueCopyBuffer", copy, {.bytes = 6, .stream = 1}},
                            GpuSymbol{"clFinish", wait, {.stream = 1}},
                            GpuSymbol{"clWaitForEvents", wait, {}},
                            GpuSymbol{"clCreateBuffer", allocate, {.bytes = 3}},
                            GpuSymbol{"clReleaseMemObject", free, {.out = 1}},
                            GpuSymbol{"clCreateKernel", name, {.name = 2}}};

constexpr std::array<std::string_view, 1> plain{""};
constexpr std::array<std::string_view, 3> cuda_suffixes{"", "_ptsz", "_ptds"};
constexpr std::array<std::string_view, 2> hip_suffixes{"", "_spt"};

/// The first that fits counts.
constexpr std::array kinds{GpuLibraryKind{"libcuda.so", GpuApi::cuda, 0, cuda_suffixes, cuda},
                           GpuLibraryKind{"libcudart", GpuApi::cuda_runtime, 1, cuda_suffixes, cuda_runtime},
                           GpuLibraryKind{"libnccl.so", GpuApi::nccl, 0, plain, nccl},
                           GpuLibraryKind{"libamdhip64", GpuApi::hip, 0, hip_suffixes, hip},
                           GpuLibraryKind{"libhsa-runtime64", GpuApi::hsa, 1, plain, hsa},
                           GpuLibraryKind{"libze_loader.so", GpuApi::level_zero, 0, plain, level_zero},
                           GpuLibraryKind{"libze_intel_gpu.so", GpuApi::level_zero, 1, plain, level_zero},
                           GpuLibraryKind{"libvulkan.so", GpuApi::vulkan, 0, plain, vulkan},
                           GpuLibraryKind{"libOpenCL.so", GpuApi::opencl, 0, plain, opencl}};

/// From 1 on, over all tables.
std::uint16_t number_of(const GpuLibraryKind& kind, std::size_t symbol) {
  std::size_t before = 1;
  for (const GpuLibraryKind& one : kinds) {
    if (one.symbols.data() == kind.symbols.data()) break;
    before += one.symbols.size();
  }
  return static_cast<std::uint16_t>(before + symbol);
}

std::vector<std::string> names_of(const GpuLibraryKind& kind) {
  std::vector<std::string> names;
  for (const GpuSymbol& symbol : kind.symbols)
    for (const std::string_view suffix : kind.suffixes) names.push_back(std::string(symbol.name) += suffix);
  return names;
}

}  // namespace

std::span<const GpuLibraryKind> gpu_library_kinds() {
  return kinds;
}

const GpuLibraryKind* gpu_library_kind(std::string_view file_name) {
  const auto* const found =
      std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return file_name.starts_with(kind.file); });
  return found == kinds.end() ? nullptr : found;
}

bool same_family(GpuApi one, GpuApi other) {
  const auto family = [](GpuApi api) {
    if (api == GpuApi::cuda_runtime) return GpuApi::cuda;
    return api == GpuApi::hsa ? GpuApi::hip : api;
  };
  return family(one) == family(other);
}

Result<std::vector<GpuProbe>> gpu_probes(const GpuLibraryKind& kind, const ElfFile& file) {
  const std::vector<std::string> names = names_of(kind);
  const std::vector<std::string_view> asked(names.begin(), names.end());
  ElfFunctions functions = exported_functions(file, asked);
  if (functions.empty()) {
    auto named = static_functions(file, asked);
    if (!named) return named.error();
    functions = std::move(named).value();
  }
  if (functions.empty()) return Error{"it names none of the functions that are known"};
  std::vector<GpuProbe> probes;
  std::set<std::uint64_t> taken;  // two names may be one function
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto found = functions.find(names[i]);
    if (found == functions.end() || !taken.insert(found->second.offset).second) continue;
    const std::size_t symbol = i / kind.suffixes.size();
    probes.push_back({.function = kind.symbols[symbol].function,
                      .arguments = kind.symbols[symbol].arguments,
                      .symbol = names[i],
                      .number = number_of(kind, symbol),
                      .places = places_of(found->second.offset, place_probes(code_of(found->second, file)))});
  }
  return probes;
}

}  // namespace inferscope::discover
