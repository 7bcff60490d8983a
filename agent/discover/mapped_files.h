// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/emit.h"
#include "core/time.h"
#include "model/connection.h"

struct stat;

namespace inferscope::discover {

/// A file that a process executes code of.
struct MappedFile {
  std::string path{};   ///< as the process sees it
  std::string range{};  ///< "7f00-7f10", its name in /proc/PID/map_files
  std::string device{};
  std::uint64_t inode = 0;
};
/// Executable mappings of files in /proc/PID/maps.
std::vector<MappedFile> parse_executable_mappings(std::string_view maps);

/// Device and inode as /proc/PID/maps tells them.
using MappedKey = std::pair<std::string, std::uint64_t>;

/// What tells a file, and that nobody wrote to it.
struct FileKey {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t changed_ns = 0;
  bool executable = false;  ///< it is the program that the process runs

  auto operator<=>(const FileKey&) const = default;
};
FileKey key_of(const struct stat& status, bool executable);

/// One that a process was found to map.
struct FoundFile {
  Pid pid = 0;
  std::string name{};  ///< without folder
  std::string path{};  ///< where it can be opened, also if it was replaced, deleted, or is in another root
  MappedKey mapped{};
  FileKey key{};
  int error = 0;  ///< why nothing can be known of it, as errno tells it; it is looked for again. 0: it can be read
};

/// Follows what processes map: looks often while they are young, then now and then, since libraries are also loaded
/// later.
class MappedFiles {
 public:
  explicit MappedFiles(std::filesystem::path proc = "/proc") : proc_(std::move(proc)) {}

  /// A process, or one that runs a new program.
  void follow(Pid pid, Time now);
  void forget(Pid pid);
  /// Emits each regular file once for each process that maps it. Does a bounded part of the work; true: more of it is
  /// due already, and is left to the next tick.
  bool tick(Time now, const Emit<FoundFile>& found);
  /// The file is emitted with the next look as if it were new.
  void forget(Pid pid, const MappedKey& mapped);
  /// It is not emitted anew when it comes back after it was unmapped, as others are.
  void keep(Pid pid, const MappedKey& mapped);

 private:
  struct Followed {
    std::size_t looks = 0;
    Time next{};
    std::set<MappedKey> known{};  ///< emitted; those that are mapped, and those that are kept
    std::set<MappedKey> kept{};
  };

  bool look(Pid pid, Followed& followed, const Emit<FoundFile>& found) const;

  std::filesystem::path proc_;
  std::map<Pid, Followed> followed_{};
};

}  // namespace inferscope::discover
