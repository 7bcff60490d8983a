// SPDX-License-Identifier: Apache-2.0
#include "act/lease.h"

#include <fmt/format.h>

#include "act/cgroup.h"
#include "act/target.h"

namespace inferscope::act {
namespace {

using How = Undone::How;

/// Null: gone.
Result<std::unique_ptr<Knob>> open_knob(const Lease& lease, const HostRoots& roots) {
  const Effect& effect = lease.effect;
  if (lease.folder_inode == 0) {
    const ProcessTarget& target = effect.decision.target;
    auto held = HeldProcess::hold_started(target.pid, target.start_time_ns, roots);
    if (!held) return held.error();
    return std::unique_ptr<Knob>(std::move(*held));
  }
  if (!is_knob(effect.where, roots)) return Error{fmt::format("{} is no file of a cgroup", effect.where)};
  auto file = CgroupFile::open(effect.where, lease.folder_inode);
  if (!file) return file.error();
  return std::unique_ptr<Knob>(std::move(*file));
}

Status put_back(const Lease& lease, const Knob& knob, std::string& left) {
  const Effect& effect = lease.effect;
  if (lease.folder_inode != 0) {
    const auto holds = knob.read();
    if (!holds) return holds.error();
    if (*holds == effect.earlier) return success();
    if (*holds != effect.written && !is_left_of(effect.where, effect.written, *holds)) {
      left = fmt::format("{} holds '{}', which somebody else wrote: left as it is", effect.where, *holds);
      return success();
    }
  }
  return knob.write(effect.earlier);
}

}  // namespace

bool Lease::same_place(const Lease& other) const {
  const ProcessTarget& a = effect.decision.target;
  const ProcessTarget& b = other.effect.decision.target;
  return effect.where == other.effect.where && folder_inode == other.folder_inode &&
         (folder_inode != 0 || (a.pid == b.pid && a.start_time_ns == b.start_time_ns));
}

Result<std::string> read_boot_id(const HostRoots& roots) {
  auto text = read_file(roots.proc / "sys/kernel/random/boot_id", 64);
  if (text && text->ends_with('\n')) text->pop_back();
  return text;
}

Undone undo(const Lease& lease, const HostRoots& roots) {
  Undone gone{How::gone, fmt::format("{} is gone, and what was done to it", lease.effect.where)};
  const auto boot_id = read_boot_id(roots);
  if (boot_id && *boot_id != lease.boot_id)
    return {How::gone, "the host was started anew since: nothing of it is left"};
  const auto knob = open_knob(lease, roots);
  if (!knob) return {How::failed, knob.error().text()};
  if (!*knob) return gone;
  std::string left;
  if (const auto status = put_back(lease, **knob, left); !status) {
    if (const auto again = open_knob(lease, roots); again && !*again) return gone;  // it ended under our hands
    return {How::failed, status.error().text()};
  }
  return left.empty() ? Undone{How::put_back, {}} : Undone{How::left, left};
}

}  // namespace inferscope::act
