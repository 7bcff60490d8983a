// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>

#include "model/record.h"
#include "model/trace_json.h"
#include "runtime/replay.h"
#include "source/recording.h"

namespace inferscope::test {

/// What a recording gives.
struct Replayed {
  std::string traces{};    ///< as `inferscope replay --json --token-times FILE` prints them
  std::string findings{};  ///< as `inferscope replay --json --findings FILE` prints them
};
inline Replayed replayed(const std::string& path, source::ReplaySpeed speed = source::ReplaySpeed::full) {
  auto reader = source::RecordingReader::open(path, speed);
  if (!reader) throw std::runtime_error(reader.error().text());
  Replayed out;
  runtime::Pipeline pipeline([&out](const RequestTrace& trace) { (out.traces += to_json(trace, true)) += '\n'; },
                             [&out](const FindingUpdate& update) {
                               if (update.kind == FindingUpdate::Kind::updated) return;
                               (out.findings += to_json(record_of(update))) += '\n';
                             });
  const std::atomic<bool> stop = false;
  const auto status = runtime::replay(**reader, pipeline, stop);
  if (!status) throw std::runtime_error(status.error().text());
  return out;
}

/// Names without ending of the recordings in a folder.
inline std::set<std::string> recordings_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".recording") names.insert(entry.path().stem());
  return names;
}

}  // namespace inferscope::test
