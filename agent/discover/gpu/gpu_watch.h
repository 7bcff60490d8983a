// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/emit.h"
#include "core/time.h"
#include "discover/gpu/gpu_functions.h"
#include "discover/mapped_files.h"
#include "model/gpu_library.h"

namespace inferscope::discover {

/// Looks for libraries of GPUs, by the names of files, in what the processes map that it is told of. Each file is
/// analysed once, whoever maps it.
class GpuWatch {
 public:
  explicit GpuWatch(std::filesystem::path proc = "/proc");

  /// A process, or one that runs a new program.
  void follow(Pid pid, Time now);
  void forget(Pid pid);
  /// Emits each such file once for each process that maps it; one of higher rank some time after it was found, and only
  /// if none of lower rank of its family has come until then.
  void tick(Time now, const Emit<GpuLibrary>& found);

 private:
  struct Content {
    std::vector<GpuProbe> probes{};
    std::string problem{};
  };
  struct Held {
    GpuLibrary library{};
    Time until{};
  };

  void look(const FoundFile& file, Time now, const Emit<GpuLibrary>& found);
  const Content& content_of(const GpuLibraryKind& kind, const FoundFile& file);
  [[nodiscard]] bool is_covered(const GpuLibrary& library) const;

  MappedFiles files_;
  std::map<FileKey, Content> contents_{};
  std::map<Pid, std::set<GpuApi>> first_{};  ///< of rank 0, that were told of
  std::vector<Held> held_{};
};

}  // namespace inferscope::discover
