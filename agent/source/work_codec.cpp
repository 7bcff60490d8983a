// SPDX-License-Identifier: Apache-2.0
#include "source/work_codec.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <utility>

namespace inferscope::source {
namespace {

Time time_of(std::int64_t ns) {
  return Time{Duration{ns}};
}

template <class Enum>
bool is_known(std::uint32_t value, Enum last) {
  return value <= static_cast<std::uint32_t>(last);
}

bool is_api(std::uint32_t value) {
  return is_known(value, GpuApi::opencl);
}

bool none_negative(std::initializer_list<std::int64_t> values) {
  return std::all_of(values.begin(), values.end(), [](std::int64_t value) { return value >= 0; });
}

template <class Repeated>
std::array<std::uint32_t, 3> extent_of(const Repeated& in) {
  std::array<std::uint32_t, 3> extent{};
  std::copy_n(in.begin(), std::min<int>(in.size(), 3), extent.begin());
  return extent;
}

std::optional<ThreadRun> decode(const recording::ThreadRun& in) {
  if (!is_known(in.ending(), ThreadRun::Ending::exited) || !is_known(in.wait(), ThreadRun::Wait::other) ||
      !none_negative({in.ran_ns(), in.delayed_ns(), in.slept_in_between_ns()}))
    return std::nullopt;
  ThreadRun run{.pid = in.pid(),
                .tid = in.tid(),
                .ending = static_cast<ThreadRun::Ending>(in.ending()),
                .wait = static_cast<ThreadRun::Wait>(in.wait()),
                .slept = time_of(in.slept_ns()),
                .woken = time_of(in.woken_ns()),
                .begin = time_of(in.begin_ns()),
                .end = time_of(in.end_ns()),
                .waker_pid = in.waker_pid(),
                .waker_tid = in.waker_tid(),
                .ran = Duration{in.ran_ns()},
                .delayed = Duration{in.delayed_ns()},
                .sleeps = in.sleeps(),
                .slept_in_between = Duration{in.slept_in_between_ns()},
                .preemptions = in.preemptions(),
                .migrations = in.migrations(),
                .minor_faults = in.minor_faults(),
                .major_faults = in.major_faults()};
  if (in.has_longest_delay()) {
    const auto& delay = in.longest_delay();
    run.longest_delay = {time_of(delay.begin_ns()), time_of(delay.end_ns()), delay.culprit(), delay.culprit_name()};
  }
  return run;
}

std::optional<MemoryReclaim> decode(const recording::MemoryReclaim& in) {
  return MemoryReclaim{.pid = in.pid(),
                       .tid = in.tid(),
                       .of_cgroup = in.of_cgroup(),
                       .begin = time_of(in.begin_ns()),
                       .end = time_of(in.end_ns()),
                       .pages = in.pages()};
}

std::optional<DiskUse> decode(const recording::DiskUse& in) {
  if (!none_negative({in.time_ns(), in.longest_ns()})) return std::nullopt;
  return DiskUse{.pid = in.pid(),
                 .reads = in.reads(),
                 .writes = in.writes(),
                 .read_bytes = in.read_bytes(),
                 .written_bytes = in.written_bytes(),
                 .time = Duration{in.time_ns()},
                 .longest = Duration{in.longest_ns()}};
}

std::optional<Retransmit> decode(const recording::Retransmit& in) {
  return Retransmit{.connection = in.connection(), .pid = in.pid()};
}

std::optional<SendStall> decode(const recording::SendStall& in) {
  return SendStall{
      .connection = in.connection(), .pid = in.pid(), .begin = time_of(in.begin_ns()), .end = time_of(in.end_ns())};
}

std::optional<GpuWork> decode(const recording::GpuWork& in) {
  if (!is_api(in.api()) || !is_known(in.ending(), GpuWork::Ending::graph) || in.longest_gap_ns() < 0)
    return std::nullopt;
  return GpuWork{.api = static_cast<GpuApi>(in.api()),
                 .pid = in.pid(),
                 .tid = in.tid(),
                 .ending = static_cast<GpuWork::Ending>(in.ending()),
                 .begin = time_of(in.begin_ns()),
                 .wait_begin = time_of(in.wait_begin_ns()),
                 .end = time_of(in.end_ns()),
                 .launches = in.launches(),
                 .graphs = in.graphs(),
                 .copies = in.copies(),
                 .collectives = in.collectives(),
                 .copied_bytes = in.copied_bytes(),
                 .longest_gap = Duration{in.longest_gap_ns()},
                 .result = in.result()};
}

std::optional<GpuCall> decode(const recording::GpuCall& in) {
  if (!is_api(in.api())) return std::nullopt;
  return GpuCall{.api = static_cast<GpuApi>(in.api()),
                 .pid = in.pid(),
                 .tid = in.tid(),
                 .function = in.function(),
                 .kernel = in.kernel(),
                 .grid = extent_of(in.grid()),
                 .block = extent_of(in.block()),
                 .stream = in.stream(),
                 .one_of = in.one_of()};
}

std::optional<GpuFailure> decode(const recording::GpuFailure& in) {
  if (!is_api(in.api()) || !is_known(in.kind(), GpuFailure::Kind::other)) return std::nullopt;
  return GpuFailure{.api = static_cast<GpuApi>(in.api()),
                    .pid = in.pid(),
                    .tid = in.tid(),
                    .function = in.function(),
                    .kind = static_cast<GpuFailure::Kind>(in.kind()),
                    .result = in.result()};
}

std::optional<GpuMemory> decode(const recording::GpuMemory& in) {
  if (!is_api(in.api())) return std::nullopt;
  return GpuMemory{.api = static_cast<GpuApi>(in.api()),
                   .pid = in.pid(),
                   .bytes = in.bytes(),
                   .peak_bytes = in.peak_bytes(),
                   .allocations = in.allocations(),
                   .frees = in.frees()};
}

std::optional<GpuDriverUse> decode(const recording::GpuDriverUse& in) {
  if (!is_known(in.driver(), GpuDriverUse::Driver::drm) ||
      !none_negative({in.time_ns(), in.longest_ns(), in.queued_ns(), in.running_ns()}))
    return std::nullopt;
  return GpuDriverUse{.driver = static_cast<GpuDriverUse::Driver>(in.driver()),
                      .pid = in.pid(),
                      .calls = in.calls(),
                      .failed = in.failed(),
                      .time = Duration{in.time_ns()},
                      .longest = Duration{in.longest_ns()},
                      .jobs = in.jobs(),
                      .queued = Duration{in.queued_ns()},
                      .running = Duration{in.running_ns()}};
}

std::optional<ProbeLevel> decode(const recording::ProbeLevel& in) {
  if (!is_known(in.level(), ProbeLevel::Level::off)) return std::nullopt;
  return ProbeLevel{.pid = in.pid(),
                    .level = static_cast<ProbeLevel::Level>(in.level()),
                    .threads = !in.no_threads(),
                    .cost = in.cost()};
}

}  // namespace

void encode(const ThreadRun& run, recording::Event& event) {
  auto& out = *event.mutable_thread_run();
  out.set_pid(run.pid);
  out.set_tid(run.tid);
  out.set_ending(static_cast<std::uint32_t>(run.ending));
  out.set_wait(static_cast<std::uint32_t>(run.wait));
  out.set_slept_ns(to_ns(run.slept));
  out.set_woken_ns(to_ns(run.woken));
  out.set_begin_ns(to_ns(run.begin));
  out.set_end_ns(to_ns(run.end));
  out.set_waker_pid(run.waker_pid);
  out.set_waker_tid(run.waker_tid);
  out.set_ran_ns(run.ran.count());
  out.set_delayed_ns(run.delayed.count());
  out.set_sleeps(run.sleeps);
  out.set_slept_in_between_ns(run.slept_in_between.count());
  out.set_preemptions(run.preemptions);
  out.set_migrations(run.migrations);
  out.set_minor_faults(run.minor_faults);
  out.set_major_faults(run.major_faults);
  if (!run.longest_delay) return;
  auto& delay = *out.mutable_longest_delay();
  delay.set_begin_ns(to_ns(run.longest_delay->begin));
  delay.set_end_ns(to_ns(run.longest_delay->end));
  delay.set_culprit(run.longest_delay->culprit);
  delay.set_culprit_name(run.longest_delay->culprit_name.data(), run.longest_delay->culprit_name.size());
}

void encode(const MemoryReclaim& reclaim, recording::Event& event) {
  auto& out = *event.mutable_memory_reclaim();
  out.set_pid(reclaim.pid);
  out.set_tid(reclaim.tid);
  out.set_of_cgroup(reclaim.of_cgroup);
  out.set_begin_ns(to_ns(reclaim.begin));
  out.set_end_ns(to_ns(reclaim.end));
  out.set_pages(reclaim.pages);
}

void encode(const DiskUse& use, recording::Event& event) {
  auto& out = *event.mutable_disk_use();
  out.set_pid(use.pid);
  out.set_reads(use.reads);
  out.set_writes(use.writes);
  out.set_read_bytes(use.read_bytes);
  out.set_written_bytes(use.written_bytes);
  out.set_time_ns(use.time.count());
  out.set_longest_ns(use.longest.count());
}

void encode(const Retransmit& retransmit, recording::Event& event) {
  event.mutable_retransmit()->set_connection(retransmit.connection);
  event.mutable_retransmit()->set_pid(retransmit.pid);
}

void encode(const SendStall& stall, recording::Event& event) {
  auto& out = *event.mutable_send_stall();
  out.set_connection(stall.connection);
  out.set_pid(stall.pid);
  out.set_begin_ns(to_ns(stall.begin));
  out.set_end_ns(to_ns(stall.end));
}

void encode(const GpuWork& work, recording::Event& event) {
  auto& out = *event.mutable_gpu_work();
  out.set_api(static_cast<std::uint32_t>(work.api));
  out.set_pid(work.pid);
  out.set_tid(work.tid);
  out.set_ending(static_cast<std::uint32_t>(work.ending));
  out.set_begin_ns(to_ns(work.begin));
  out.set_wait_begin_ns(to_ns(work.wait_begin));
  out.set_end_ns(to_ns(work.end));
  out.set_launches(work.launches);
  out.set_graphs(work.graphs);
  out.set_copies(work.copies);
  out.set_collectives(work.collectives);
  out.set_copied_bytes(work.copied_bytes);
  out.set_longest_gap_ns(work.longest_gap.count());
  out.set_result(work.result);
}

void encode(const GpuCall& call, recording::Event& event) {
  auto& out = *event.mutable_gpu_call();
  out.set_api(static_cast<std::uint32_t>(call.api));
  out.set_pid(call.pid);
  out.set_tid(call.tid);
  out.set_function(call.function.data(), call.function.size());
  out.set_kernel(call.kernel.data(), call.kernel.size());
  out.mutable_grid()->Assign(call.grid.begin(), call.grid.end());
  out.mutable_block()->Assign(call.block.begin(), call.block.end());
  out.set_stream(call.stream);
  out.set_one_of(call.one_of);
}

void encode(const GpuFailure& failure, recording::Event& event) {
  auto& out = *event.mutable_gpu_failure();
  out.set_api(static_cast<std::uint32_t>(failure.api));
  out.set_pid(failure.pid);
  out.set_tid(failure.tid);
  out.set_function(failure.function.data(), failure.function.size());
  out.set_kind(static_cast<std::uint32_t>(failure.kind));
  out.set_result(failure.result);
}

void encode(const GpuMemory& memory, recording::Event& event) {
  auto& out = *event.mutable_gpu_memory();
  out.set_api(static_cast<std::uint32_t>(memory.api));
  out.set_pid(memory.pid);
  out.set_bytes(memory.bytes);
  out.set_peak_bytes(memory.peak_bytes);
  out.set_allocations(memory.allocations);
  out.set_frees(memory.frees);
}

void encode(const GpuDriverUse& use, recording::Event& event) {
  auto& out = *event.mutable_gpu_driver_use();
  out.set_driver(static_cast<std::uint32_t>(use.driver));
  out.set_pid(use.pid);
  out.set_calls(use.calls);
  out.set_failed(use.failed);
  out.set_time_ns(use.time.count());
  out.set_longest_ns(use.longest.count());
  out.set_jobs(use.jobs);
  out.set_queued_ns(use.queued.count());
  out.set_running_ns(use.running.count());
}

void encode(const ProbeLevel& level, recording::Event& event) {
  auto& out = *event.mutable_probe_level();
  out.set_pid(level.pid);
  out.set_level(static_cast<std::uint32_t>(level.level));
  out.set_cost(level.cost);
  out.set_no_threads(!level.threads);
}

std::optional<Event> decode_work(Time time, const recording::Event& in) {
  const auto event = [time](auto body) -> std::optional<Event> {
    if (!body) return std::nullopt;
    return Event{time, *std::move(body)};
  };
  switch (in.body_case()) {
    case recording::Event::kThreadRun:
      return event(decode(in.thread_run()));
    case recording::Event::kMemoryReclaim:
      return event(decode(in.memory_reclaim()));
    case recording::Event::kDiskUse:
      return event(decode(in.disk_use()));
    case recording::Event::kRetransmit:
      return event(decode(in.retransmit()));
    case recording::Event::kSendStall:
      return event(decode(in.send_stall()));
    case recording::Event::kGpuWork:
      return event(decode(in.gpu_work()));
    case recording::Event::kGpuCall:
      return event(decode(in.gpu_call()));
    case recording::Event::kGpuFailure:
      return event(decode(in.gpu_failure()));
    case recording::Event::kGpuMemory:
      return event(decode(in.gpu_memory()));
    case recording::Event::kGpuDriverUse:
      return event(decode(in.gpu_driver_use()));
    case recording::Event::kProbeLevel:
      return event(decode(in.probe_level()));
    default:
      return std::nullopt;
  }
}

}  // namespace inferscope::source
