// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/proc_stat.h"

namespace inferscope::proc {

/// A cgroup in the hierarchy that has a controller.
struct CgroupPlace {
  int version = 0;                ///< 1 or 2
  std::filesystem::path mount{};  ///< where its hierarchy is mounted
  std::string path{};             ///< from there: "/" or "/a/b"

  [[nodiscard]] std::filesystem::path folder() const { return mount / std::filesystem::path(path).relative_path(); }
};

/// Where this host's cgroup hierarchies are mounted. A host has version 1, version 2, or both ("hybrid": most
/// controllers in version 1, some in version 2), so each controller is looked up by itself.
class CgroupMounts {
 public:
  /// `text`: of /proc/self/mountinfo.
  static CgroupMounts parse(std::string_view text);
  static CgroupMounts read(const std::filesystem::path& mountinfo = "/proc/self/mountinfo");

  /// The group of a process (its lines of /proc/PID/cgroup) for a controller: "cpu", "freezer", "memory". In version 2
  /// every group counts as having it: whether it is switched on there shows in its files.
  [[nodiscard]] std::optional<CgroupPlace> place_of(const std::vector<CgroupLine>& lines,
                                                    std::string_view controller) const;
  /// A group by its path from the root of the hierarchy that has the controller.
  [[nodiscard]] std::optional<CgroupPlace> place(std::string_view path, std::string_view controller) const;

 private:
  struct Mount {
    int version = 0;
    std::string controllers{};  ///< options of the file system, comma-separated; version 1 names its controllers there
    std::filesystem::path folder{};
  };
  [[nodiscard]] const Mount* find(std::string_view controller) const;

  std::vector<Mount> mounts_{};
};

/// Inode of a cgroup's folder, which is the id that the kernel gives it; 0 if there is none.
std::uint64_t cgroup_id(const CgroupPlace& place);

}  // namespace inferscope::proc
