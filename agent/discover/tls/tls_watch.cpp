// SPDX-License-Identifier: Apache-2.0
#include "discover/tls/tls_watch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <span>

#include "core/fd.h"
#include "core/proc_stat.h"
#include "discover/tls/stripped_tls.h"

namespace inferscope::discover {
namespace {

using std::chrono::milliseconds;

constexpr std::array look_delays{milliseconds(0),   milliseconds(20),  milliseconds(50),  milliseconds(100),
                                 milliseconds(100), milliseconds(100), milliseconds(200), milliseconds(400),
                                 milliseconds(800), milliseconds(1600)};
constexpr milliseconds later_delay{5000};
constexpr std::size_t maps_limit = 16u << 20;
constexpr std::size_t analyses_kept = 8192;
constexpr std::size_t builds_kept = 256;
constexpr std::size_t files_per_look = 512;
constexpr std::uint64_t searched_per_tick = 16u << 20;  // bytes
constexpr std::uint64_t cost_of_a_search = 64u << 10;   // at least: to open a file takes as long as to read so much

/// Reads of a file, whose bytes are counted. Never maps it: whoever shortens a mapped file would end us.
class FileReader {
 public:
  explicit FileReader(const std::string& path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}

  explicit operator bool() const { return static_cast<bool>(file_); }
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  [[nodiscard]] struct stat status() const {
    struct stat status {};
    fstat(file_.get(), &status);
    return status;
  }
  /// Nothing if it is no such file. Must not outlive this.
  std::optional<ElfFile> elf() {
    return ElfFile::open([this](std::uint64_t offset, std::span<std::byte> into) { return read(offset, into); });
  }

 private:
  std::size_t read(std::uint64_t offset, std::span<std::byte> into) {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t count =
          pread(file_.get(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      done += static_cast<std::size_t>(count);
    }
    bytes_read_ += done;
    return done;
  }

  Fd file_;
  std::uint64_t bytes_read_ = 0;
};

std::string_view next_field(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view field = line.substr(0, end);
  line.remove_prefix(end);
  return field;
}

/// Without the zeros with which the text pads small addresses.
std::string name_in_map_files(std::string_view range) {
  std::string name;
  for (std::size_t at = 0; at < range.size();) {
    const std::size_t end = std::min(range.find('-', at), range.size());
    const std::size_t digit = std::min(range.find_first_not_of('0', at), end);
    name += (name.empty() ? "" : "-") + std::string(range.substr(digit, end - digit));
    at = end + 1;
  }
  return name;
}

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
    const auto code = file.table_at<char>(probe.begin, compared, compared);
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

TlsWatch::TlsWatch(std::filesystem::path proc) : proc_(std::move(proc)) {}
TlsWatch::~TlsWatch() = default;

/// "7f00-7f10 r-xp 00001000 08:01 1234    /usr/lib/libssl.so.3 (deleted)"
std::vector<MappedFile> parse_executable_mappings(std::string_view maps) {
  std::vector<MappedFile> files;
  while (!maps.empty()) {
    const std::size_t end = std::min(maps.find('\n'), maps.size());
    std::string_view line = maps.substr(0, end);
    maps.remove_prefix(std::min(end + 1, maps.size()));
    const std::string_view range = next_field(line);
    const std::string_view rights = next_field(line);
    next_field(line);  // the offset
    const std::string_view device = next_field(line);
    const std::string_view inode = next_field(line);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (rights.size() != 4 || rights[2] != 'x' || !line.starts_with('/')) continue;
    constexpr std::string_view gone = " (deleted)";
    if (line.ends_with(gone)) line.remove_suffix(gone.size());
    MappedFile file{std::string(line), name_in_map_files(range), std::string(device), 0};
    const auto [stop, error] = std::from_chars(inode.data(), inode.data() + inode.size(), file.inode);
    if (error == std::errc() && stop == inode.data() + inode.size()) files.push_back(std::move(file));
  }
  return files;
}

void TlsWatch::follow(Pid pid, Time now) {
  forget(pid);
  followed_[pid].next = now;
}

void TlsWatch::forget(Pid pid) {
  followed_.erase(pid);
  std::erase_if(searches_, [pid](const Search& search) { return search.library.pid == pid; });
}

bool TlsWatch::tick(Time now, const Emit<TlsLibrary>& found) {
  bool all_seen = true;
  for (auto& [pid, followed] : followed_) {
    if (now < followed.next) continue;
    if (!look(pid, followed, found)) {
      all_seen = false;
      continue;
    }
    ++followed.looks;
    followed.next = now + (followed.looks < look_delays.size() ? look_delays[followed.looks] : later_delay);
  }
  search(found);
  return !all_seen || !searches_.empty();
}

/// False if the process maps more new files than are looked at in one go.
bool TlsWatch::look(Pid pid, Followed& followed, const Emit<TlsLibrary>& found) {
  const std::filesystem::path folder = proc_ / std::to_string(pid);
  struct stat program {};
  const bool has_program = stat((folder / "exe").c_str(), &program) == 0;
  std::set<MappedKey> mapped_now;
  std::size_t looked_at = 0;
  for (const MappedFile& file : parse_executable_mappings(proc::read_text(folder / "maps", maps_limit))) {
    const MappedKey mapped{file.device, file.inode};
    mapped_now.insert(mapped);
    if (followed.known.contains(mapped)) continue;
    if (looked_at == files_per_look) return false;
    TlsLibrary library{
        .pid = pid, .name = file.path.substr(file.path.rfind('/') + 1), .path = folder / "map_files" / file.range};
    struct stat status {};
    if (stat(library.path.c_str(), &status) != 0) {
      tell_unreadable(followed, library, found);
      continue;
    }
    ++looked_at;
    followed.known.insert(mapped);
    if (!S_ISREG(status.st_mode)) continue;  // to open a device may do something
    library.executable = has_program && status.st_dev == program.st_dev && status.st_ino == program.st_ino;
    const FileKey key = key_of(status, library.executable);
    const Analysis& analysis = analysis_of(key, library.path);
    if (analysis.complete)
      tell(mapped, library, analysis.content, found);
    else
      searches_.push_back({mapped, key, library, nullptr});
  }
  // Who maps ever new files does not fill our memory. What was told of is not told again when it comes back.
  std::erase_if(followed.known, [&](const MappedKey& one) { return !mapped_now.contains(one); });
  followed.known.insert(followed.told.begin(), followed.told.end());
  return true;
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
      followed_.at(done.library.pid).known.erase(done.mapped);
      continue;
    }
    tell(done.mapped, done.library, kept_analysis(done.key).content, found);
  }
}

/// False if it is another file by now, or none.
bool TlsWatch::begin(Search& search, const Emit<TlsLibrary>& found) {
  auto file = std::make_unique<OpenFile>(search.library.path);
  const bool readable = static_cast<bool>(file->reader);
  if (readable && key_of(file->reader.status(), search.key.executable) == search.key) {
    search.file = std::move(file);
    return true;
  }
  Followed& followed = followed_.at(search.library.pid);
  if (!readable) tell_unreadable(followed, search.library, found);
  followed.known.erase(search.mapped);
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
  followed_.at(library.pid).told.insert(mapped);
  TlsLibrary told = library;
  told.evidence = content.evidence;
  told.probes = content.probes;
  told.problem = content.problem;
  found(told);
}

/// One for all files of a process, as errno says why. Nothing if the file is mapped otherwise by now: the next look
/// tells.
void TlsWatch::tell_unreadable(Followed& followed, const TlsLibrary& library, const Emit<TlsLibrary>& found) {
  const int error = errno;
  if (error == ENOENT || std::exchange(followed.told_unreadable, true)) return;
  TlsLibrary told = library;
  told.problem = fmt::format("files that it maps cannot be read: {}", strerror(error));
  found(told);
}

TlsWatch::FileKey TlsWatch::key_of(const struct stat& status, bool executable) {
  return {status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec,
          executable};
}

}  // namespace inferscope::discover
