// SPDX-License-Identifier: Apache-2.0
// What is told of requests' phases and of their share of a real GPU, against what the engine itself wrote down: its
// turns, and how long the GPU worked in each by events on its stream (tests/gpu/torch_server.py).
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/replay/golden.h"
#include "tests/support/temp_folder.h"

namespace inferscope::test {
namespace {

const std::filesystem::path data = TEST_DATA;
constexpr std::ptrdiff_t one_by_one = 4;  ///< so many requests were alone

using Lines = std::vector<rapidjson::Document>;

Lines lines_of(const std::string& text) {
  Lines lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.emplace_back().Parse(line.c_str());
  return lines;
}

/// Traces in the order of the truth: those that were alone first, then by tokens asked for, then by length of prompt.
Lines in_order(Lines traces) {
  const auto by = [&](std::ptrdiff_t from, const auto& key) {
    std::sort(std::next(traces.begin(), from), traces.end(),
              [&key](const auto& a, const auto& b) { return key(a) < key(b); });
  };
  by(0, [](const auto& trace) { return trace["start_time_unix_nano"].GetUint64(); });
  by(one_by_one, [](const auto& trace) {
    return std::pair(trace["gen_ai.request.max_tokens"].GetInt(), trace["http.request.body.size"].GetInt());
  });
  return traces;
}

TEST(EngineTruth, PhasesAndGpuTimeOfARealGpu) {
  const Lines truths = lines_of(read_file(data / "pytorch_h100.truth"));
  const Lines traces = in_order(lines_of(replayed(data / "pytorch_h100.recording").traces));
  ASSERT_EQ(traces.size(), truths.size());
  std::size_t compared = 0;
  for (std::size_t i = 0; i < truths.size(); ++i) {
    const auto& truth = truths[i];
    const auto& trace = traces[i];
    if (!trace["inferscope.complete"].GetBool()) continue;
    ++compared;
    const auto expect_near = [&](const char* key, const char* own, double share, double least) {
      const double expected = truth[own].GetDouble();
      ASSERT_TRUE(trace.HasMember(key)) << key << " of request " << i;
      EXPECT_NEAR(1e3 * trace[key].GetDouble(), expected, std::max(share * expected, least))
          << key << " of request " << i;
    };
    expect_near("inferscope.prefill_time", "prefill_ms", 0.02, 0.5);
    expect_near("inferscope.decode_time", "decode_ms", 0.001, 0.5);
    expect_near("inferscope.gpu.time", "gpu_ms", 0.02, 1);
    EXPECT_EQ(trace["inferscope.engine.steps"].GetInt(), truth["output_tokens"].GetInt());
    EXPECT_STREQ(trace["inferscope.gpu.attribution"].GetString(),
                 truth["streams"].GetInt() == 1 ? "exclusive" : "shared");
  }
  EXPECT_EQ(compared, 17u);
}

}  // namespace
}  // namespace inferscope::test
