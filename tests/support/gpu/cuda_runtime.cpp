// SPDX-License-Identifier: Apache-2.0
// A stand-in for libcudart.so.12, as far as llama.cpp's back end needs one. Like the real one it does all by calls of
// the driver, whose functions it asks cuGetProcAddress for. Graphs cannot be captured.
#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <unordered_map>

namespace {

constexpr int success = 0;
constexpr int invalid_value = 1;

/// The name of a function of the driver.
template <std::size_t size>
struct Name {
  char text[size];

  consteval Name(const char (&name)[size]) {
    for (std::size_t i = 0; i < size; ++i) text[i] = name[i];
  }
};

void* find_in_driver(const char* name) {
  using Lookup = int(const char*, void**, int, std::uint64_t, int*);
  static auto* const lookup = reinterpret_cast<Lookup*>(dlsym(dlopen("libcuda.so.1", RTLD_NOW), "cuGetProcAddress_v2"));
  void* function = nullptr;
  if (lookup == nullptr || lookup(name, &function, 12000, 0, nullptr) != success) {
    std::fprintf(stderr, "the driver has no %s\n", name);
    std::abort();
  }
  return function;
}
template <Name name, class... Arguments>
int driver(Arguments... arguments) {
  static auto* const function = reinterpret_cast<int (*)(Arguments...)>(find_in_driver(name.text));
  return function(arguments...);
}

struct Registered {
  std::string name{};
  void* function = nullptr;  ///< the driver's handle, once it was launched
};

/// What the program's own start told of its kernels, by the address of their stand-ins on the host.
struct Kernels {
  std::mutex mutex{};
  std::unordered_map<const void*, Registered> by_stub{};
  void* module = nullptr;

  static Kernels& all() {
    static auto* kernels = new Kernels();
    return *kernels;
  }
  void* function_of(const void* stub) {
    const std::lock_guard lock(mutex);
    const auto found = by_stub.find(stub);
    if (found == by_stub.end()) return nullptr;
    Registered& kernel = found->second;
    if (module == nullptr) driver<"cuModuleLoadData">(&module, static_cast<const void*>(nullptr));
    if (kernel.function == nullptr) driver<"cuModuleGetFunction">(&kernel.function, module, kernel.name.c_str());
    return kernel.function;
  }
};

thread_local int last_error = success;
int told(int outcome) {
  if (outcome != success) last_error = outcome;
  return outcome;
}

void* as_void(std::uint64_t address) {
  return reinterpret_cast<void*>(address);
}
std::uint64_t address_of(const void* memory) {
  return reinterpret_cast<std::uintptr_t>(memory);
}

int allocate(void** memory, std::size_t bytes) {
  std::uint64_t address = 0;
  const int outcome = told(driver<"cuMemAlloc">(&address, bytes));
  *memory = as_void(address);
  return outcome;
}

}  // namespace

extern "C" {

using Stream = void*;
struct Size3 {
  unsigned x, y, z;
};

// What compiled kernels call at the program's start, and with each <<<launch>>>.
void** __cudaRegisterFatBinary(void*) {
  static void* binary = nullptr;
  return &binary;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}
void __cudaRegisterFunction(void**, const char* stub, char*, const char* name, int, void*, void*, void*, void*, int*) {
  const std::lock_guard lock(Kernels::all().mutex);
  Kernels::all().by_stub[stub].name = name;
}
struct CallConfiguration {
  Size3 grid, block;
  std::size_t shared_bytes;
  Stream stream;
};
static thread_local CallConfiguration pushed;
unsigned __cudaPushCallConfiguration(Size3 grid, Size3 block, std::size_t shared_bytes, Stream stream) {
  pushed = {grid, block, shared_bytes, stream};
  return 0;
}
int __cudaPopCallConfiguration(Size3* grid, Size3* block, std::size_t* shared_bytes, Stream* stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *shared_bytes = pushed.shared_bytes;
  *stream = pushed.stream;
  return success;
}

int cudaLaunchKernel(const void* stub, Size3 grid, Size3 block, void** arguments, std::size_t shared_bytes,
                     Stream stream) {
  void* function = Kernels::all().function_of(stub);
  if (function == nullptr) return told(invalid_value);
  return told(driver<"cuLaunchKernel">(function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                       static_cast<unsigned>(shared_bytes), stream, arguments,
                                       static_cast<void**>(nullptr)));
}
int cudaLaunchCooperativeKernel(const void* stub, Size3 grid, Size3 block, void** arguments, std::size_t shared_bytes,
                                Stream stream) {
  return cudaLaunchKernel(stub, grid, block, arguments, shared_bytes, stream);
}
struct LaunchConfig {
  Size3 grid, block;
  std::size_t shared_bytes;
  Stream stream;
};
int cudaLaunchKernelExC(const LaunchConfig* config, const void* stub, void** arguments) {
  return cudaLaunchKernel(stub, config->grid, config->block, arguments, config->shared_bytes, config->stream);
}

int cudaGetDeviceCount(int* count) {
  return driver<"cuDeviceGetCount">(count);
}
int cudaGetDevice(int* device) {
  *device = 0;
  return success;
}
int cudaSetDevice(int) {
  return success;
}
int cudaSetDeviceFlags(unsigned) {
  return success;
}
/// struct cudaDeviceProp of CUDA 12, by the offsets of its fields.
int cudaGetDeviceProperties_v2(char* properties, int) {
  constexpr std::size_t size = 1032;
  std::memset(properties, 0, size);
  std::snprintf(properties, 256, "Simulated GPU");
  const auto set = [properties](std::size_t offset, auto value) {
    std::memcpy(properties + offset, &value, sizeof(value));
  };
  set(288, std::size_t{8} << 30);  // totalGlobalMem
  set(296, std::size_t{49152});    // sharedMemPerBlock
  set(304, 65536);                 // regsPerBlock
  set(308, 32);                    // warpSize
  set(312, std::size_t{1} << 30);  // memPitch
  set(320, 1024);                  // maxThreadsPerBlock
  set(324, 1024);                  // maxThreadsDim
  set(328, 1024);
  set(332, 64);
  set(336, 0x7fffffff);  // maxGridSize
  set(340, 65535);
  set(344, 65535);
  set(360, 9);                    // major
  set(388, 132);                  // multiProcessorCount
  set(604, 1);                    // concurrentKernels and unifiedAddressing
  set(624, 2048);                 // maxThreadsPerMultiProcessor
  set(640, std::size_t{233472});  // sharedMemPerMultiprocessor
  set(648, 65536);                // regsPerMultiprocessor
  set(696, std::size_t{232448});  // sharedMemPerBlockOptin
  return success;
}
int cudaDeviceGetAttribute(int* value, int, int) {
  *value = 1;
  return success;
}
int cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return success;
}
int cudaDeviceEnablePeerAccess(int, unsigned) {
  return success;
}
int cudaDeviceGetPCIBusId(char* text, int size, int) {
  std::snprintf(text, static_cast<std::size_t>(size), "0000:01:00.0");
  return success;
}
int cudaFuncGetAttributes(char* attributes, const void*) {
  constexpr std::size_t size = 144;
  std::memset(attributes, 0, size);
  const auto set = [attributes](std::size_t offset, int value) {
    std::memcpy(attributes + offset, &value, sizeof(value));
  };
  set(24, 1024);  // maxThreadsPerBlock
  set(28, 32);    // numRegs
  set(32, 90);    // ptxVersion
  set(36, 90);    // binaryVersion
  return success;
}
int cudaFuncSetAttribute(const void*, int, int) {
  return success;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, std::size_t, unsigned) {
  *blocks = 2;
  return success;
}

int cudaMalloc(void** memory, std::size_t bytes) {
  return allocate(memory, bytes);
}
int cudaMallocManaged(void** memory, std::size_t bytes, unsigned) {
  std::uint64_t address = 0;
  const int outcome = told(driver<"cuMemAllocManaged">(&address, bytes, 1u));
  *memory = as_void(address);
  return outcome;
}
int cudaFree(void* memory) {
  return told(driver<"cuMemFree">(address_of(memory)));
}
int cudaMallocHost(void** memory, std::size_t bytes) {
  constexpr std::size_t alignment = 4096;
  *memory = std::aligned_alloc(alignment, (bytes / alignment + 1) * alignment);
  return success;
}
int cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return cudaMallocHost(memory, bytes);
}
int cudaFreeHost(void* memory) {
  std::free(memory);
  return success;
}
int cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return success;
}
int cudaHostRegister(void*, std::size_t, unsigned) {
  return success;
}
int cudaHostUnregister(void*) {
  return success;
}
int cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return driver<"cuMemGetInfo">(free, total);
}

int cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, int kind, Stream stream) {
  switch (kind) {
    case 1:
      return told(driver<"cuMemcpyHtoDAsync">(address_of(to), from, bytes, stream));
    case 2:
      return told(driver<"cuMemcpyDtoHAsync">(to, address_of(from), bytes, stream));
    case 3:
      return told(driver<"cuMemcpyDtoDAsync">(address_of(to), address_of(from), bytes, stream));
    default:
      return told(driver<"cuMemcpyAsync">(address_of(to), address_of(from), bytes, stream));
  }
}
int cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                      std::size_t height, int kind, Stream stream) {
  for (std::size_t row = 0; row < height; ++row) {
    const int outcome = cudaMemcpyAsync(static_cast<char*>(to) + row * to_pitch,
                                        static_cast<const char*>(from) + row * from_pitch, width, kind, stream);
    if (outcome != success) return outcome;
  }
  return success;
}
int cudaMemcpyPeerAsync(void* to, int, const void* from, int, std::size_t bytes, Stream stream) {
  return cudaMemcpyAsync(to, from, bytes, 4, stream);
}
int cudaMemsetAsync(void* memory, int value, std::size_t bytes, Stream stream) {
  return told(driver<"cuMemsetD8Async">(address_of(memory), static_cast<unsigned char>(value), bytes, stream));
}
int cudaMemset(void* memory, int value, std::size_t bytes) {
  return cudaMemsetAsync(memory, value, bytes, nullptr);
}

int cudaStreamCreateWithFlags(Stream* stream, unsigned flags) {
  return told(driver<"cuStreamCreate">(stream, flags));
}
int cudaStreamDestroy(Stream stream) {
  return told(driver<"cuStreamDestroy">(stream));
}
int cudaStreamSynchronize(Stream stream) {
  return told(driver<"cuStreamSynchronize">(stream));
}
int cudaStreamWaitEvent(Stream stream, void* event, unsigned flags) {
  return told(driver<"cuStreamWaitEvent">(stream, event, flags));
}
int cudaDeviceSynchronize() {
  return told(driver<"cuCtxSynchronize">());
}
int cudaEventCreateWithFlags(void** event, unsigned flags) {
  return told(driver<"cuEventCreate">(event, flags));
}
int cudaEventDestroy(void* event) {
  return told(driver<"cuEventDestroy">(event));
}
int cudaEventRecord(void* event, Stream stream) {
  return told(driver<"cuEventRecord">(event, stream));
}
int cudaEventSynchronize(void* event) {
  return told(driver<"cuEventSynchronize">(event));
}

int cudaGetLastError() {
  const int error = last_error;
  last_error = success;
  return error;
}
int cudaPeekAtLastError() {
  return last_error;
}
const char* cudaGetErrorString(int error) {
  return error == success ? "no error" : "simulated error";
}

}  // extern "C"
