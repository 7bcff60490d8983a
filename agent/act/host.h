// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "core/cgroup_mounts.h"
#include "core/proc_stat.h"
#include "core/result.h"
#include "model/connection.h"

namespace inferscope::act {

/// Where the kernel tells about the host, and where it may be told something. Other folders in tests.
struct HostRoots {
  std::filesystem::path proc = "/proc";
  std::filesystem::path cgroups = "/sys/fs/cgroup";  ///< nothing outside of it is written

  [[nodiscard]] std::filesystem::path process(Pid pid) const { return proc / std::to_string(pid); }
  [[nodiscard]] proc::CgroupMounts mounts() const { return proc::CgroupMounts::read(proc / "self/mountinfo"); }
};

/// Has ended; what is left of it waits for its parent.
inline bool has_ended(const proc::Stat& stat) {
  return stat.state == 'Z' || stat.state == 'X' || stat.state == 'x';
}

/// A whole file. Unlike proc::read_text() it tells one that cannot be read from an empty one, and none is cut. Error:
/// not readable, or longer than `limit`.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit);

}  // namespace inferscope::act
