// SPDX-License-Identifier: Apache-2.0
// A stand-in for libcublas.so.12: computes nothing. Like the real one, each product launches a kernel by a call of the
// driver, past the runtime.
#include <dlfcn.h>

namespace {

/// As far as a library of this kind is seen from outside.
struct Handle {
  void* stream = nullptr;
};

int launch(const Handle* handle) {
  using GetFunction = int(void**, void*, const char*);
  using Launch =
      int(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
  static void* const driver = dlopen("libcuda.so.1", RTLD_NOW);
  static auto* const launch_kernel = reinterpret_cast<Launch*>(dlsym(driver, "cuLaunchKernel"));
  static void* const gemm = [] {
    void* function = nullptr;
    reinterpret_cast<GetFunction*>(dlsym(driver, "cuModuleGetFunction"))(&function, nullptr, "simulated_gemm");
    return function;
  }();
  constexpr int execution_failed = 13;
  const int outcome = launch_kernel(gemm, 1, 1, 1, 256, 1, 1, 0, handle->stream, nullptr, nullptr);
  return outcome == 0 ? 0 : execution_failed;
}

}  // namespace

extern "C" {

int cublasCreate_v2(Handle** handle) {
  *handle = new Handle();
  return 0;
}
int cublasDestroy_v2(Handle* handle) {
  delete handle;
  return 0;
}
const char* cublasGetStatusString(int) {
  return "simulated";
}
int cublasSetStream_v2(Handle* handle, void* stream) {
  handle->stream = stream;
  return 0;
}
int cublasSetMathMode(Handle*, int) {
  return 0;
}
int cublasSetWorkspace_v2(Handle*, void*, unsigned long) {
  return 0;
}
int cublasGemmBatchedEx(Handle* handle) {
  return launch(handle);
}
int cublasGemmEx(Handle* handle) {
  return launch(handle);
}
int cublasGemmStridedBatchedEx(Handle* handle) {
  return launch(handle);
}
int cublasSgemmBatched(Handle* handle) {
  return launch(handle);
}
int cublasSgemmStridedBatched(Handle* handle) {
  return launch(handle);
}
int cublasSgemm_v2(Handle* handle) {
  return launch(handle);
}
int cublasStrsmBatched(Handle* handle) {
  return launch(handle);
}

}  // extern "C"
