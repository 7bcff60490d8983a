// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "act/host.h"
#include "act/knob.h"
#include "core/fd.h"
#include "model/finding.h"

namespace inferscope::act {

/// A process held by a pidfd: whatever its number comes to mean, this is the one that was decided about. As a knob its
/// value is "STOP" or "CONT", and writing the name of a signal ("STOP", "TERM") sends it.
class HeldProcess final : public Knob {
 public:
  /// Opens the pidfd first and compares then, so that what is compared cannot be followed by a reuse of the number:
  /// start time, and cgroup where the target says one. Error: "process 4711 is another one by now", in these words.
  static Result<std::unique_ptr<HeldProcess>> hold(const ProcessTarget& target, const HostRoots& roots,
                                                   const proc::CgroupMounts& mounts);
  /// The same by pid and start time only, for an undo: a process that moved is still the one that was stopped. Null:
  /// it has ended.
  static Result<std::unique_ptr<HeldProcess>> hold_started(Pid pid, std::uint64_t start_time_ns,
                                                           const HostRoots& roots);

  [[nodiscard]] Result<std::string> read() const override;
  [[nodiscard]] Status write(const std::string& value) const override;
  [[nodiscard]] std::string where() const override;
  /// Whether a signal could be sent, without sending one.
  [[nodiscard]] Status may_signal() const;

 private:
  HeldProcess(Pid pid, Fd fd, std::filesystem::path folder)
      : pid_(pid), fd_(std::move(fd)), folder_(std::move(folder)) {}
  [[nodiscard]] Status send(int signal) const;

  Pid pid_;
  Fd fd_;
  std::filesystem::path folder_;  ///< /proc/PID
};

}  // namespace inferscope::act
