// SPDX-License-Identifier: Apache-2.0
#include "act/change.h"

#include <fmt/format.h>
#include <signal.h>

#include "act/cgroup.h"
#include "act/target.h"

namespace inferscope::act {
namespace {

Status check_members(const ProcessTarget& target, const std::filesystem::path& group, const HostRoots& roots,
                     const NeverTouch& never_touch) {
  const auto processes = processes_below(group);
  if (!processes) return processes.error();
  if (auto status = never_touch.check(*processes); !status) return status;
  return target.pid == 0 ? success() : check_alone(target.pid, *processes, roots);
}

Result<Change> prepare_signal(const Decision& decision, std::unique_ptr<HeldProcess> held) {
  Change change{.written = std::string(signal_name(decision.action.signal))};
  if (change.written.empty()) return Error{fmt::format("signal {} may not be sent", decision.action.signal)};
  if (auto status = held->may_signal(); !status) return status.error();
  if (decision.action.signal == SIGSTOP) {
    auto earlier = held->read();
    if (!earlier) return earlier.error();
    change.earlier = std::move(*earlier);
    change.lease = true;
  }
  change.knob = std::move(held);
  return change;
}

Result<Change> prepare_cgroup(const Decision& decision, const HostRoots& roots, const proc::CgroupMounts& mounts,
                              const NeverTouch& never_touch) {
  auto knob = knob_for(decision.action.kind, decision.target, roots, mounts);
  if (!knob) return knob.error();
  if (auto status = check_members(decision.target, (*knob)->folder(), roots, never_touch); !status)
    return status.error();
  const auto earlier = (*knob)->read();
  if (!earlier) return earlier.error();
  const auto written = value_for(decision.action, **knob, *earlier);
  if (!written) return written.error();
  Change change{.folder_inode = (*knob)->inode(), .earlier = *earlier, .written = *written, .lease = true};
  change.knob = std::move(*knob);
  return change;
}

}  // namespace

Result<Change> prepare(const Decision& decision, const HostRoots& roots, const NeverTouch& never_touch) {
  const ProcessTarget& target = decision.target;
  const bool signal = decision.action.kind == Action::Kind::signal;
  const auto mounts = roots.mounts();
  std::unique_ptr<HeldProcess> held;
  if (target.pid != 0) {
    auto holding = HeldProcess::hold(target, roots, mounts);
    if (!holding) return holding.error();
    held = std::move(*holding);
    if (auto status = never_touch.check(target.pid); !status) return status.error();
  } else if (signal) {
    return Error{"a signal is sent to a process, never to a cgroup"};
  }
  auto change =
      signal ? prepare_signal(decision, std::move(held)) : prepare_cgroup(decision, roots, mounts, never_touch);
  if (change && change->lease && decision.action.lease <= Duration::zero())
    return Error{fmt::format("{} without a lease would never end", name_of(decision.action.kind))};
  return change;
}

Status still_right(const Decision& decision, const Change& change, const HostRoots& roots,
                   const NeverTouch& never_touch) {
  if (change.folder_inode == 0) return success();  // the pidfd sees to it
  return check_members(decision.target, std::filesystem::path(change.knob->where()).parent_path(), roots, never_touch);
}

}  // namespace inferscope::act
