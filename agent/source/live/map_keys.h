// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/bpf.h>

#include <cstddef>

namespace inferscope::source {

/// Shows the keys of a map of the kernel, at most so many: what is inserted meanwhile may make it begin anew, so one
/// may be shown twice. Entries must not be deleted before it is done.
template <class Key, class See>
void each_key(int map, std::size_t most, const See& see) {
  Key key{};
  const Key* before = nullptr;
  for (std::size_t i = 0; i < most && bpf_map_get_next_key(map, before, &key) == 0; ++i) {
    see(key);
    before = &key;
  }
}

}  // namespace inferscope::source
