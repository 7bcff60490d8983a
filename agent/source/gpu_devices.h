// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/gpu_work.h"

namespace inferscope::source {

/// Character devices of a driver of GPUs.
struct GpuDevices {
  std::uint32_t major = 0;
  GpuDriverUse::Driver driver{};
};

/// In the text of /proc/devices, where some drivers get numbers that differ from host to host.
std::vector<GpuDevices> parse_gpu_devices(std::string_view text);

}  // namespace inferscope::source
