// SPDX-License-Identifier: Apache-2.0
#include "discover/mapped_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>

#include "core/proc_stat.h"

namespace inferscope::discover {
namespace {

using std::chrono::milliseconds;

constexpr std::array look_delays{milliseconds(0),   milliseconds(20),  milliseconds(50),  milliseconds(100),
                                 milliseconds(100), milliseconds(100), milliseconds(200), milliseconds(400),
                                 milliseconds(800), milliseconds(1600)};
constexpr milliseconds later_delay{5000};
constexpr std::size_t maps_limit = 16u << 20;
constexpr std::size_t files_per_look = 512;

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

}  // namespace

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

FileKey key_of(const struct stat& status, bool executable) {
  return {status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec,
          executable};
}

void MappedFiles::follow(Pid pid, Time now) {
  followed_[pid] = {.next = now};
}

void MappedFiles::forget(Pid pid) {
  followed_.erase(pid);
}

void MappedFiles::forget(Pid pid, const MappedKey& mapped) {
  if (const auto found = followed_.find(pid); found != followed_.end()) found->second.known.erase(mapped);
}

void MappedFiles::keep(Pid pid, const MappedKey& mapped) {
  if (const auto found = followed_.find(pid); found != followed_.end()) found->second.kept.insert(mapped);
}

bool MappedFiles::tick(Time now, const Emit<FoundFile>& found) {
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
  return !all_seen;
}

/// False if the process maps more new files than are looked at in one go.
bool MappedFiles::look(Pid pid, Followed& followed, const Emit<FoundFile>& found) const {
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
    FoundFile one{.pid = pid,
                  .name = file.path.substr(file.path.rfind('/') + 1),
                  .path = folder / "map_files" / file.range,
                  .mapped = mapped};
    struct stat status {};
    if (stat(one.path.c_str(), &status) != 0) {
      one.error = errno;
      found(one);
      continue;
    }
    ++looked_at;
    followed.known.insert(mapped);
    if (!S_ISREG(status.st_mode)) continue;  // to open a device may do something
    one.key = key_of(status, has_program && status.st_dev == program.st_dev && status.st_ino == program.st_ino);
    found(one);
  }
  // Who maps ever new files does not fill our memory.
  std::erase_if(followed.known, [&](const MappedKey& one) { return !mapped_now.contains(one); });
  followed.known.insert(followed.kept.begin(), followed.kept.end());
  return true;
}

}  // namespace inferscope::discover
