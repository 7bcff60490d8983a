// SPDX-License-Identifier: Apache-2.0
#include "source/live/probe_governor.h"

#include <bpf/bpf.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "bpf/abi/wire_gpu.h"
#include "core/parse_number.h"
#include "source/live/library_probes.h"
#include "source/live/map_keys.h"
#include "source/live/probe_costs.h"

namespace inferscope::source {
namespace {

using Level = ProbeLevel::Level;

constexpr Duration look_interval = std::chrono::milliseconds(250);
constexpr std::array gpu_parts{ProbePart::gpu_waits, ProbePart::gpu_work};

bool is_in(ProbePart part, Level level) {
  return part == ProbePart::gpu_waits ? level < Level::off : level < Level::waits;
}

/// What a process has used of processors; 0 if it is gone.
Duration processor_time(Pid pid) {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::uint64_t risen(std::uint64_t from, std::uint64_t to) {
  return to >= from ? to - from : to;  // another thread of the same number
}

}  // namespace

void ProbeGovernor::use(double budget) {
  budget_ = ProbeBudget(budget);
  measure_host_costs(objects_, costs_);
  forget_threads(getpid());
}

void ProbeGovernor::know_library_costs() {
  if (!std::exchange(knows_library_costs_, true)) measure_library_costs(objects_, costs_);
}

void ProbeGovernor::attach(const GpuLibrary& library, ProbePart part, Status& status) {
  if (status) status = objects_.attach("gpu", probes_of(library, part));
}

Status ProbeGovernor::attach(const GpuLibrary& library) {
  know_library_costs();
  Status status = success();
  for (const ProbePart part : gpu_parts)
    if (is_in(part, budget_.level(library.pid))) attach(library, part, status);
  if (status) processes_[library.pid].libraries.push_back(library);
  return status;
}

void ProbeGovernor::forget(Pid pid) {
  processes_.erase(pid);
  budget_.forget(pid);
}

/// Adds what each process has hit in libraries of GPUs since it was looked at.
void ProbeGovernor::read_gpu_hits(std::map<Pid, ProbeHits>& sums) {
  const int threads = objects_.map_fd("gpu_threads");
  bpf_map_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(threads, &info, &size) != 0 || info.value_size < sizeof(wire_gpu_hits)) return;
  std::vector<std::byte> value(info.value_size);
  std::set<std::uint64_t> seen;
  each_key<std::uint64_t>(threads, info.max_entries, [&](std::uint64_t thread) {
    const auto process = processes_.find(static_cast<Pid>(thread >> 32));
    if (process == processes_.end() || !seen.insert(thread).second) return;
    if (bpf_map_lookup_elem(threads, &thread, value.data()) != 0) return;
    wire_gpu_hits hits{};
    std::memcpy(&hits, value.data(), sizeof(hits));
    ProbeHits& last = process->second.gpu_hits[static_cast<Pid>(thread & UINT32_MAX)];
    ProbeHits& sum = sums[process->first];
    sum.emulated += risen(last.emulated, hits.count[WIRE_HIT_EMULATED]);
    sum.stepped += risen(last.stepped, hits.count[WIRE_HIT_STEPPED]);
    sum.returns += risen(last.returns, hits.count[WIRE_HIT_RETURN]);
    last = {hits.count[WIRE_HIT_EMULATED], hits.count[WIRE_HIT_STEPPED], hits.count[WIRE_HIT_RETURN]};
  });
  for (auto& [pid, process] : processes_)
    std::erase_if(process.gpu_hits, [&, pid = static_cast<std::uint64_t>(pid)](const auto& one) {
      return !seen.contains(pid << 32 | static_cast<std::uint64_t>(one.first));
    });
}

/// Whoever changes something else of a target may put back a few of its hits.
void ProbeGovernor::read_hits(Pid pid, Process& process, ProbeBudget::Look& look) {
  const auto key = static_cast<__u32>(pid);
  wire_target target{};
  if (bpf_map_lookup_elem(objects_.map_fd("targets"), &key, &target) != 0) return;
  std::array<std::uint64_t, WIRE_HITS> more{};
  for (std::size_t hit = 0; hit < more.size(); ++hit) {
    const std::uint64_t before = std::exchange(process.hits[hit], target.hits[hit]);
    more[hit] = target.hits[hit] - std::min<std::uint64_t>(before, target.hits[hit]);
  }
  look.tls = {more[WIRE_HIT_EMULATED], more[WIRE_HIT_STEPPED], more[WIRE_HIT_RETURN]};
  look.calls = more[WIRE_HIT_CALL];
  look.transfers = more[WIRE_HIT_TRANSFER];
  look.turns = more[WIRE_HIT_TURN];
  if (target.tls != 0) know_library_costs();
}

void ProbeGovernor::look(Time now, const Emit<Event>& emit) {
  if (processes_.empty() || now < next_look_) return;
  next_look_ = now + look_interval;
  std::map<Pid, ProbeHits> gpu_hits;
  read_gpu_hits(gpu_hits);
  for (auto& [pid, process] : processes_) {
    const Duration own = processor_time(pid);
    const Time before = std::exchange(process.looked, now);
    ProbeBudget::Look look{.interval = now - before,
                           .own = std::max(own - std::exchange(process.own, own), Duration::zero()),
                           .gpu = gpu_hits[pid]};
    read_hits(pid, process, look);
    if (before == Time{} || now <= before) continue;
    const Level level = budget_.level(pid);
    const auto changed = budget_.look(pid, look, costs_);
    if (!changed) continue;
    change(process, level, *changed);
    emit({now, *changed});
  }
}

/// What the kernel side remembers of a thread is as old as the last that was told of it.
void ProbeGovernor::forget_threads(Pid pid) {
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", error)) {
    const auto tid = parse_number<__u32>(task.path().filename().string());
    if (tid) bpf_map_delete_elem(objects_.map_fd("threads"), &*tid);
  }
}

/// A process that is gone takes no probes, which is told with its end.
void ProbeGovernor::change(const Process& process, Level before, const ProbeLevel& now) {
  const Pid pid = now.pid;
  const Level level = now.level;
  const auto key = static_cast<__u32>(pid);
  const int targets = objects_.map_fd("targets");
  wire_target target{};
  if (bpf_map_lookup_elem(targets, &key, &target) == 0) {
    target.gpu = level == Level::full ? target.gpu & ~WIRE_GPU_NO_CALLS : target.gpu | WIRE_GPU_NO_CALLS;
    if (now.threads && target.no_threads != 0) forget_threads(pid);
    target.no_threads = now.threads ? 0 : 1;
    bpf_map_update_elem(targets, &key, &target, BPF_EXIST);
  }
  Status status = success();
  for (const ProbePart part : gpu_parts) {
    if (is_in(part, before) && !is_in(part, level)) objects_.detach(pid, part);
    if (is_in(part, before) || !is_in(part, level)) continue;
    for (const GpuLibrary& library : process.libraries) attach(library, part, status);
  }
}

}  // namespace inferscope::source
