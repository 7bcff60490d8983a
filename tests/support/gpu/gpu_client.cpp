// SPDX-License-Identifier: Apache-2.0
// Calls the CUDA driver as launchers of kernels do, a simulated or a real one: its library is loaded by name, functions
// are asked for one by one. Begins once it reads a byte, and prints the nanoseconds of processor time that the steps
// took, of all threads together, and those that passed in the longest of them. usage: gpu_client [threads=N] [times=N]
// [every_us=N] STEP…, each thread with a stream of its own, and its steps begun not sooner than so long after it began
// them before; steps with a number and how often:
//   launch:N  launch_ex:N  graph:N  copy:BYTES  copy_back:BYTES (waits)  wait  wait_all  event (records it and waits)
//   poll (asks until it is done)  allocate:BYTES  free (the last)  sleep_us:N
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Pointer = void*;
using Address = std::uint64_t;

/// A function of the driver, as cuGetProcAddress tells it.
template <class... Arguments>
class Call {
 public:
  explicit Call(const char* name) {
    using Lookup = int(const char*, void**, int, std::uint64_t, int*);
    static void* const library = dlopen("libcuda.so.1", RTLD_NOW);
    static auto* const lookup = library ? reinterpret_cast<Lookup*>(dlsym(library, "cuGetProcAddress_v2")) : nullptr;
    void* function = nullptr;
    if (lookup == nullptr || lookup(name, &function, 12000, 0, nullptr) != 0) {
      std::fprintf(stderr, "no %s\n", name);
      std::_Exit(2);
    }
    function_ = reinterpret_cast<int (*)(Arguments...)>(function);
  }
  int operator()(Arguments... arguments) const { return function_(arguments...); }

 private:
  int (*function_)(Arguments...);
};

struct LaunchConfig {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  Pointer stream;
};

struct Driver {
  Call<unsigned> init{"cuInit"};
  Call<int*, int> device{"cuDeviceGet"};
  Call<Pointer*, int> context{"cuDevicePrimaryCtxRetain"};
  Call<Pointer> use_context{"cuCtxSetCurrent"};
  Call<Pointer*, const void*> load{"cuModuleLoadData"};
  Call<Pointer*, const void*, Pointer, Pointer, unsigned, Pointer, Pointer, unsigned> load_library{"cuLibraryLoadData"};
  Call<Pointer*, Pointer, const char*> function{"cuModuleGetFunction"};
  Call<Pointer*, Pointer, const char*> kernel_of{"cuLibraryGetKernel"};
  Call<Pointer*, Pointer> function_of{"cuKernelGetFunction"};
  Call<Pointer, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Pointer, Pointer*, Pointer*>
      launch{"cuLaunchKernel"};
  Call<const LaunchConfig*, Pointer, Pointer*, Pointer*> launch_ex{"cuLaunchKernelEx"};
  Call<Pointer*, unsigned> graph_create{"cuGraphCreate"};
  Call<Pointer*, Pointer, const Pointer*, std::size_t, const void*> graph_add{"cuGraphAddKernelNode"};
  Call<Pointer*, Pointer, std::uint64_t> graph_instantiate{"cuGraphInstantiateWithFlags"};
  Call<Pointer, Pointer> graph_launch{"cuGraphLaunch"};
  Call<Address*, std::size_t> allocate{"cuMemAlloc"};
  Call<Address> release{"cuMemFree"};
  Call<Address, const void*, std::size_t, Pointer> copy{"cuMemcpyHtoDAsync"};
  Call<void*, Address, std::size_t> copy_back{"cuMemcpyDtoH"};
  Call<Pointer*, unsigned> stream{"cuStreamCreate"};
  Call<Pointer> wait{"cuStreamSynchronize"};
  Call<> wait_all{"cuCtxSynchronize"};
  Call<Pointer*, unsigned> event{"cuEventCreate"};
  Call<Pointer, Pointer> record{"cuEventRecord"};
  Call<Pointer> event_wait{"cuEventSynchronize"};
  Call<Pointer> event_query{"cuEventQuery"};
};

struct KernelNode {
  Pointer function;
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  Pointer* parameters;
  Pointer* extra;
  Pointer kernel;
  Pointer context;
};

/// Two kernels that do nothing.
constexpr const char* kernels = R"(.version 7.0
.target sm_75
.address_size 64
.visible .entry _Z9attentionPfi() { ret; }
.visible .entry feed_forward() { ret; }
)";

void need(int result, const char* what) {
  if (result == 0) return;
  std::fprintf(stderr, "%s failed: %d\n", what, result);
  std::_Exit(2);
}

struct Step {
  std::string what{};
  std::uint64_t number = 1;
};

/// What one thread does.
class Worker {
 public:
  explicit Worker(const Driver& driver) : driver_(driver) {
    constexpr std::size_t largest_copy = 64u << 20;
    host_.resize(largest_copy);
    int device = 0;
    need(driver.device(&device, 0), "cuDeviceGet");
    Pointer context = nullptr, module = nullptr, library = nullptr, kernel = nullptr;
    need(driver.context(&context, device), "cuDevicePrimaryCtxRetain");
    need(driver.use_context(context), "cuCtxSetCurrent");
    need(driver.stream(&stream_, 0), "cuStreamCreate");
    need(driver.event(&event_, 0), "cuEventCreate");
    need(driver.load(&module, kernels), "cuModuleLoadData");
    need(driver.function(&plain_, module, "_Z9attentionPfi"), "cuModuleGetFunction");
    need(driver.load_library(&library, kernels, nullptr, nullptr, 0, nullptr, nullptr, 0), "cuLibraryLoadData");
    need(driver.kernel_of(&kernel, library, "feed_forward"), "cuLibraryGetKernel");
    need(driver.function_of(&extended_, kernel), "cuKernelGetFunction");
    Pointer graph = nullptr, node = nullptr;
    need(driver.graph_create(&graph, 0), "cuGraphCreate");
    const KernelNode one{plain_, {1, 1, 1}, {32, 1, 1}, 0, nullptr, nullptr, nullptr, nullptr};
    constexpr int kernels_in_graph = 10;
    for (int i = 0; i < kernels_in_graph; ++i)
      need(driver.graph_add(&node, graph, nullptr, 0, &one), "cuGraphAddKernelNode");
    need(driver.graph_instantiate(&graph_, graph, 0), "cuGraphInstantiate");
  }

  /// Failures are what some are run for: it goes on.
  void run(const Step& step) {
    const auto bytes = static_cast<std::size_t>(step.number);
    if (step.what == "launch") {
      for (std::uint64_t i = 0; i < step.number; ++i)
        driver_.launch(plain_, 8, 2, 1, 128, 1, 1, 0, stream_, nullptr, nullptr);
    } else if (step.what == "launch_ex") {
      const LaunchConfig config{{4, 3, 2}, {64, 2, 1}, 0, stream_};
      for (std::uint64_t i = 0; i < step.number; ++i) driver_.launch_ex(&config, extended_, nullptr, nullptr);
    } else if (step.what == "graph") {
      for (std::uint64_t i = 0; i < step.number; ++i) driver_.graph_launch(graph_, stream_);
    } else if (step.what == "copy") {
      driver_.copy(buffer(), host_.data(), bytes, stream_);
    } else if (step.what == "copy_back") {
      driver_.copy_back(host_.data(), buffer(), bytes);
    } else if (step.what == "wait") {
      driver_.wait(stream_);
    } else if (step.what == "wait_all") {
      driver_.wait_all();
    } else if (step.what == "event") {
      driver_.record(event_, stream_);
      driver_.event_wait(event_);
    } else if (step.what == "poll") {
      driver_.record(event_, stream_);
      constexpr int not_ready = 600;
      while (driver_.event_query(event_) == not_ready) {
      }
    } else if (step.what == "allocate") {
      Address address = 0;
      if (driver_.allocate(&address, bytes) == 0) allocated_.push_back(address);
    } else if (step.what == "free" && !allocated_.empty()) {
      driver_.release(allocated_.back());
      allocated_.pop_back();
    } else if (step.what == "sleep_us") {
      usleep(static_cast<useconds_t>(step.number));
    }
  }

 private:
  /// Only who copies needs it, and others' allocations are counted.
  Address buffer() {
    if (buffer_ == 0) need(driver_.allocate(&buffer_, host_.size()), "cuMemAlloc");
    return buffer_;
  }

  const Driver& driver_;
  std::vector<char> host_{};
  std::vector<Address> allocated_{};
  Pointer stream_ = nullptr;
  Pointer event_ = nullptr;
  Address buffer_ = 0;
  Pointer plain_ = nullptr;
  Pointer extended_ = nullptr;
  Pointer graph_ = nullptr;
};

long long now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000ll + time.tv_nsec;
}

}  // namespace

int main(int count, char** arguments) {
  std::uint64_t threads = 1, times = 1, every_us = 0;
  std::vector<Step> steps;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = arguments[i];
    const std::size_t split = word.find_first_of(":=");
    const std::uint64_t number =
        split == std::string_view::npos ? 1 : std::strtoull(arguments[i] + split + 1, nullptr, 10);
    const std::string what(word.substr(0, split));
    if (what == "threads")
      threads = number;
    else if (what == "times")
      times = number;
    else if (what == "every_us")
      every_us = number;
    else
      steps.push_back({what, number});
  }
  const Driver driver;
  driver.init(0);
  char byte = 0;
  if (read(STDIN_FILENO, &byte, 1) != 1) return 1;
  std::mutex mutex;
  long long spent = 0, longest = 0;
  const auto work = [&] {
    Worker worker(driver);
    const long long spent_before = now(CLOCK_THREAD_CPUTIME_ID), begin = now(CLOCK_MONOTONIC);
    long long due = begin;
    for (std::uint64_t i = 0; i < times; ++i) {
      for (const Step& step : steps) worker.run(step);
      due += static_cast<long long>(every_us) * 1000;
      const long long early_us = (due - now(CLOCK_MONOTONIC)) / 1000;
      if (early_us > 0) usleep(static_cast<useconds_t>(early_us));
    }
    const long long end = now(CLOCK_MONOTONIC);
    const std::lock_guard lock(mutex);
    spent += now(CLOCK_THREAD_CPUTIME_ID) - spent_before;
    longest = std::max(longest, end - begin);
  };
  std::vector<std::thread> others;
  for (std::uint64_t i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  std::printf("%lld %lld\n", spent, longest);
  return 0;
}
