// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>

#include "model/trace_json.h"
#include "runtime/replay.h"
#include "source/recording.h"

namespace inferscope::test {

/// What `inferscope replay --json --token-times FILE` prints.
inline std::string replayed(const std::string& path, source::ReplaySpeed speed = source::ReplaySpeed::full) {
  auto reader = source::RecordingReader::open(path, speed);
  if (!reader) throw std::runtime_error(reader.error().text());
  std::string lines;
  runtime::Pipeline pipeline([&lines](const RequestTrace& trace) { (lines += to_json(trace, true)) += '\n'; });
  const std::atomic<bool> stop = false;
  const auto status = runtime::replay(**reader, pipeline, stop);
  if (!status) throw std::runtime_error(status.error().text());
  return lines;
}

/// Names without ending of the recordings in a folder.
inline std::set<std::string> recordings_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".recording") names.insert(entry.path().stem());
  return names;
}

}  // namespace inferscope::test
