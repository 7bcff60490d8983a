// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "act/host.h"
#include "core/result.h"
#include "model/connection.h"

namespace inferscope::act {

/// Who is never acted on, whatever a policy says: pid 1, the agent and what it was started by, kernel threads, and by
/// name what keeps a host and its containers running. Patterns can be added; there is no way to take one off.
class NeverTouch {
 public:
  /// `more`: shell patterns of process names, of paths of executables or of cgroups. `self`: the agent.
  NeverTouch(HostRoots roots, std::vector<std::string> more, Pid self);

  /// Error: why not.
  [[nodiscard]] Status check(Pid pid) const;
  /// All processes of a group: what is done to the group is done to each.
  [[nodiscard]] Status check(const std::vector<Pid>& processes) const;

 private:
  HostRoots roots_;
  std::vector<std::string> more_;
  Pid self_;
};

}  // namespace inferscope::act
