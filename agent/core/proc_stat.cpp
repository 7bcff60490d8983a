// SPDX-License-Identifier: Apache-2.0
#include "core/proc_stat.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "core/fd.h"

namespace inferscope::proc {
namespace {

constexpr std::uint64_t kernel_thread_flag = 0x00200000;  // PF_KTHREAD of the kernel's include/linux/sched.h

std::uint64_t ticks_to_ns(std::uint64_t ticks) {
  static const long per_second = sysconf(_SC_CLK_TCK);
  return ticks * (1'000'000'000u / static_cast<std::uint64_t>(per_second > 0 ? per_second : 100));
}

template <class Number>
Number number_of(std::string_view text) {
  Number number{};
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

std::string read_text(const std::filesystem::path& path, std::size_t limit) {
  std::string text;
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> buffer{};
  while (file && text.size() < limit) {
    const ssize_t count = read(file.get(), buffer.data(), std::min(buffer.size(), limit - text.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return text;
}

std::optional<Stat> parse_stat(std::string_view text) {
  // The name stands in parentheses and may hold anything, so fields count from the last one.
  const auto open = text.find('(');
  const auto close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  Stat stat;
  stat.pid = number_of<std::int32_t>(text.substr(0, open));
  stat.name = text.substr(open + 1, close - open - 1);
  std::string_view rest = text.substr(close + 1);
  int number = 2;
  while (!rest.empty()) {
    const auto begin = rest.find_first_not_of(" \n");
    if (begin == std::string_view::npos) break;
    const auto end = std::min(rest.find_first_of(" \n", begin), rest.size());
    const std::string_view field = rest.substr(begin, end - begin);
    rest.remove_prefix(end);
    switch (++number) {  // proc_pid_stat(5) numbers them like this
      case 3:
        stat.state = field.front();
        break;
      case 4:
        stat.parent = number_of<std::int32_t>(field);
        break;
      case 9:
        stat.kernel_thread = (number_of<std::uint64_t>(field) & kernel_thread_flag) != 0;
        break;
      case 14:
      case 15:
        stat.cpu_ns += ticks_to_ns(number_of<std::uint64_t>(field));
        break;
      case 22:
        stat.start_time_ns = ticks_to_ns(number_of<std::uint64_t>(field));
        break;
      case 39:
        stat.processor = number_of<std::int32_t>(field);
        break;
      default:
        break;
    }
  }
  if (number < 22) return std::nullopt;
  return stat;
}

std::optional<Stat> read_stat(const std::filesystem::path& folder) {
  return parse_stat(read_text(folder / "stat"));
}

bool CgroupLine::has(std::string_view controller) const {
  for (std::string_view rest = controllers; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    if (rest.substr(0, comma) == controller) return true;
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return false;
}

std::vector<CgroupLine> parse_cgroups(std::string_view text) {
  std::vector<CgroupLine> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto first = line.find(':');
    const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    lines.push_back({std::string(line.substr(first + 1, second - first - 1)), std::string(line.substr(second + 1))});
  }
  return lines;
}

std::vector<CgroupLine> read_cgroups(const std::filesystem::path& folder) {
  return parse_cgroups(read_text(folder / "cgroup"));
}

}  // namespace inferscope::proc
