// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "act/host.h"
#include "act/knob.h"
#include "model/action.h"

namespace inferscope::act {

/// An effect with all that is needed to undo it, so that another process can: the agent after a restart, the guardian.
struct Lease {
  Effect effect{};                 ///< `where`, `earlier` and `written` are the knob's
  std::uint64_t folder_inode = 0;  ///< of the cgroup that `where` is a file of; 0: the process of the decision's target
  std::string boot_id{};           ///< nothing of a lease outlives the boot that it was made in

  /// Whether there is something to undo at all.
  [[nodiscard]] bool reversible() const { return effect.lease_until > effect.begin; }
  [[nodiscard]] bool same_place(const Lease& other) const;
};

/// What an undo came to.
struct Undone {
  enum class How : std::uint8_t {
    put_back,  ///< the earlier value is there, by this undo or one before
    left,      ///< somebody else has written another value since; it stays
    gone,      ///< the process or cgroup is no more
    failed,    ///< to be tried again
  };

  How how{};
  std::string note{};  ///< for all but a plain put_back
};

/// The identifier of this boot of the kernel.
Result<std::string> read_boot_id(const HostRoots& roots);

/// Writes the earlier value if the place is the same and still holds what the lease wrote. Any number of times, by
/// anyone: it changes nothing that is not the lease's. A process stopped by signal is let go on in any case: whether it
/// has stopped yet cannot be told for sure, and a SIGCONT takes back a stop that is still on its way.
Undone undo(const Lease& lease, const HostRoots& roots);

}  // namespace inferscope::act
