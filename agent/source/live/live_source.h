// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "model/capture_control.h"
#include "model/event.h"
#include "model/gpu_library.h"
#include "model/process_notice.h"
#include "model/tls_library.h"
#include "source/event_source.h"
#include "source/live/live_counters.h"
#include "source/probe_budget.h"

namespace inferscope::source {

/// One BPF object: what it lets us see, and whether this kernel took it.
struct Capability {
  std::string name{};
  std::string gives{};     ///< in words, for doctor
  bool essential = false;  ///< without it there are no traces
  bool active = false;
  bool needed = true;     ///< false: the host has nothing that it could see
  std::string problem{};  ///< why not active; empty if active
};

struct LiveOptions {
  std::uint32_t event_ring_bytes = 8u << 20;  ///< rounded up to a power of two
  std::uint32_t control_ring_bytes = 1u << 20;
  std::uint32_t connections = 16384;
  std::uint32_t transfer_head_bytes = 16384;  ///< at most WIRE_HEAD_MAX
  std::uint32_t transfer_tail_bytes = 4096;   ///< at most WIRE_TAIL_MAX
  std::uint64_t message_budget_bytes = 1u << 20;
  std::uint32_t sample_reads = 4096;           ///< reads of an unknown listener that are looked at per 10 seconds
  std::uint32_t thread_runs = 5000;            ///< told of per process and second; above, they are summed up
  std::vector<std::string> inference_paths{};  ///< beginnings of request paths that make a process watched
  Duration host_sample_interval = std::chrono::milliseconds(200);  ///< of facts about watched processes; 0: none
  std::string devices_file = "/proc/devices";                      ///< which devices there are
  std::uint32_t gpu_one_of = 1024;   ///< of so many launches on a GPU, one is told by itself; 0: none is
  double overhead_budget = 0.01;     ///< what probes in a process may cost, of a processor (ProbeBudget)
  bool run_time_statistics = false;  ///< have the kernel time the BPF programs
};

struct ProgramCost {
  std::string name{};
  std::uint64_t runs = 0;
  std::uint64_t total_ns = 0;
};

/// The running kernel, and facts about watched processes (HostSampler). Needs root
/// (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE) and kernel BTF. Leaves nothing behind: no pin, no mount, no file; the kernel
/// removes everything with the last descriptor.
class LiveSource : public EventSource, public CaptureControl {
 public:
  static Result<std::unique_ptr<LiveSource>> open(const LiveOptions& options);
  ~LiveSource() override;

  /// Called from within poll() for each process that needs a decision.
  void on_notice(OnNotice callback);

  /// The process is watched from now on; the event becomes part of the stream.
  Status watch(const ProcessStarted& process);
  /// Looked at only for inference requests.
  Status sample(Pid pid);
  /// Never watched, also not for what it serves.
  Status ignore(Pid pid);
  /// The plaintext of a watched process's TLS library is seen from now on.
  Status watch(const TlsLibrary& library);
  /// What it hands to GPUs through this library is seen from now on.
  Status watch(const GpuLibrary& library);

  Status poll(Duration timeout, const Emit<Event>& emit) override;
  [[nodiscard]] bool finished() const override { return false; }
  [[nodiscard]] Time settled() const override;
  [[nodiscard]] Time now() const override;

  void stop_payload(ConnectionId connection) override;
  void capture_from(ConnectionId connection, Direction direction, std::uint64_t position) override;
  /// Add to a kernel time for the wall clock; as the last ClockSet told it.
  [[nodiscard]] std::int64_t unix_minus_kernel_ns() const;

  /// Capture limits, from the next transfer on.
  Status set_limits(std::uint32_t head_bytes, std::uint32_t tail_bytes, std::uint64_t message_budget_bytes);

  [[nodiscard]] std::vector<Capability> capabilities() const;
  [[nodiscard]] LiveCounters counters() const;
  [[nodiscard]] std::vector<ProgramCost> program_costs() const;
  /// Of each process that has probes in libraries of GPUs.
  [[nodiscard]] std::vector<ProbeUse> probe_uses() const;

 private:
  struct Impl;
  explicit LiveSource(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace inferscope::source
