// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace inferscope::test {

/// In a map of the probes, which this process holds open.
inline std::size_t entries_of(std::string_view name) {
  for (int fd = 3; fd < 1024; ++fd) {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0 || info.name != name) continue;
    std::vector<std::byte> key(info.key_size);
    std::size_t entries = 0;
    for (const void* before = nullptr; bpf_map_get_next_key(fd, before, key.data()) == 0; before = key.data())
      ++entries;
    return entries;
  }
  ADD_FAILURE() << "no map " << name;
  return 0;
}

}  // namespace inferscope::test
