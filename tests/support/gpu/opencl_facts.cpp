// SPDX-License-Identifier: Apache-2.0
// Loaded before a program that is linked with OpenCL (LD_PRELOAD), it tells what that really does: a line of JSON for
// each wait that follows some work, and for each change of the memory that it has. It writes them to OPENCL_FACTS. The
// program stops itself before it begins, so that a test may prepare; SIGCONT lets it go on.
#include <dlfcn.h>
#include <time.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace {

std::FILE* facts() {
  static std::FILE* const file = std::fopen(std::getenv("OPENCL_FACTS"), "w");
  return file;
}

std::int64_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

struct Window {
  std::int64_t begin = 0;  // 0: nothing was handed over
  std::int64_t launches = 0;
  std::int64_t copies = 0;
  std::int64_t copied_bytes = 0;
};
thread_local Window window;

std::map<void*, std::size_t> buffers;
std::int64_t allocated = 0;

void hand_over() {
  if (window.begin == 0) window.begin = now();
}

void copy(std::size_t bytes) {
  hand_over();
  ++window.copies;
  window.copied_bytes += static_cast<std::int64_t>(bytes);
}

int waited(int result) {
  if (window.begin != 0)
    std::fprintf(
        facts(), "{\"begin\": %lld, \"end\": %lld, \"launches\": %lld, \"copies\": %lld, \"copied_bytes\": %lld}\n",
        static_cast<long long>(window.begin), static_cast<long long>(now()), static_cast<long long>(window.launches),
        static_cast<long long>(window.copies), static_cast<long long>(window.copied_bytes));
  window = {};
  return result;
}

void tell_memory() {
  std::fprintf(facts(), "{\"allocated\": %lld}\n", static_cast<long long>(allocated));
}

/// The function of this name that the program would have called without us.
template <typename Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

[[gnu::constructor]] void stop() {
  unsetenv("LD_PRELOAD");  // not for the linker, which PoCL runs
  std::raise(SIGSTOP);
}

}  // namespace

// As in OpenCL's headers, with its handles as plain pointers.
extern "C" {

int clEnqueueNDRangeKernel(void* queue, void* kernel, unsigned dimensions, const std::size_t* offset,
                           const std::size_t* global, const std::size_t* local, unsigned events, void* const* list,
                           void** event) {
  static auto* const next = real<decltype(clEnqueueNDRangeKernel)>("clEnqueueNDRangeKernel");
  hand_over();
  ++window.launches;
  return next(queue, kernel, dimensions, offset, global, local, events, list, event);
}

int clEnqueueReadBuffer(void* queue, void* buffer, unsigned blocking, std::size_t offset, std::size_t bytes, void* to,
                        unsigned events, void* const* list, void** event) {
  static auto* const next = real<decltype(clEnqueueReadBuffer)>("clEnqueueReadBuffer");
  copy(bytes);
  const int result = next(queue, buffer, blocking, offset, bytes, to, events, list, event);
  return blocking != 0 ? waited(result) : result;
}

int clEnqueueWriteBuffer(void* queue, void* buffer, unsigned blocking, std::size_t offset, std::size_t bytes,
                         const void* from, unsigned events, void* const* list, void** event) {
  static auto* const next = real<decltype(clEnqueueWriteBuffer)>("clEnqueueWriteBuffer");
  copy(bytes);
  const int result = next(queue, buffer, blocking, offset, bytes, from, events, list, event);
  return blocking != 0 ? waited(result) : result;
}

int clFinish(void* queue) {
  static auto* const next = real<decltype(clFinish)>("clFinish");
  return waited(next(queue));
}

int clWaitForEvents(unsigned events, void* const* list) {
  static auto* const next = real<decltype(clWaitForEvents)>("clWaitForEvents");
  return waited(next(events, list));
}

void* clCreateBuffer(void* context, std::uint64_t flags, std::size_t bytes, void* host, int* error) {
  static auto* const next = real<decltype(clCreateBuffer)>("clCreateBuffer");
  void* const buffer = next(context, flags, bytes, host, error);
  buffers[buffer] = bytes;
  allocated += static_cast<std::int64_t>(bytes);
  tell_memory();
  return buffer;
}

int clReleaseMemObject(void* buffer) {
  static auto* const next = real<decltype(clReleaseMemObject)>("clReleaseMemObject");
  allocated -= static_cast<std::int64_t>(buffers[buffer]);
  buffers.erase(buffer);
  tell_memory();
  return next(buffer);
}
}
