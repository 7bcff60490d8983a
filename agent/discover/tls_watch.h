// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "core/emit.h"
#include "core/time.h"
#include "model/tls_library.h"

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

/// Looks at the processes it is told of until a TLS library shows, often while they are young, then now and then, since
/// libraries are also loaded later. Each file is analysed once.
class TlsWatch {
 public:
  explicit TlsWatch(std::filesystem::path proc = "/proc") : proc_(std::move(proc)) {}

  /// A process, or one that runs a new program.
  void follow(Pid pid, Time now);
  void forget(Pid pid) { followed_.erase(pid); }
  /// Emits each library once for each process that maps it.
  void tick(Time now, const Emit<TlsLibrary>& found);

 private:
  struct Followed {
    std::size_t looks = 0;
    Time next{};
    std::set<std::pair<std::string, std::uint64_t>> known{};  ///< device, inode
  };
  struct Analysis {
    std::vector<TlsProbe> probes{};
    std::string problem{};
  };

  /// Device, inode, size, time of the last change in nanoseconds.
  using FileKey = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t>;

  void look(Pid pid, Followed& followed, const Emit<TlsLibrary>& found);
  const Analysis& analyse(const std::string& name, const std::string& path);

  std::filesystem::path proc_;
  std::map<Pid, Followed> followed_{};
  std::map<FileKey, Analysis> analyses_{};
};

}  // namespace inferscope::discover
