// SPDX-License-Identifier: Apache-2.0
#include "source/live/gpu_driver_uses.h"

#include <bpf/bpf.h>

#include <cstddef>
#include <cstdint>

#include "bpf/abi/wire_gpu.h"
#include "core/proc_stat.h"
#include "source/gpu_devices.h"
#include "source/live/map_keys.h"

namespace inferscope::source {
namespace {

constexpr std::size_t most = 4096;  // processes that the kernel side has room for

Duration duration(__u64 ns) {
  return Duration(static_cast<std::int64_t>(ns));
}

}  // namespace

void GpuDriverUses::use(std::string devices, int majors, int uses, int told, int jobs) {
  devices_ = std::move(devices);
  majors_ = majors;
  uses_ = uses;
  told_ = told;
  jobs_ = jobs;
}

void GpuDriverUses::look_for_devices() {
  auto found = parse_gpu_devices(proc::read_text(devices_));
  found.resize(WIRE_GPU_DEVICES);
  for (std::uint32_t i = 0; i < WIRE_GPU_DEVICES; ++i) {
    const wire_gpu_device device{found[i].major, static_cast<__u32>(found[i].driver)};
    bpf_map_update_elem(majors_, &i, &device, BPF_ANY);
  }
}

/// Also of what was not told of yet: it may have ended before the next sample.
void GpuDriverUses::forget(Pid pid) {
  for (__u32 driver = 0; driver <= WIRE_DRIVER_DRM; ++driver) {
    const wire_gpu_user user{static_cast<__u32>(pid), driver};
    bpf_map_delete_elem(uses_, &user);
    bpf_map_delete_elem(told_, &user);
    totals_.erase({pid, static_cast<GpuDriverUse::Driver>(driver)});
  }
  const auto tgid = static_cast<__u32>(pid);
  bpf_map_delete_elem(jobs_, &tgid);
}

void GpuDriverUses::sample(Time now, const Emit<Event>& emit) {
  std::map<std::pair<Pid, GpuDriverUse::Driver>, GpuDriverUse> grown;
  each_key<wire_gpu_user>(uses_, most, [&](const wire_gpu_user& one) {
    wire_gpu_use use{};
    if (one.driver > WIRE_DRIVER_DRM || bpf_map_lookup_elem(uses_, &one, &use) != 0) return;
    const std::pair key(static_cast<Pid>(one.tgid), static_cast<GpuDriverUse::Driver>(one.driver));
    GpuDriverUse& told = totals_[key];
    if (use.calls == told.calls) return;
    GpuDriverUse& event = grown[key];
    event.calls = use.calls - told.calls;
    event.failed = use.failed - told.failed;
    event.time = duration(use.time_ns) - told.time;
    if (use.longest_call > told.calls) event.longest = duration(use.longest_ns);
    told.calls = use.calls;
    told.failed = use.failed;
    told.time = duration(use.time_ns);
    bpf_map_update_elem(told_, &one, &use.calls, BPF_ANY);
  });
  each_key<__u32>(jobs_, most, [&](const __u32& tgid) {
    wire_gpu_jobs jobs{};
    if (bpf_map_lookup_elem(jobs_, &tgid, &jobs) != 0) return;
    const std::pair key(static_cast<Pid>(tgid), GpuDriverUse::Driver::drm);
    GpuDriverUse& told = totals_[key];
    if (jobs.jobs == told.jobs) return;
    GpuDriverUse& event = grown[key];
    event.jobs = jobs.jobs - told.jobs;
    event.queued = duration(jobs.queued_ns) - told.queued;
    event.running = duration(jobs.run_ns) - told.running;
    told.jobs = jobs.jobs;
    told.queued = duration(jobs.queued_ns);
    told.running = duration(jobs.run_ns);
  });
  for (auto& [key, event] : grown) {
    event.pid = key.first;
    event.driver = key.second;
    emit({now, event});
  }
}

}  // namespace inferscope::source
