// SPDX-License-Identifier: Apache-2.0
#include "runtime/replay.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "cli/cli.h"
#include "cli/event_view.h"
#include "cli/record_view.h"
#include "cli/trace_view.h"
#include "model/record.h"
#include "model/trace_json.h"
#include "runtime/config.h"
#include "runtime/pipeline.h"
#include "source/recording.h"

namespace inferscope::cli {
namespace {

struct ReplayOptions {
  std::string file{};
  std::string config{};
  bool json = false;
  bool all = false;
  bool token_times = false;
  bool real_time = false;
  bool info = false;
  bool events = false;
  bool findings = false;
};

void print_info(const source::RecordingInfo& info) {
  fmt::print("recorded at   {} (Unix seconds)\nversion       {}\nkernel        {}\ncontent       {}\n",
             info.created_unix_ns / 1'000'000'000, info.agent_version, info.kernel,
             info.content_kept ? "kept" : "masked");
  for (const auto& capability : info.capabilities)
    fmt::print("probe         {:<12} {} {}\n", capability.name, capability.active ? "on" : "off", capability.problem);
}

int replay(const ReplayOptions& options) {
  auto reader = source::RecordingReader::open(
      options.file, options.real_time ? source::ReplaySpeed::real_time : source::ReplaySpeed::full);
  if (!reader) return fail(reader.error());
  if (options.info) return print_info((*reader)->info()), exit_done;

  const auto config = runtime::load_config(options.config);
  if (!config) return fail(config.error());
  const auto& stop = stop_on_signal();
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  std::size_t shown = 0;
  const Emit<FindingUpdate> found = [&](const FindingUpdate& update) {
    if (!options.findings || update.kind == FindingUpdate::Kind::updated) return;
    const std::string line = to_json(record_of(update));
    if (!options.json && shown++ == 0) fmt::print("{}\n", finding_heading());
    fmt::print("{}\n", options.json ? line : finding_row(line, terminal));
  };
  const auto traced = [&](const RequestTrace& trace) {
    if (options.findings) return;
    const std::string line = to_json(trace, options.token_times);
    if (options.json) {
      fmt::print("{}\n", line);
    } else if (options.all || is_inference(line)) {
      if (shown++ == 0) fmt::print("{}\n", trace_heading());
      fmt::print("{}\n", trace_row(line, terminal));
    }
    if (options.real_time) std::fflush(stdout);
  };
  runtime::Pipeline pipeline(traced, found, nullptr, config->dialects);
  const auto status = runtime::replay(**reader, pipeline, stop, [&](const Event& event) {
    if (options.events) fmt::print("{}\n", event_line(event));
  });
  return status ? exit_done : fail(status.error());
}

}  // namespace

void add_replay(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("replay", "Run a recording through the pipeline and print its traces");
  const auto options = std::make_shared<ReplayOptions>();
  command->add_option("file", options->file, "A recording made by 'inferscope record'")->required();
  command->add_option("-c,--config", options->config, "Configuration file (YAML); of it, the dialects are used")
      ->check(CLI::ExistingFile);
  command->add_flag("--json", options->json, "One JSON object a line, as 'inferscope trace --json'");
  command->add_flag("-a,--all", options->all, "Also requests that are not inference");
  command->add_flag("--token-times", options->token_times, "With --json: the time of every token");
  command->add_flag("--real-time", options->real_time, "At the speed at which it was recorded");
  command->add_flag("--findings", options->findings, "What is found wrong in it, instead of its traces");
  command->add_flag("--events", options->events, "Also what the probes saw, one event a line");
  command->add_flag("--info", options->info, "Only say where and how it was recorded");
  command->callback([options, &chosen] { chosen = [options] { return replay(*options); }; });
}

}  // namespace inferscope::cli
