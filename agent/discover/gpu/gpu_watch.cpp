// SPDX-License-Identifier: Apache-2.0
#include "discover/gpu/gpu_watch.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <utility>

#include "discover/elf/file_reader.h"

namespace inferscope::discover {
namespace {

/// A runtime loads its driver with the first call that needs it; who has loaded a model has made that.
constexpr Duration hold = std::chrono::seconds(10);
constexpr std::size_t contents_kept = 1024;
constexpr std::size_t held_most = 1024;

}  // namespace

GpuWatch::GpuWatch(std::filesystem::path proc) : files_(std::move(proc)) {}

void GpuWatch::follow(Pid pid, Time now) {
  forget(pid);
  files_.follow(pid, now);
}

void GpuWatch::forget(Pid pid) {
  files_.forget(pid);
  first_.erase(pid);
  std::erase_if(held_, [pid](const Held& one) { return one.library.pid == pid; });
}

bool GpuWatch::is_covered(const GpuLibrary& library) const {
  const auto told = first_.find(library.pid);
  return told != first_.end() && std::any_of(told->second.begin(), told->second.end(),
                                             [&](GpuApi api) { return same_family(api, library.api); });
}

void GpuWatch::tick(Time now, const Emit<GpuLibrary>& found) {
  files_.tick(now, [&](const FoundFile& file) { look(file, now, found); });
  std::erase_if(held_, [&](const Held& one) {
    if (is_covered(one.library)) return true;
    if (now < one.until) return false;
    found(one.library);
    return true;
  });
}

void GpuWatch::look(const FoundFile& file, Time now, const Emit<GpuLibrary>& found) {
  const GpuLibraryKind* kind = file.error == 0 ? gpu_library_kind(file.name) : nullptr;
  if (!kind) return;  // that files cannot be read is told by who looks for TLS in them
  files_.keep(file.pid, file.mapped);
  const Content& content = content_of(*kind, file);
  GpuLibrary library{.pid = file.pid,
                     .api = kind->api,
                     .rank = kind->rank,
                     .name = file.name,
                     .path = file.path,
                     .probes = content.probes,
                     .problem = content.problem};
  if (kind->rank > 0) {
    if (held_.size() < held_most) held_.push_back({std::move(library), now + hold});
    return;
  }
  if (library.problem.empty()) first_[file.pid].insert(kind->api);
  found(library);
}

const GpuWatch::Content& GpuWatch::content_of(const GpuLibraryKind& kind, const FoundFile& file) {
  if (const auto known = contents_.find(file.key); known != contents_.end()) return known->second;
  if (contents_.size() >= contents_kept) contents_.clear();
  Content& content = contents_[file.key];
  FileReader reader(file.path);
  if (!reader) {
    content.problem = fmt::format("it cannot be read: {}", strerror(errno));
    return content;
  }
  const auto elf = reader.elf();
  auto probes = elf ? gpu_probes(kind, *elf) : Error{"it is no ELF file for x86-64"};
  if (probes)
    content.probes = std::move(probes).value();
  else
    content.problem = probes.error().text();
  return content;
}

}  // namespace inferscope::discover
