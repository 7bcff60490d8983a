// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace inferscope::interpret {

inline constexpr std::size_t inference_path_limit = 16;
inline constexpr std::size_t inference_path_bytes = 24;

/// Beginnings of request paths that mark a request as inference: at most 16, of at most 24 bytes each. The kernel
/// compares them with the first bytes of requests to find servers that nobody named.
std::vector<std::string> inference_paths();

}  // namespace inferscope::interpret
