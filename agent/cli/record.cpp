// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/utsname.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <thread>

#include "assemble/redact.h"
#include "cli/cli.h"
#include "core/log.h"
#include "runtime/agent.h"
#include "runtime/config.h"
#include "source/recording.h"

namespace inferscope::cli {
namespace {

struct RecordOptions {
  std::string file{};
  std::string config{};
  double seconds = 0;
  bool keep_content = false;
};

source::RecordingInfo describe_host(const runtime::Agent& agent, bool keep_content) {
  utsname system{};
  uname(&system);
  source::RecordingInfo info{.created_unix_ns = static_cast<std::int64_t>(std::time(nullptr)) * 1'000'000'000,
                             .agent_version = INFERSCOPE_VERSION,
                             .kernel = fmt::format("{} {}", system.release, system.machine),
                             .content_kept = keep_content};
  for (const auto& capability : agent.source().capabilities())
    info.capabilities.push_back({capability.name, capability.active, capability.problem});
  return info;
}

/// Becomes true at a signal, after the wanted time, or when the file cannot be written any more.
class Stop {
 public:
  Stop(const std::atomic<bool>& signalled, double seconds) : signalled_(signalled) {
    if (seconds > 0)
      deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  void look() { flag_ = flag_ || signalled_ || Clock::now() >= deadline_; }
  void now() { flag_ = true; }
  [[nodiscard]] const std::atomic<bool>& flag() const { return flag_; }

 private:
  using Clock = std::chrono::steady_clock;
  const std::atomic<bool>& signalled_;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::atomic<bool> flag_ = false;
};

int record(const RecordOptions& options) {
  auto config = runtime::load_config(options.config);
  if (!config) return fail(config.error());
  log::configure(log::level_of(config->log.level), config->log.format == "json");
  config->api.socket.clear();  // an agent may be running beside us, and nothing is exported from here
  config->otlp_enabled = false;
  config->jsonl.path.clear();
  config->state.folder.clear();  // and nothing is done from here
  config->act.armed = false;
  config->policies.clear();
  Stop stop(stop_on_signal(), options.seconds);
  runtime::Agent agent(std::move(config).value());
  if (auto status = agent.start(); !status) return fail(status.error());

  auto writer = source::RecordingWriter::create(options.file, describe_host(agent, options.keep_content));
  if (!writer) return fail(writer.error());
  assemble::Redactor redactor;
  std::string scratch;
  Status written = success();
  agent.tee([&](const Event& event) {
    if (!written) return;
    Event kept = event;
    if (!options.keep_content) redactor.on(kept, scratch);
    written = (*writer)->write(kept);
    if (!written) stop.now();
  });
  agent.each_turn([&] {
    redactor.tick(agent.source().now());
    stop.look();
  });
  fmt::print(stderr, "recording to {} ({}); Ctrl-C ends it\n", options.file,
             options.keep_content ? "with all content" : "text is masked; --keep-content keeps it");
  if (auto status = agent.run(stop.flag()); !status) return fail(status.error());
  if (!written) return fail(written.error());
  if (auto status = (*writer)->finish(); !status) return fail(status.error());
  fmt::print(stderr, "{} events, {} bytes in {}\n", (*writer)->events(), (*writer)->bytes(), options.file);
  return exit_done;
}

}  // namespace

void add_record(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("record", "Write what the probes see to a file, for 'inferscope replay'");
  const auto options = std::make_shared<RecordOptions>();
  command->add_option("file", options->file, "The recording")->required();
  command->add_option("-c,--config", options->config, "Configuration file (YAML)")->check(CLI::ExistingFile);
  command->add_option("-t,--seconds", options->seconds, "End after so long")->check(CLI::PositiveNumber);
  command->add_flag(
      "--keep-content", options->keep_content,
      "Keep prompts, outputs and all headers. Without it they are masked; lengths, structure and times stay");
  command->callback([options, &chosen] { chosen = [options] { return record(*options); }; });
}

}  // namespace inferscope::cli
