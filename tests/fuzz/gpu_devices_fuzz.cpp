// stage: source
// SPDX-License-Identifier: Apache-2.0
// Any text as /proc/devices: no more devices come out than it has lines.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "source/gpu_devices.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto found = source::parse_gpu_devices(text);
  test::require(found.size() <= 1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
  for (const auto& one : found) test::require(one.major > 0 && one.driver <= GpuDriverUse::Driver::drm);
  return 0;
}
