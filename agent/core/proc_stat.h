// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Reading /proc/PID: what several stages need of a process, cheaply enough for several times a second. The folder can
/// be any, for tests.
namespace inferscope::proc {

/// What /proc/PID/stat, or /proc/PID/task/TID/stat of a thread, tells.
struct Stat {
  std::int32_t pid = 0;
  std::string name{};  ///< comm
  char state = 0;      ///< R, S, D, T, t, Z, X, I
  std::int32_t parent = 0;
  bool kernel_thread = false;
  std::uint64_t cpu_ns = 0;         ///< user and system time, in clock ticks' resolution
  std::uint64_t start_time_ns = 0;  ///< since boot, in clock ticks' resolution
  std::int32_t processor = -1;      ///< where it ran last
};

std::optional<Stat> parse_stat(std::string_view text);
/// Absent if the process is gone. `folder`: /proc/PID or /proc/PID/task/TID.
std::optional<Stat> read_stat(const std::filesystem::path& folder);

/// One hierarchy's line of /proc/PID/cgroup.
struct CgroupLine {
  std::string controllers{};  ///< comma-separated; empty for the unified hierarchy (cgroup v2)
  std::string path{};         ///< from the root of the hierarchy, "/" or "/a/b"

  [[nodiscard]] bool has(std::string_view controller) const;
};
std::vector<CgroupLine> parse_cgroups(std::string_view text);
std::vector<CgroupLine> read_cgroups(const std::filesystem::path& folder);

/// A whole small file, at most `limit` bytes of it; empty if it cannot be read.
std::string read_text(const std::filesystem::path& path, std::size_t limit = 65536);

}  // namespace inferscope::proc
