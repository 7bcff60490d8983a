// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "act/host.h"
#include "act/knob.h"
#include "act/never_touch.h"
#include "core/result.h"
#include "model/action.h"

namespace inferscope::act {

/// All of an action but its last system call: the target is held and is the one decided about, nobody protected would
/// be touched, the knob is there and may be written, and its value is known.
struct Change {
  std::unique_ptr<Knob> knob{};
  std::uint64_t folder_inode = 0;  ///< of the cgroup; 0: the process itself
  std::string earlier{};           ///< empty: nothing to put back
  std::string written{};
  bool lease = false;  ///< has to be undone
};

/// Error: why the action may or can not be done. The same checks for a dry run. Not for notify.
Result<Change> prepare(const Decision& decision, const HostRoots& roots, const NeverTouch& never_touch);

/// Checked once more when it is done: nothing holds a process in its cgroup, or others out of it, in between.
Status still_right(const Decision& decision, const Change& change, const HostRoots& roots,
                   const NeverTouch& never_touch);

}  // namespace inferscope::act
