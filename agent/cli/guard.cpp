// SPDX-License-Identifier: Apache-2.0
#include "act/guard.h"

#include <memory>

#include "cli/cli.h"

namespace inferscope::cli {

void add_guard(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("guard", "Started by the agent: undoes what it did if it is killed");
  command->group("");  // nothing for people
  const auto roots = std::make_shared<act::HostRoots>();
  command->add_option("proc", roots->proc)->required();
  command->add_option("cgroups", roots->cgroups)->required();
  command->callback([roots, &chosen] {
    chosen = [roots] {
      const auto status = act::run_guard(*roots, act::guard_channel_fd);
      return status ? exit_done : fail(status.error());
    };
  });
}

}  // namespace inferscope::cli
