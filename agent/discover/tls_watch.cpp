// SPDX-License-Identifier: Apache-2.0
#include "discover/tls_watch.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <span>

#include "core/proc_stat.h"
#include "discover/elf_symbols.h"
#include "discover/probe_placement.h"

namespace inferscope::discover {
namespace {

using std::chrono::milliseconds;

constexpr std::array look_delays{milliseconds(0),   milliseconds(20),  milliseconds(50),  milliseconds(100),
                                 milliseconds(100), milliseconds(100), milliseconds(200), milliseconds(400),
                                 milliseconds(800), milliseconds(1600)};
constexpr milliseconds later_delay{5000};
constexpr std::size_t maps_limit = 16u << 20;
constexpr std::size_t analyses_kept = 256;
constexpr std::size_t file_limit = 256u << 20;

struct Symbol {
  const char* name;
  TlsFunction function;
};
struct KnownLibrary {
  std::string_view prefix;  ///< of the file's name
  std::span<const Symbol> symbols;
};

/// Each probe costs the kernel a grace period when it is taken out, so only those without which something is missed:
/// once a handshake has told that a connection is TLS, what other functions move on it is no plaintext.
constexpr std::array openssl{
    Symbol{"SSL_do_handshake", TlsFunction::inner}, Symbol{"SSL_peek", TlsFunction::inner},
    Symbol{"SSL_read", TlsFunction::read},          Symbol{"SSL_write", TlsFunction::write},
    Symbol{"SSL_read_ex", TlsFunction::read_ex},    Symbol{"SSL_write_ex", TlsFunction::write_ex},
    Symbol{"SSL_free", TlsFunction::free}};
constexpr std::array gnutls{
    Symbol{"gnutls_handshake", TlsFunction::inner}, Symbol{"gnutls_record_recv", TlsFunction::read},
    Symbol{"gnutls_record_send", TlsFunction::write}, Symbol{"gnutls_deinit", TlsFunction::free}};

/// One row for each library; BoringSSL has OpenSSL's names.
constexpr std::array libraries{KnownLibrary{"libssl.so", openssl}, KnownLibrary{"libssl-", openssl},
                               KnownLibrary{"libgnutls.so", gnutls}};

const KnownLibrary* library_of(std::string_view name) {
  const auto found = std::find_if(libraries.begin(), libraries.end(),
                                  [&](const KnownLibrary& library) { return name.starts_with(library.prefix); });
  return found == libraries.end() ? nullptr : &*found;
}

std::string_view next_field(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view field = line.substr(0, end);
  line.remove_prefix(end);
  return field;
}

TlsProbe probe_of(const Symbol& symbol, const ElfFunction& function, std::span<const std::byte> file) {
  const std::uint64_t begin = function.offset;
  const bool whole = function.size <= file.size() - begin;
  const Placement placement = place_probes(whole ? file.subspan(begin, function.size) : std::span<const std::byte>());
  TlsProbe probe{.function = symbol.function, .symbol = symbol.name, .begin = begin};
  probe.entry = {begin + placement.entry.offset, placement.entry.stack};
  probe.return_address = begin + placement.return_address;
  for (const CodePlace& exit : placement.exits) probe.exits.push_back({begin + exit.offset, exit.stack});
  return probe;
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

void TlsWatch::follow(Pid pid, Time now) {
  followed_[pid] = {0, now, {}};
}

void TlsWatch::tick(Time now, const Emit<TlsLibrary>& found) {
  for (auto& [pid, followed] : followed_) {
    if (now < followed.next) continue;
    ++followed.looks;
    followed.next = now + (followed.looks < look_delays.size() ? look_delays[followed.looks] : later_delay);
    look(pid, followed, found);
  }
}

void TlsWatch::look(Pid pid, Followed& followed, const Emit<TlsLibrary>& found) {
  const std::filesystem::path folder = proc_ / std::to_string(pid);
  for (const MappedFile& file : parse_executable_mappings(proc::read_text(folder / "maps", maps_limit))) {
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    if (library_of(name) == nullptr || !followed.known.emplace(file.device, file.inode).second) continue;
    const std::string path = folder / "map_files" / file.range;
    const Analysis& analysis = analyse(name, path);
    found({pid, name, path, analysis.probes, analysis.problem});
  }
}

/// The same file as long as nobody wrote to it.
const TlsWatch::Analysis& TlsWatch::analyse(const std::string& name, const std::string& path) {
  struct stat status {};
  static const Analysis gone{{}, "its file cannot be read"};
  if (stat(path.c_str(), &status) != 0) return gone;
  const FileKey key{status.st_dev, status.st_ino, status.st_size,
                    status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
  if (const auto known = analyses_.find(key); known != analyses_.end()) return known->second;
  if (analyses_.size() >= analyses_kept) analyses_.clear();
  Analysis& analysis = analyses_[key];
  // Read, not mapped: whoever shortens a mapped file would end us.
  const std::string content = proc::read_text(path, file_limit);
  const auto bytes = std::as_bytes(std::span(content));
  const auto symbols = library_of(name)->symbols;
  std::set<std::string> names;
  for (const Symbol& symbol : symbols) names.insert(symbol.name);
  const auto functions = find_functions(bytes, names);
  if (!functions) {
    analysis.problem = functions.error().text();
    return analysis;
  }
  for (const Symbol& symbol : symbols) {
    const auto function = functions->find(symbol.name);
    if (function == functions->end()) continue;
    analysis.probes.push_back(probe_of(symbol, function->second, bytes));
  }
  if (analysis.probes.empty()) analysis.problem = "it exports none of the functions that are known";
  return analysis;
}

}  // namespace inferscope::discover
