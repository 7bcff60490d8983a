// SPDX-License-Identifier: Apache-2.0
// A stand-in for libcuda.so.1: the calls that llama.cpp's back end and our own clients make, on a simulated GPU.
#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "simulated_gpu.h"

using namespace gpu_sim;

namespace {

SimulatedGpu& gpu() {
  return SimulatedGpu::instance();
}

/// There is one device, and one context on it.
int one_context = 0;
thread_local void* current_context = nullptr;

int move_bytes(void* to, const void* from, std::size_t size, Stream* stream, bool wait) {
  std::memmove(to, from, size);
  return gpu().copy(size, stream, wait);
}
int move_bytes(std::uint64_t to, std::uint64_t from, std::size_t size, Stream* stream, bool wait) {
  return move_bytes(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), size, stream, wait);
}

}  // namespace

extern "C" {

int cuInit(unsigned) {
  return success;
}
int cuDriverGetVersion(int* version) {
  *version = 13000;
  return success;
}
int cuDeviceGetCount(int* count) {
  *count = 1;
  return success;
}
int cuDeviceGet(int* device, int ordinal) {
  *device = 0;
  return ordinal == 0 ? success : invalid_value;
}
int cuDeviceGetName(char* name, int size, int) {
  std::snprintf(name, static_cast<std::size_t>(size), "Simulated GPU");
  return success;
}
/// None of what a device may have or not, so nobody asks for virtual memory or the like.
int cuDeviceGetAttribute(int* value, int, int) {
  *value = 0;
  return success;
}
int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &one_context;
  return success;
}
int cuCtxGetCurrent(void** context) {
  *context = current_context;
  return success;
}
int cuCtxSetCurrent(void* context) {
  current_context = context;
  return success;
}
int cuCtxSynchronize() {
  return gpu().wait_for_all();
}
int cuCtxSynchronize_v2(void*) {
  return gpu().wait_for_all();
}
int cuGetErrorString(int, const char** text) {
  *text = "simulated";
  return success;
}

int cuModuleLoadData(void** module, const void*) {
  *module = &one_context;
  return success;
}
int cuModuleGetFunction(Kernel** function, void*, const char* name) {
  *function = gpu().kernel(name);
  return success;
}
int cuLibraryLoadData(void** library, const void*, void*, void**, unsigned, void*, void**, unsigned) {
  *library = &one_context;
  return success;
}
/// A handle of its own, as the real one makes.
int cuLibraryGetKernel(Kernel** kernel, void*, const char* name) {
  *kernel = new Kernel(*gpu().kernel(name));
  return success;
}
int cuKernelGetFunction(Kernel** function, const Kernel* kernel) {
  *function = gpu().kernel(kernel->name);
  return success;
}

int cuLaunchKernel(Kernel* function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                   Stream* stream, void**, void**) {
  return gpu().launch(*function, stream);
}
struct LaunchConfig {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  Stream* stream;
};
int cuLaunchKernelEx(const LaunchConfig* config, Kernel* function, void**, void**) {
  return gpu().launch(*function, config->stream);
}
int cuGraphCreate(Graph** graph, unsigned) {
  *graph = new Graph();
  return success;
}
int cuGraphAddKernelNode_v2(void** node, Graph* graph, void* const*, std::size_t, const void*) {
  *node = graph;
  ++graph->kernels;
  return success;
}
int cuGraphInstantiateWithFlags(Graph** runnable, const Graph* graph, std::uint64_t) {
  *runnable = new Graph(*graph);
  return success;
}
int cuGraphLaunch(Graph* runnable, Stream* stream) {
  return gpu().launch(*runnable, stream);
}

int cuMemAlloc_v2(std::uint64_t* address, std::size_t bytes) {
  return gpu().allocate(bytes, *address);
}
int cuMemAllocAsync(std::uint64_t* address, std::size_t bytes, Stream*) {
  return gpu().allocate(bytes, *address);
}
int cuMemAllocManaged(std::uint64_t* address, std::size_t bytes, unsigned) {
  return gpu().allocate(bytes, *address);
}
int cuMemFree_v2(std::uint64_t address) {
  return gpu().release(address);
}
int cuMemFreeAsync(std::uint64_t address, Stream*) {
  return gpu().release(address);
}
int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  gpu().memory(*free, *total);
  return success;
}
int cuMemsetD8Async(std::uint64_t address, unsigned char value, std::size_t bytes, Stream*) {
  std::memset(reinterpret_cast<void*>(address), value, bytes);
  return success;
}

int cuMemcpyHtoD_v2(std::uint64_t to, const void* from, std::size_t bytes) {
  return move_bytes(reinterpret_cast<void*>(to), from, bytes, nullptr, true);
}
int cuMemcpyDtoH_v2(void* to, std::uint64_t from, std::size_t bytes) {
  return move_bytes(to, reinterpret_cast<const void*>(from), bytes, nullptr, true);
}
int cuMemcpyAsync(std::uint64_t to, std::uint64_t from, std::size_t bytes, Stream* stream) {
  return move_bytes(to, from, bytes, stream, false);
}
int cuMemcpyHtoDAsync_v2(std::uint64_t to, const void* from, std::size_t bytes, Stream* stream) {
  return move_bytes(reinterpret_cast<void*>(to), from, bytes, stream, false);
}
int cuMemcpyDtoHAsync_v2(void* to, std::uint64_t from, std::size_t bytes, Stream* stream) {
  return move_bytes(to, reinterpret_cast<const void*>(from), bytes, stream, false);
}
int cuMemcpyDtoDAsync_v2(std::uint64_t to, std::uint64_t from, std::size_t bytes, Stream* stream) {
  return move_bytes(to, from, bytes, stream, false);
}

int cuStreamCreate(Stream** stream, unsigned) {
  *stream = gpu().make_stream();
  return success;
}
int cuStreamDestroy_v2(Stream* stream) {
  gpu().end_stream(stream);
  return success;
}
int cuStreamSynchronize(Stream* stream) {
  return gpu().wait(stream);
}
int cuStreamQuery(Stream* stream) {
  return gpu().query(stream);
}
int cuStreamWaitEvent(Stream* stream, const Event* event, unsigned) {
  gpu().wait_on_gpu(stream, *event);
  return success;
}
int cuEventCreate(Event** event, unsigned) {
  *event = new Event();
  return success;
}
int cuEventDestroy_v2(Event* event) {
  delete event;
  return success;
}
int cuEventRecord(Event* event, Stream* stream) {
  gpu().record(*event, stream);
  return success;
}
int cuEventSynchronize(const Event* event) {
  return gpu().wait(*event);
}
int cuEventQuery(const Event* event) {
  return gpu().query(*event);
}

/// The newest form of a function, under the name without its number.
int cuGetProcAddress_v2(const char* name, void** function, int, std::uint64_t, int* status) {
  static void* const self = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  for (const char* suffix : {"_v2", ""}) {
    *function = dlsym(self, (std::string(name) + suffix).c_str());
    if (*function == nullptr) continue;
    if (status != nullptr) *status = 0;
    return success;
  }
  if (status != nullptr) *status = 1;
  return not_found;
}

// Virtual memory, which llama.cpp's back end links to, and uses only where the device says that it has it.
int cuMemAddressFree() {
  return not_supported;
}
int cuMemAddressReserve() {
  return not_supported;
}
int cuMemCreate() {
  return not_supported;
}
int cuMemGetAllocationGranularity() {
  return not_supported;
}
int cuMemMap() {
  return not_supported;
}
int cuMemRelease() {
  return not_supported;
}
int cuMemSetAccess() {
  return not_supported;
}
int cuMemUnmap() {
  return not_supported;
}

}  // extern "C"
