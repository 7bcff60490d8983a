// SPDX-License-Identifier: Apache-2.0
#include "core/cgroup_mounts.h"

#include <sys/stat.h>

#include <algorithm>
#include <sstream>

namespace inferscope::proc {
namespace {

/// mountinfo writes blanks and backslashes in paths as \ooo.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view code = text.substr(i + 1, 3);
    const auto octal = [](char c) { return c >= '0' && c <= '7'; };
    if (text[i] == '\\' && code.size() == 3 && std::all_of(code.begin(), code.end(), octal)) {
      out += static_cast<char>((code[0] - '0') * 64 + (code[1] - '0') * 8 + (code[2] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

CgroupMounts CgroupMounts::parse(std::string_view text) {
  CgroupMounts found;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, folder, word, type, source, options;
    fields >> id >> parent >> device >> root >> folder;
    while (fields >> word && word != "-") {
    }
    if (!(fields >> type >> source >> options) || root != "/") continue;  // a part of the tree would give other paths
    if (type == "cgroup2") found.mounts_.push_back({2, {}, unescaped(folder)});
    if (type == "cgroup") found.mounts_.push_back({1, options, unescaped(folder)});
  }
  return found;
}

CgroupMounts CgroupMounts::read(const std::filesystem::path& mountinfo) {
  return parse(read_text(mountinfo, std::size_t{1} << 20));
}

const CgroupMounts::Mount* CgroupMounts::find(std::string_view controller) const {
  const auto has = [&](const Mount& mount) {
    return mount.version == 1 && CgroupLine{mount.controllers, {}}.has(controller);
  };
  if (const auto one = std::find_if(mounts_.begin(), mounts_.end(), has); one != mounts_.end()) return &*one;
  const auto two = std::find_if(mounts_.begin(), mounts_.end(), [](const Mount& mount) { return mount.version == 2; });
  return two == mounts_.end() ? nullptr : &*two;
}

std::optional<CgroupPlace> CgroupMounts::place(std::string_view path, std::string_view controller) const {
  const Mount* mount = find(controller);
  if (!mount) return std::nullopt;
  return CgroupPlace{mount->version, mount->folder, std::string(path)};
}

std::optional<CgroupPlace> CgroupMounts::place_of(const std::vector<CgroupLine>& lines,
                                                  std::string_view controller) const {
  const Mount* mount = find(controller);
  if (!mount) return std::nullopt;
  for (const CgroupLine& line : lines)
    if (mount->version == 1 ? line.has(controller) : line.controllers.empty())
      return CgroupPlace{mount->version, mount->folder, line.path};
  return std::nullopt;
}

std::uint64_t cgroup_id(const CgroupPlace& place) {
  struct stat status {};
  return stat(place.folder().c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_ino) : 0;
}

}  // namespace inferscope::proc
