// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/cli.h"
#include "core/log.h"
#include "runtime/agent.h"
#include "runtime/config.h"

namespace inferscope::cli {
namespace {

int run(const std::string& config_path) {
  auto config = runtime::load_config(config_path);
  if (!config) return fail(config.error());
  log::configure(log::level_of(config->log.level), config->log.format == "json");
  const std::string socket = config->api.socket;
  const auto& stop = stop_on_signal();
  {
    runtime::Agent agent(std::move(config).value());
    if (auto status = agent.start(); !status) return fail(status.error());
    log::info("watching this host; 'inferscope trace --follow' shows requests", {{"api", socket}});
    if (auto status = agent.run(stop); !status) return fail(status.error());
  }
  log::info("stopped");
  return exit_done;
}

}  // namespace

void add_run(CLI::App& app, Chosen& chosen) {
  auto* command =
      app.add_subcommand("run", "The agent: find inference servers, trace their requests, export the traces");
  const auto config = std::make_shared<std::string>();
  command->add_option("-c,--config", *config, "Configuration file (YAML); without it, the defaults")
      ->check(CLI::ExistingFile);
  command->callback([config, &chosen] { chosen = [config] { return run(*config); }; });
}

}  // namespace inferscope::cli
