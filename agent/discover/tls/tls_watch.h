// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/emit.h"
#include "core/time.h"
#include "discover/tls/tls_functions.h"
#include "model/tls_library.h"

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

/// Looks at what the processes it is told of map, often while they are young, then now and then, since libraries are
/// also loaded later. Each file is analysed once, whoever maps it; of programs without names, each build once, however
/// many copies of its file there are.
class TlsWatch {
 public:
  explicit TlsWatch(std::filesystem::path proc = "/proc");
  TlsWatch(const TlsWatch&) = delete;
  TlsWatch& operator=(const TlsWatch&) = delete;
  ~TlsWatch();

  /// A process, or one that runs a new program.
  void follow(Pid pid, Time now);
  void forget(Pid pid);
  /// Emits each file with TLS once for each process that maps it. Does a bounded part of the work; true: more of it is
  /// due already, and is left to the next tick.
  bool tick(Time now, const Emit<TlsLibrary>& found);

 private:
  /// Device and inode as /proc/PID/maps tells them.
  using MappedKey = std::pair<std::string, std::uint64_t>;
  struct Followed {
    std::size_t looks = 0;
    Time next{};
    std::set<MappedKey> known{};  ///< looked at; those that are mapped, and those that were told of
    std::set<MappedKey> told{};
    bool told_unreadable = false;
  };
  /// What tells a file, and that nobody wrote to it.
  struct FileKey {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = 0;
    std::int64_t changed_ns = 0;
    bool executable = false;  ///< mapped as such

    auto operator<=>(const FileKey&) const = default;
  };
  struct Analysis {
    TlsContent content{};
    bool complete = false;  ///< also the part that takes long is done
  };
  struct OpenFile;
  /// A file of a process whose analysis is not complete.
  struct Search {
    MappedKey mapped{};
    FileKey key{};
    TlsLibrary library{};
    std::unique_ptr<OpenFile> file{};  ///< once it was begun
  };
  /// What is known of a program without names, by whatever file it was found in first.
  struct Build {
    TlsContent content{};
    std::vector<std::string> code{};  ///< of the functions with probes: where it is other code, it is another program
  };

  bool look(Pid pid, Followed& followed, const Emit<TlsLibrary>& found);
  void search(const Emit<TlsLibrary>& found);
  bool begin(Search& search, const Emit<TlsLibrary>& found);
  bool complete(Search& search, std::uint64_t& budget);
  Analysis& kept_analysis(const FileKey& key);
  const Analysis& analysis_of(const FileKey& key, const std::string& path);
  static FileKey key_of(const struct stat& status, bool executable);
  void tell(const MappedKey& mapped, const TlsLibrary& library, const TlsContent& content,
            const Emit<TlsLibrary>& found);
  static void tell_unreadable(Followed& followed, const TlsLibrary& library, const Emit<TlsLibrary>& found);

  std::filesystem::path proc_;
  std::map<Pid, Followed> followed_{};
  std::map<FileKey, Analysis> analyses_{};
  std::map<std::string, Build> builds_{};
  std::deque<Search> searches_{};
};

}  // namespace inferscope::discover
