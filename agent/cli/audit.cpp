// SPDX-License-Identifier: Apache-2.0
#include "store/audit.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/cli.h"
#include "runtime/config.h"

namespace inferscope::cli {
namespace {

int verify(const std::string& file) {
  const auto verdict = store::Audit::verify(file);
  if (!verdict) return fail(verdict.error());
  if (verdict->bad_line != 0)
    return fail({fmt::format("{}:{}: {}", file, verdict->bad_line, verdict->problem),
                 fmt::format("the {} lines before it are as they were written", verdict->lines)});
  fmt::print("{} lines, all as they were written; the last one's hash is {}\n", verdict->lines, verdict->last_hash);
  return exit_done;
}

}  // namespace

void add_audit(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("audit", "The chained record of what was decided and done");
  command->require_subcommand(1);
  const auto file = std::make_shared<std::string>(runtime::Config{}.state.folder + "/audit");
  auto* check = command->add_subcommand("verify", "Say whether a line was changed, left out or put in");
  check->add_option("file", *file, "The audit file")->capture_default_str();
  check->callback([file, &chosen] { chosen = [file] { return verify(*file); }; });
}

}  // namespace inferscope::cli
