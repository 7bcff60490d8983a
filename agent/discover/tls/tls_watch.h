// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/emit.h"
#include "core/time.h"
#include "discover/mapped_files.h"
#include "discover/tls/tls_functions.h"
#include "model/tls_library.h"

namespace inferscope::discover {

/// Looks for TLS in what the processes map that it is told of. Each file is analysed once, whoever maps it; of programs
/// without names, each build once, however many copies of its file there are.
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

  void look(const FoundFile& file, const Emit<TlsLibrary>& found);
  void search(const Emit<TlsLibrary>& found);
  bool begin(Search& search, const Emit<TlsLibrary>& found);
  bool complete(Search& search, std::uint64_t& budget);
  Analysis& kept_analysis(const FileKey& key);
  const Analysis& analysis_of(const FileKey& key, const std::string& path);
  void tell(const MappedKey& mapped, const TlsLibrary& library, const TlsContent& content,
            const Emit<TlsLibrary>& found);
  void tell_unreadable(const TlsLibrary& library, int error, const Emit<TlsLibrary>& found);

  MappedFiles files_;
  std::set<Pid> told_unreadable_{};
  std::map<FileKey, Analysis> analyses_{};
  std::map<std::string, Build> builds_{};
  std::deque<Search> searches_{};
};

}  // namespace inferscope::discover
