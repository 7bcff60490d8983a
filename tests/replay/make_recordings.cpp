// SPDX-License-Identifier: Apache-2.0
// make_recordings FOLDER: writes the recordings of scenarios.h with their descriptions, then for every recording of the
// folder, also those taken from a live server, what a replay of it gives now. Look at the difference before keeping it.
#include <fmt/format.h>

#include <fstream>

#include "tests/replay/golden.h"
#include "tests/replay/scenarios.h"

using namespace inferscope;

namespace {

void must(const Status& status) {
  if (!status) throw std::runtime_error(status.error().text());
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

void make(const test::Scenario& scenario, const std::filesystem::path& folder) {
  test::Script script;
  scenario.play(script);
  auto writer = source::RecordingWriter::create(folder / (scenario.name + ".recording"),
                                                {.agent_version = "script", .kernel = "none", .content_kept = true});
  if (!writer) throw std::runtime_error(writer.error().text());
  for (const Event& event : script.events()) must((*writer)->write(event));
  must((*writer)->finish());
  write(folder / (scenario.name + ".txt"), scenario.description + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: make_recordings FOLDER\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  try {
    for (const test::Scenario& scenario : test::scenarios()) make(scenario, folder);
    for (const std::string& name : test::recordings_in(folder)) {
      const test::Replayed out = test::replayed(folder / (name + ".recording"));
      write(folder / (name + ".jsonl"), out.traces);
      if (!out.findings.empty()) write(folder / (name + ".findings"), out.findings);
      fmt::print("{}: {} traces, {} lines of findings\n", name, std::count(out.traces.begin(), out.traces.end(), '\n'),
                 std::count(out.findings.begin(), out.findings.end(), '\n'));
    }
  } catch (const std::exception& problem) {
    fmt::print(stderr, "{}\n", problem.what());
    return 1;
  }
  return 0;
}
