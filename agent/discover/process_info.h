// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/connection.h"

namespace inferscope::discover {

/// What /proc tells of a process.
struct ProcessInfo {
  Pid pid = 0;
  Pid parent = 0;
  std::uint64_t start_time_ns = 0;  ///< since boot
  std::uint32_t uid = 0;
  std::string name{};                  ///< comm
  std::string executable{};            ///< empty if not readable (kernel threads)
  std::string command_line{};          ///< arguments joined by spaces, at most 4 KiB
  std::vector<std::string> cgroups{};  ///< path in each hierarchy
};

/// Reads /proc. The root can be another folder, for tests.
class ProcReader {
 public:
  explicit ProcReader(std::filesystem::path root = "/proc") : root_(std::move(root)) {}

  [[nodiscard]] std::vector<Pid> pids() const;
  /// Absent if the process is gone.
  [[nodiscard]] std::optional<ProcessInfo> read(Pid pid) const;
  /// File names (without folder) of what the process maps.
  [[nodiscard]] std::set<std::string> mapped_libraries(Pid pid) const;
  /// TCP ports it listens on, and 0 if it listens on a unix socket.
  [[nodiscard]] std::set<std::uint16_t> listening_ports(Pid pid);
  /// Listening sockets are read once and kept until this is called.
  void forget_sockets() { sockets_.clear(); }

 private:
  using Listeners = std::map<std::uint64_t, std::uint16_t>;  ///< socket inode → port
  const Listeners& listeners_of(Pid pid);

  std::filesystem::path root_;
  std::map<std::string, Listeners> sockets_{};  ///< by network namespace
};

}  // namespace inferscope::discover
