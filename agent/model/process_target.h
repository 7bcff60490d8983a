// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "model/connection.h"

namespace inferscope {

/// A process as an identity, not a number: a pid is used again, the three together are not.
struct ProcessTarget {
  Pid pid = 0;
  std::uint64_t start_time_ns = 0;  ///< since boot, as in /proc/PID/stat (clock ticks, in nanoseconds)
  std::uint64_t cgroup_id = 0;      ///< inode of its folder in the hierarchy that controls the processor; 0: not known
  std::string cgroup{};             ///< that folder's path from the root of the hierarchy, "/user.slice/x"
  std::string name{};               ///< comm
  std::string executable{};

  bool operator==(const ProcessTarget&) const = default;
};

}  // namespace inferscope
