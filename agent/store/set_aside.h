// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "core/result.h"

namespace inferscope::store {

/// Renames a damaged file to FILE.damaged.N, so that nothing is lost and nothing stands in the way. Gives the new name.
inline Result<std::string> set_aside(const std::filesystem::path& path) {
  constexpr int most = 1000;
  for (int number = 1; number <= most; ++number) {
    const std::string name = fmt::format("{}.damaged.{}", path.string(), number);
    std::error_code error;
    if (std::filesystem::exists(name, error)) continue;
    std::filesystem::rename(path, name, error);
    if (!error) return name;
    return Error{fmt::format("the damaged {} cannot be set aside: {}", path.string(), error.message()),
                 "move it away by hand"};
  }
  return Error{fmt::format("there are {} damaged copies of {}", most, path.string()), "remove those no longer needed"};
}

}  // namespace inferscope::store
