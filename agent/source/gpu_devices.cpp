// SPDX-License-Identifier: Apache-2.0
#include "source/gpu_devices.h"

#include <algorithm>
#include <cstddef>

#include "core/parse_number.h"

namespace inferscope::source {

/// Lines "226 drm" below "Character devices:", up to those of other devices.
std::vector<GpuDevices> parse_gpu_devices(std::string_view text) {
  std::vector<GpuDevices> found;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with("Block devices")) break;
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    const auto major = parse_number<std::uint32_t>(line);
    const std::size_t blank = line.find(' ');
    if (!major || *major == 0 || blank == std::string_view::npos) continue;
    const std::string_view name = line.substr(blank + 1);
    if (name.starts_with("nvidia")) found.push_back({*major, GpuDriverUse::Driver::nvidia});
    if (name == "kfd") found.push_back({*major, GpuDriverUse::Driver::amd_kfd});
    if (name == "drm") found.push_back({*major, GpuDriverUse::Driver::drm});
  }
  return found;
}

}  // namespace inferscope::source
