// SPDX-License-Identifier: Apache-2.0
#include "discover/process_info.h"

#include <algorithm>
#include <sstream>
#include <system_error>
#include <utility>

#include "core/parse_number.h"
#include "core/proc_stat.h"
#include "core/tcp_sockets.h"

namespace inferscope::discover {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t command_line_limit = 4096;
constexpr std::size_t file_limit = 16u << 20;  // a process may have tens of thousands of mappings

std::string read_file(const fs::path& path, std::size_t limit = file_limit) {
  return proc::read_text(path, limit);
}

std::string read_link(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return error ? std::string() : target.string();
}

/// /proc/net/unix: flag 0x10000 (SO_ACCEPTCON) marks a listener.
void parse_unix_listeners(const std::string& text, std::map<std::uint64_t, std::uint16_t>& listeners) {
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string address, references, protocol, flags, type, state, inode;
    fields >> address >> references >> protocol >> flags >> type >> state >> inode;
    const auto number = parse_number<std::uint64_t>(inode);
    if (number && type == "0001" && (parse_number<std::uint32_t>(flags, 16).value_or(0) & 0x10000u) != 0)
      listeners[*number] = 0;
  }
}

}  // namespace

std::vector<Pid> ProcReader::pids() const {
  std::vector<Pid> pids;
  std::error_code error;
  for (fs::directory_iterator it(root_, error), end; !error && it != end; it.increment(error))
    if (const auto pid = parse_number<Pid>(it->path().filename().string())) pids.push_back(*pid);
  std::sort(pids.begin(), pids.end());
  return pids;
}

std::optional<ProcessInfo> ProcReader::read(Pid pid) const {
  const fs::path folder = root_ / std::to_string(pid);
  ProcessInfo info{.pid = pid};
  const auto stat = proc::read_stat(folder);
  if (!stat) return std::nullopt;
  info.name = stat->name;
  info.parent = stat->parent;
  info.start_time_ns = stat->start_time_ns;
  info.executable = read_link(folder / "exe");
  info.command_line = read_file(folder / "cmdline", command_line_limit);
  std::replace(info.command_line.begin(), info.command_line.end(), '\0', ' ');
  while (!info.command_line.empty() && info.command_line.back() == ' ') info.command_line.pop_back();
  if (info.command_line.size() > command_line_limit) info.command_line.resize(command_line_limit);
  for (auto& line : proc::read_cgroups(folder)) info.cgroups.push_back(std::move(line.path));
  std::istringstream status(read_file(folder / "status"));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Uid:")) info.uid = parse_number<std::uint32_t>(std::string_view(line).substr(5)).value_or(0);
  return info;
}

std::set<std::string> ProcReader::mapped_libraries(Pid pid) const {
  std::set<std::string> names;
  std::istringstream maps(read_file(root_ / std::to_string(pid) / "maps"));
  std::string last;
  for (std::string line; std::getline(maps, line);) {
    const auto path = line.find('/');
    if (path == std::string::npos || line.compare(path, std::string::npos, last) == 0) continue;
    last = line.substr(path);
    names.insert(last.substr(last.rfind('/') + 1));
  }
  return names;
}

const ProcReader::Listeners& ProcReader::listeners_of(Pid pid) {
  const fs::path folder = root_ / std::to_string(pid);
  const auto [entry, added] = sockets_.try_emplace(read_link(folder / "ns/net"));
  if (added) {
    for (const auto& listener : proc::TcpSockets(folder).read(proc::TcpRole::listener))
      entry->second[listener.inode] = listener.port;
    parse_unix_listeners(read_file(folder / "net/unix"), entry->second);
  }
  return entry->second;
}

std::set<std::uint16_t> ProcReader::listening_ports(Pid pid) {
  std::set<std::uint16_t> ports;
  const Listeners& listeners = listeners_of(pid);
  if (listeners.empty()) return ports;
  std::error_code error;
  constexpr std::string_view prefix = "socket:[";
  for (fs::directory_iterator it(root_ / std::to_string(pid) / "fd", error), end; !error && it != end;
       it.increment(error)) {
    const std::string target = read_link(it->path());
    if (!target.starts_with(prefix)) continue;
    const auto inode = parse_number<std::uint64_t>(std::string_view(target).substr(prefix.size()));
    if (const auto found = inode ? listeners.find(*inode) : listeners.end(); found != listeners.end())
      ports.insert(found->second);
  }
  return ports;
}

}  // namespace inferscope::discover
