// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <stdio.h>

#include <cstdlib>

#include "tests/replay/golden.h"
#include "tests/replay/scenarios.h"
#include "tests/support/event_text.h"
#include "tests/support/temp_folder.h"

namespace inferscope::test {
namespace {

const std::filesystem::path data = TEST_DATA;

class Golden : public testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] static std::filesystem::path file(const char* ending) { return data / (GetParam() + ending); }
};

TEST_P(Golden, GivesTheTracesThatItGave) {
  const std::string expected = read_file(file(".jsonl"));
  ASSERT_NE(expected, "") << "run make_recordings";
  EXPECT_EQ(replayed(file(".recording")).traces, expected);
  EXPECT_EQ(replayed(file(".recording")).traces, expected) << "the second time, too";
}

TEST_P(Golden, GivesTheFindingsThatItGave) {
  const bool has_some = std::filesystem::exists(file(".findings"));
  EXPECT_EQ(replayed(file(".recording")).findings, has_some ? read_file(file(".findings")) : "");
}

TEST_P(Golden, SaysWhatItIs) {
  const std::string text = read_file(file(".txt"));
  EXPECT_TRUE(text.ends_with(".\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

#ifdef INFERSCOPE_BINARY
std::string printed_by_replay(const std::string& arguments) {
  FILE* pipe = popen(("'" INFERSCOPE_BINARY "' replay " + arguments).c_str(), "r");
  if (pipe == nullptr) return "no pipe";
  std::string printed;
  char buffer[4096];
  for (std::size_t got = 0; (got = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) printed.append(buffer, got);
  EXPECT_EQ(pclose(pipe), 0);
  return printed;
}

TEST_P(Golden, FromTheCommandLine) {
  EXPECT_EQ(printed_by_replay("--json --token-times '" + file(".recording").string() + "'"), read_file(file(".jsonl")));
}

TEST(Replay, EndsQuietlyWhenNobodyReadsOn) {
  const TempFolder folder;
  folder.write("script", "set -o pipefail; '" INFERSCOPE_BINARY "' replay --events '" +
                             (data / "pytorch_h100.recording").string() + "' 2>'" + folder.file("errors") +
                             "' | head -c 1 >/dev/null");
  EXPECT_EQ(std::system(("bash '" + folder.file("script") + "'").c_str()), 0);
  EXPECT_EQ(read_file(folder.file("errors")), "");
}

TEST(Replay, KnowsTheDialectsOfAConfiguration) {
  const TempFolder folder;
  folder.write("config.yaml", R"(
dialects:
  - name: acme
    paths: [{path: /v1/chat/completions}]
    message: {content: /choices/0/delta/content}
)");
  const std::string printed = printed_by_replay("--json -c '" + folder.file("config.yaml") + "' '" +
                                                (data / "chat_stream.recording").string() + "'");
  EXPECT_NE(printed.find(R"("inferscope.dialect":"acme")"), std::string::npos) << printed;
  EXPECT_NE(printed.find(R"("gen_ai.provider.name":"acme")"), std::string::npos) << printed;
  EXPECT_NE(printed.find(R"("gen_ai.usage.output_tokens":4)"), std::string::npos) << "counted events: " << printed;
  EXPECT_EQ(printed.find("gen_ai.request.model"), std::string::npos) << "nobody taught where it stands: " << printed;
}
#endif

INSTANTIATE_TEST_SUITE_P(Each, Golden, testing::ValuesIn(recordings_in(data)),
                         [](const auto& tested) { return tested.param; });

TEST(Replay, RealTimeGivesTheSame) {
  EXPECT_EQ(replayed(data / "chat_stream.recording", source::ReplaySpeed::real_time).traces,
            read_file(data / "chat_stream.jsonl"));
}

TEST(Replay, RecordingsAreThoseOfTheScenarios) {
  for (const Scenario& scenario : scenarios()) {
    Script script;
    scenario.play(script);
    std::vector<std::string> expected, recorded;
    for (const Event& event : script.events()) expected.push_back(text_of(event));
    auto reader = source::RecordingReader::open(data / (scenario.name + ".recording"));
    ASSERT_TRUE(reader) << scenario.name << ": " << reader.error().text();
    while (!(*reader)->finished())
      ASSERT_TRUE(
          (*reader)->poll(Duration::zero(), [&recorded](const Event& event) { recorded.push_back(text_of(event)); }));
    EXPECT_EQ(recorded, expected) << scenario.name << ": run make_recordings";
  }
}

TEST(Replay, DamageIsToldAfterWhatStandsBeforeIt) {
  const TempFolder folder;
  const std::string whole = read_file(data / "chat_stream.recording");
  folder.write("cut", whole.substr(0, whole.size() - 1));
  auto reader = source::RecordingReader::open(folder.file("cut"));
  ASSERT_TRUE(reader);
  std::size_t traces = 0;
  runtime::Pipeline pipeline([&traces](const RequestTrace&) { ++traces; });
  const std::atomic<bool> stop = false;
  const auto status = runtime::replay(**reader, pipeline, stop);
  EXPECT_FALSE(status);
  EXPECT_EQ(traces, 1u);
}

}  // namespace
}  // namespace inferscope::test
