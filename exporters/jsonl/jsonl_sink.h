// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/result.h"
#include "exporters/sink.h"

namespace inferscope::exporters {

struct JsonlOptions {
  std::string path{};
  std::uint64_t rotate_bytes = 256u << 20;  ///< then FILE becomes FILE.1; 0: never
  bool token_times = false;
  std::size_t queue_lines = 4096;  ///< more are dropped and counted
};

/// One JSON object a line, as `inferscope trace --json` prints it.
Result<std::unique_ptr<Sink>> make_jsonl_sink(const JsonlOptions& options);

}  // namespace inferscope::exporters
