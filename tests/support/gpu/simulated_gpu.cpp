// SPDX-License-Identifier: Apache-2.0
#include "simulated_gpu.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

namespace gpu_sim {
namespace {

constexpr Nanoseconds microsecond = 1000;
constexpr Nanoseconds millisecond = 1'000'000;

Nanoseconds now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

void sleep_until(Nanoseconds when) {
  const timespec time{when / 1'000'000'000, when % 1'000'000'000};
  while (now() < when) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}

}  // namespace

SimulatedGpu& SimulatedGpu::instance() {
  static auto* gpu = new SimulatedGpu();  // other threads may call to the end
  return *gpu;
}

SimulatedGpu::SimulatedGpu() {
  if (const char* settings = std::getenv("GPU_SIM")) apply(settings);
  if (const char* control = std::getenv("GPU_SIM_CONTROL")) control_ = control;
  if (const char* log = std::getenv("GPU_SIM_LOG")) log_ = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  read_control();
}

void SimulatedGpu::apply(std::string_view settings) {
  while (!settings.empty()) {
    const std::size_t end = std::min(settings.find_first_of(",\n"), settings.size());
    const std::string line(settings.substr(0, end));
    settings.remove_prefix(std::min(end + 1, settings.size()));
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = line.substr(0, equals);
    const auto value = static_cast<std::int64_t>(std::strtoll(line.c_str() + equals + 1, nullptr, 10));
    constexpr std::string_view named = "kernel_us.";
    if (key.starts_with(named)) settings_.by_name[key.substr(named.size())] = value * microsecond;
    if (key == "kernel_us") settings_.kernel_time = value * microsecond;
    if (key == "bytes_per_us") settings_.bytes_per_us = static_cast<std::uint64_t>(std::max<std::int64_t>(1, value));
    if (key == "memory") settings_.memory = static_cast<std::uint64_t>(value);
    if (key == "fail_after") settings_.fail_after = static_cast<std::uint64_t>(value);
    if (key == "stall_ms") settings_.stall = value * millisecond;
    if (key == "gap_us") settings_.gap = value * microsecond;
  }
  for (auto& [name, kernel] : kernels_) kernel.duration = duration_of(name);
}

void SimulatedGpu::read_control() {
  if (control_.empty()) return;
  std::ifstream file(control_);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::lock_guard lock(mutex_);
  apply(text);
}

Nanoseconds SimulatedGpu::duration_of(std::string_view name) const {
  for (const auto& [part, duration] : settings_.by_name)
    if (name.find(part) != std::string_view::npos) return duration;
  return settings_.kernel_time;
}

/// None, and the numbers 1 and 2, which mean the thread's or everybody's own, are one stream here.
Stream& SimulatedGpu::stream_of(Stream* stream) {
  return reinterpret_cast<std::uintptr_t>(stream) <= 2 ? default_stream_ : *stream;
}

SimulatedGpu::Tally& SimulatedGpu::tally() {
  static thread_local Tally tally;
  return tally;
}

Kernel* SimulatedGpu::kernel(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto [found, fresh] = kernels_.try_emplace(std::string(name));
  if (fresh) found->second = {found->first, duration_of(name)};
  return &found->second;
}

/// With the lock.
void SimulatedGpu::hand_over(Stream* stream, Nanoseconds duration) {
  Stream& queue = stream_of(stream);
  Tally& mine = tally();
  const Nanoseconds at = now();
  const Nanoseconds start = std::max(at, queue.free_at);
  queue.free_at = start + duration;
  if (mine.begin == 0) {
    mine.begin = at;
    mine.busy_begin = start;
  }
  mine.busy_begin = std::min(mine.busy_begin, start);
  mine.busy_end = std::max(mine.busy_end, queue.free_at);
}

int SimulatedGpu::launch(const Kernel& kernel, Stream* stream) {
  if (settings_.gap > 0) sleep_until(now() + settings_.gap);
  const std::lock_guard lock(mutex_);
  if (failure_ != success) return failure_;
  hand_over(stream, kernel.duration);
  ++tally().launches;
  if (++launched_ == settings_.fail_after) failure_ = illegal_address;
  return success;
}

int SimulatedGpu::launch(const Graph& graph, Stream* stream) {
  const std::lock_guard lock(mutex_);
  if (failure_ != success) return failure_;
  hand_over(stream, graph.kernels * settings_.kernel_time);
  ++tally().graphs;
  return success;
}

int SimulatedGpu::copy(std::uint64_t bytes, Stream* stream, bool wait) {
  Nanoseconds done_at = 0;
  {
    const std::lock_guard lock(mutex_);
    if (failure_ != success) return failure_;
    hand_over(stream, static_cast<Nanoseconds>(bytes) * microsecond / static_cast<Nanoseconds>(settings_.bytes_per_us));
    ++tally().copies;
    tally().copied_bytes += bytes;
    done_at = stream_of(stream).free_at;
  }
  return wait ? wait_until(done_at) : success;
}

int SimulatedGpu::wait_until(Nanoseconds done_at) {
  const Nanoseconds begin = now();
  read_control();
  if (settings_.stall > 0) done_at = std::max(begin, done_at) + settings_.stall;
  sleep_until(done_at);
  const Tally mine = std::exchange(tally(), {});
  int outcome = success;
  {
    const std::lock_guard lock(mutex_);
    outcome = failure_;
  }
  if (log_ >= 0) {
    char line[512];
    const int size = std::snprintf(
        line, sizeof(line),
        "{\"tid\": %ld, \"launches\": %llu, \"graphs\": %llu, \"copies\": %llu, \"copied_bytes\": %llu, \"begin\": "
        "%lld, "
        "\"busy_begin\": %lld, \"busy_end\": %lld, \"wait_begin\": %lld, \"end\": %lld, \"result\": %d}\n",
        syscall(SYS_gettid), static_cast<unsigned long long>(mine.launches),
        static_cast<unsigned long long>(mine.graphs), static_cast<unsigned long long>(mine.copies),
        static_cast<unsigned long long>(mine.copied_bytes), static_cast<long long>(mine.begin),
        static_cast<long long>(mine.busy_begin), static_cast<long long>(mine.busy_end), static_cast<long long>(begin),
        static_cast<long long>(now()), outcome);
    if (write(log_, line, static_cast<std::size_t>(size)) != size) std::abort();  // a test would judge by less
  }
  return outcome;
}

int SimulatedGpu::wait(Stream* stream) {
  Nanoseconds done_at = 0;
  {
    const std::lock_guard lock(mutex_);
    done_at = stream_of(stream).free_at;
  }
  return wait_until(done_at);
}

int SimulatedGpu::wait(const Event& event) {
  Nanoseconds done_at = 0;
  {
    const std::lock_guard lock(mutex_);
    done_at = event.done_at;
  }
  return wait_until(done_at);
}

int SimulatedGpu::wait_for_all() {
  Nanoseconds done_at = 0;
  {
    const std::lock_guard lock(mutex_);
    done_at = default_stream_.free_at;
    for (const Stream* stream : streams_) done_at = std::max(done_at, stream->free_at);
  }
  return wait_until(done_at);
}

int SimulatedGpu::query(const Event& event) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_ != success) return failure_;
    if (now() < event.done_at) return not_ready;
  }
  return wait_until(0);
}

int SimulatedGpu::query(Stream* stream) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_ != success) return failure_;
    if (now() < stream_of(stream).free_at) return not_ready;
  }
  return wait_until(0);
}

void SimulatedGpu::record(Event& event, Stream* stream) {
  const std::lock_guard lock(mutex_);
  event.done_at = stream_of(stream).free_at;
}

void SimulatedGpu::wait_on_gpu(Stream* stream, const Event& event) {
  const std::lock_guard lock(mutex_);
  Stream& queue = stream_of(stream);
  queue.free_at = std::max(queue.free_at, event.done_at);
}

int SimulatedGpu::allocate(std::uint64_t bytes, std::uint64_t& address) {
  const std::lock_guard lock(mutex_);
  if (failure_ != success) return failure_;
  if (bytes > settings_.memory || allocated_ > settings_.memory - bytes) return out_of_memory;
  constexpr std::size_t alignment = 256;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, bytes + alignment) != 0) return out_of_memory;
  address = reinterpret_cast<std::uintptr_t>(memory);
  allocations_[address] = bytes;
  allocated_ += bytes;
  return success;
}

int SimulatedGpu::release(std::uint64_t address) {
  if (address == 0) return success;
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(address);
  if (found == allocations_.end()) return invalid_value;
  allocated_ -= found->second;
  allocations_.erase(found);
  std::free(reinterpret_cast<void*>(address));
  return success;
}

void SimulatedGpu::memory(std::uint64_t& free, std::uint64_t& total) {
  const std::lock_guard lock(mutex_);
  total = settings_.memory;
  free = total - allocated_;
}

Stream* SimulatedGpu::make_stream() {
  auto* stream = new Stream();
  const std::lock_guard lock(mutex_);
  streams_.insert(stream);
  return stream;
}

void SimulatedGpu::end_stream(Stream* stream) {
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
  delete stream;
}

}  // namespace gpu_sim
