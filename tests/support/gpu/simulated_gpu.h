// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

namespace gpu_sim {

using Nanoseconds = std::int64_t;  ///< of CLOCK_MONOTONIC, which is the kernel's clock of its probes

/// What calls return, as the CUDA driver numbers it.
enum Outcome : int {
  success = 0,
  invalid_value = 1,
  out_of_memory = 2,
  not_found = 500,
  not_ready = 600,
  illegal_address = 700,
  not_supported = 801,
};

struct Kernel {
  std::string name{};
  Nanoseconds duration = 0;
};
/// Works in order; what was handed over last is done then.
struct Stream {
  Nanoseconds free_at = 0;
};
struct Event {
  Nanoseconds done_at = 0;
};
struct Graph {
  unsigned kernels = 0;
};

/// A GPU that computes nothing and takes a known time for it: memory is the host's, copies are made at once, and
/// whoever waits sleeps until the queue's time has come.
///
/// GPU_SIM has settings "key=value", separated by commas or line ends; so has the file that GPU_SIM_CONTROL names,
/// which is read anew with each wait:
///   kernel_us, kernel_us.NAME  what a kernel takes (20); those with a name whose name holds NAME
///   bytes_per_us               of copies (10000)
///   memory                     bytes that can be allocated (8 GiB)
///   fail_after                 all fails with 700 once so many kernels were launched; 0: never
///   stall_ms                   each wait takes so much longer
///   gap_us                     each launch is held up so long before it is handed over
/// The file that GPU_SIM_LOG names gets a line of JSON for each wait: what the thread handed over since its wait
/// before, when that was (begin), when the GPU worked on it (busy_begin, busy_end), and the wait (wait_begin, end).
class SimulatedGpu {
 public:
  static SimulatedGpu& instance();

  Kernel* kernel(std::string_view name);
  int launch(const Kernel& kernel, Stream* stream);
  int launch(const Graph& graph, Stream* stream);
  /// `wait`: until it is done.
  int copy(std::uint64_t bytes, Stream* stream, bool wait);

  int wait(Stream* stream);
  int wait(const Event& event);
  int wait_for_all();
  int query(const Event& event);
  int query(Stream* stream);
  void record(Event& event, Stream* stream);
  void wait_on_gpu(Stream* stream, const Event& event);

  int allocate(std::uint64_t bytes, std::uint64_t& address);
  int release(std::uint64_t address);
  void memory(std::uint64_t& free, std::uint64_t& total);

  Stream* make_stream();
  void end_stream(Stream* stream);

 private:
  struct Settings {
    Nanoseconds kernel_time = 20'000;
    std::map<std::string, Nanoseconds> by_name{};
    std::uint64_t bytes_per_us = 10'000;
    std::uint64_t memory = 8ull << 30;
    std::uint64_t fail_after = 0;
    Nanoseconds stall = 0;
    Nanoseconds gap = 0;
  };
  /// What a thread handed over since it waited.
  struct Tally {
    Nanoseconds begin = 0;
    Nanoseconds busy_begin = 0;
    Nanoseconds busy_end = 0;
    std::uint64_t launches = 0;
    std::uint64_t graphs = 0;
    std::uint64_t copies = 0;
    std::uint64_t copied_bytes = 0;
  };

  SimulatedGpu();
  void apply(std::string_view settings);
  void read_control();
  Nanoseconds duration_of(std::string_view name) const;
  Stream& stream_of(Stream* stream);
  void hand_over(Stream* stream, Nanoseconds duration);
  int wait_until(Nanoseconds done_at);
  static Tally& tally();

  std::mutex mutex_{};
  Settings settings_{};
  std::string control_{};
  int log_ = -1;
  Stream default_stream_{};
  std::set<Stream*> streams_{};
  std::map<std::string, Kernel, std::less<>> kernels_{};
  std::unordered_map<std::uint64_t, std::uint64_t> allocations_{};
  std::uint64_t allocated_ = 0;
  std::uint64_t launched_ = 0;
  int failure_ = success;
};

}  // namespace gpu_sim
