// SPDX-License-Identifier: Apache-2.0
#include "discover/tls/tls_watch.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "discover/elf/file_reader.h"
#include "discover/tls/stripped_tls.h"

namespace inferscope::discover {
namespace {

constexpr std::size_t analyses_kept = 8192;
constexpr std::size_t builds_kept = 256;
constexpr std::uint64_t searched_per_tick = 16u << 20;  // bytes
constexpr std::uint64_t cost_of_a_search = 64u << 10;   // at least: to open a file takes as long as to read so much

/// What tells builds of programs apart: the linker's id, and that the file was laid out so and not changed since.
/// Empty: nothing does.
std::string build_of(const ElfFile& file, std::int64_t size) {
  std::string build = file.build_id();
  if (build.empty()) return build;
  build.append(reinterpret_cast<const char*>(&size), sizeof(size));
  for (const Elf64_Phdr& one : file.segments()) build.append(reinterpret_cast<const char*>(&one), sizeof(one));
  return build;
}

std::vector<std::string> code_of(const ElfFile& file, const TlsContent& content) {
  constexpr std::size_t compared = 128;  // no other function begins so
  std::vector<std::string> all;
  for (const TlsProbe& probe : content.probes) {
    const auto code = file.table_at<char>(probe.places.begin, compared, compared);
    all.emplace_back(code.begin(), code.end());
  }
  return all;
}

}  // namespace

struct TlsWatch::OpenFile {
  explicit OpenFile(const std::string& path) : reader(path) {}

  FileReader reader;
  std::optional<ElfFile> elf{};
  std::optional<StrippedTls> stripped{};
  std::string build{};  ///< as `build_of` tells it
};

TlsWatch::TlsWatch(std::filesystem::path proc) : files_(std::move(proc)) {}
TlsWatch::~TlsWatch() = default;

void TlsWatch::follow(Pid pid, Time now) {
  forget(pid);
  files_.follow(pid, now);
}

void TlsWatch::forget(Pid pid) {
  files_.forget(pid);
  told_unreadable_.erase(pid);
  std::erase_if(searches_, [pid](const Search& search) { return search.library.pid == pid; });
}

bool TlsWatch::tick(Time now, const Emit<TlsLibrary>& found) {
  const bool more = files_.tick(now, [&](const FoundFile& file) { look(file, found); });
  search(found);
  return more || !searches_.empty();
}

void TlsWatch::look(const FoundFile& file, const Emit<TlsLibrary>& found) {
  const TlsLibrary library{.pid = file.pid, .name = file.name, .path = file.path, .executable = file.key.executable};
  if (file.error != 0) return tell_unreadable(library, file.error, found);
  const Analysis& analysis = analysis_of(file.key, file.path);
  if (analysis.complete)
    tell(file.mapped, library, analysis.content, found);
  else
    searches_.push_back({file.mapped, file.key, library, nullptr});
}

TlsWatch::Analysis& TlsWatch::kept_analysis(const FileKey& key) {
  if (analyses_.size() >= analyses_kept && !analyses_.contains(key)) analyses_.clear();
  return analyses_[key];
}

/// Does what costs little; complete if that says enough.
const TlsWatch::Analysis& TlsWatch::analysis_of(const FileKey& key, const std::string& path) {
  static const Analysis unknown{};
  if (const auto known = analyses_.find(key); known != analyses_.end()) return known->second;
  FileReader reader(path);
  if (!reader || key_of(reader.status(), key.executable) != key) return unknown;
  Analysis& analysis = kept_analysis(key);
  const auto elf = reader.elf();
  if (elf) analysis.content = exported_tls(*elf);
  analysis.complete = !elf || !analysis.content.evidence.empty();
  return analysis;
}

/// Completes analyses, until so many bytes were read. One that takes longer goes on with the next tick.
void TlsWatch::search(const Emit<TlsLibrary>& found) {
  std::uint64_t budget = searched_per_tick;
  while (budget > 0 && !searches_.empty()) {
    Search& next = searches_.front();
    const bool begun = next.file || begin(next, found);
    if (begun && !complete(next, budget)) return;
    const Search done = std::move(next);
    searches_.pop_front();
    if (!begun) continue;
    if (key_of(done.file->reader.status(), done.key.executable) != done.key) {  // somebody wrote to it meanwhile
      analyses_.erase(done.key);
      files_.forget(done.library.pid, done.mapped);
      continue;
    }
    tell(done.mapped, done.library, kept_analysis(done.key).content, found);
  }
}

/// False if it is another file by now, or none.
bool TlsWatch::begin(Search& search, const Emit<TlsLibrary>& found) {
  auto file = std::make_unique<OpenFile>(search.library.path);
  const int error = errno;
  const bool readable = static_cast<bool>(file->reader);
  if (readable && key_of(file->reader.status(), search.key.executable) == search.key) {
    search.file = std::move(file);
    return true;
  }
  if (!readable) tell_unreadable(search.library, error, found);
  files_.forget(search.library.pid, search.mapped);
  return false;
}

/// False if the budget, in bytes, was used before.
bool TlsWatch::complete(Search& search, std::uint64_t& budget) {
  Analysis& analysis = kept_analysis(search.key);
  OpenFile& file = *search.file;
  const std::uint64_t read_before = file.reader.bytes_read();
  const std::uint64_t cost_before = file.stripped ? file.stripped->cost() : 0;
  if (!analysis.complete && !file.stripped) {
    file.elf = file.reader.elf();
    if (file.elf) analysis.content = exported_tls(*file.elf);  // again, if it could not be opened before
    if (file.elf && analysis.content.evidence.empty()) analysis.content = static_tls(*file.elf);
    analysis.complete = !file.elf || !search.key.executable || !analysis.content.evidence.empty();
    if (!analysis.complete) {
      // Who can write a file could make another one pass for it; root would gain nothing by that.
      if (file.reader.status().st_uid == geteuid()) file.build = build_of(*file.elf, search.key.size);
      const auto known = builds_.find(file.build);
      if (known != builds_.end() && code_of(*file.elf, known->second.content) == known->second.code) {
        analysis.content = known->second.content;
        analysis.complete = true;
      } else {
        file.stripped.emplace(*file.elf);
      }
    }
  }
  if (!analysis.complete && file.stripped->step(budget)) {
    analysis.content = file.stripped->content();
    analysis.complete = true;
    if (builds_.size() >= builds_kept) builds_.clear();
    if (!file.build.empty() && !analysis.content.probes.empty())
      builds_.insert_or_assign(file.build, Build{analysis.content, code_of(*file.elf, analysis.content)});
  }
  const std::uint64_t searched = file.stripped ? file.stripped->cost() - cost_before : 0;
  const std::uint64_t spent = std::max({file.reader.bytes_read() - read_before, searched, cost_of_a_search});
  budget -= std::min(budget, spent);
  return analysis.complete;
}

void TlsWatch::tell(const MappedKey& mapped, const TlsLibrary& library, const TlsContent& content,
                    const Emit<TlsLibrary>& found) {
  if (content.evidence.empty()) return;
  files_.keep(library.pid, mapped);
  TlsLibrary told = library;
  told.evidence = content.evidence;
  told.probes = content.probes;
  told.problem = content.problem;
  found(told);
}

/// One for all files of a process. Nothing if the file is mapped otherwise by now: the next look tells.
void TlsWatch::tell_unreadable(const TlsLibrary& library, int error, const Emit<TlsLibrary>& found) {
  if (error == ENOENT || !told_unreadable_.insert(library.pid).second) return;
  TlsLibrary told = library;
  told.problem = fmt::format("files that it maps cannot be read: {}", strerror(error));
  found(told);
}

}  // namespace inferscope::discover
