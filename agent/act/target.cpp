// SPDX-License-Identifier: Apache-2.0
#include "act/target.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "model/action.h"
#include "model/proc_target.h"

namespace inferscope::act {
namespace {

Error ended(Pid pid) {
  return Error{fmt::format("process {} has ended", pid)};
}
Error another(Pid pid) {
  return Error{fmt::format("process {} is another one by now", pid)};
}

}  // namespace

Result<std::unique_ptr<HeldProcess>> HeldProcess::hold(const ProcessTarget& target, const HostRoots& roots,
                                                       const proc::CgroupMounts& mounts) {
  auto held = hold_started(target.pid, target.start_time_ns, roots);
  if (!held) return held;
  if (!*held) return proc::read_stat(roots.process(target.pid)) ? another(target.pid) : ended(target.pid);
  const auto now = process_target(target.pid, mounts, roots.proc);
  if (!now) return ended(target.pid);
  if (now->start_time_ns != target.start_time_ns) return another(target.pid);
  if ((!target.cgroup.empty() && now->cgroup != target.cgroup) ||
      (target.cgroup_id != 0 && now->cgroup_id != target.cgroup_id))
    return Error{fmt::format("process {} is in another cgroup by now: {} instead of {}", target.pid, now->cgroup,
                             target.cgroup.empty() ? "the one decided about" : target.cgroup)};
  return held;
}

Result<std::unique_ptr<HeldProcess>> HeldProcess::hold_started(Pid pid, std::uint64_t start_time_ns,
                                                               const HostRoots& roots) {
  using Held = std::unique_ptr<HeldProcess>;
  if (pid <= 0 || start_time_ns == 0) return Error{fmt::format("the start time of process {} is not known", pid)};
  Fd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));  // glibc 2.36 declares no C function
  if (!fd && errno == ESRCH) return Held();
  if (!fd) return Error{fmt::format("cannot open a pidfd of process {}: {}", pid, strerror(errno))};
  const auto stat = proc::read_stat(roots.process(pid));
  if (!stat || has_ended(*stat) || stat->start_time_ns != start_time_ns) return Held();
  return Held(new HeldProcess(pid, std::move(fd), roots.process(pid)));
}

Result<std::string> HeldProcess::read() const {
  const auto stat = proc::read_stat(folder_);
  if (auto there = send(0); !stat || !there) return ended(pid_);  // else the number may be another's since
  return std::string(stat->state == 'T' ? "STOP" : "CONT");
}

Status HeldProcess::write(const std::string& value) const {
  const auto signal = signal_of(value);
  if (!signal) return Error{fmt::format("'{}' is no signal that may be sent", value)};
  return send(*signal);
}

std::string HeldProcess::where() const {
  return fmt::format("pidfd {}", pid_);
}

Status HeldProcess::may_signal() const {
  return send(0);
}

Status HeldProcess::send(int signal) const {
  if (syscall(SYS_pidfd_send_signal, fd_.get(), signal, nullptr, 0) == 0) return success();
  if (errno == ESRCH) return ended(pid_);
  return Error{fmt::format("cannot signal process {}: {}", pid_, strerror(errno)),
               {},
               errno == EPERM ? Error::Kind::not_permitted : Error::Kind::failed};
}

}  // namespace inferscope::act
