// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include <fmt/format.h>
#include <signal.h>

#include <array>
#include <cstdio>
#include <system_error>

namespace inferscope::cli {
namespace {

constexpr std::array commands{add_run,      add_trace,   add_doctor, add_record, add_replay,
                              add_findings, add_effects, add_policy, add_audit,  add_guard};

std::atomic<bool> stop_requested = false;

}  // namespace

int fail(const Error& error) {
  fmt::print(stderr, "inferscope: {}\n", error.cause);
  if (!error.remedy.empty()) fmt::print(stderr, "            {}\n", error.remedy);
  switch (error.kind) {
    case Error::Kind::usage:
      return exit_usage;
    case Error::Kind::not_permitted:
      return exit_not_permitted;
    case Error::Kind::failed:
      break;
  }
  return exit_failed;
}

const std::atomic<bool>& stop_on_signal() {
  struct sigaction action {};
  action.sa_handler = [](int) { stop_requested = true; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return stop_requested;
}

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // `inferscope trace | head` ends quietly
  CLI::App app{
      "Watches LLM inference servers from the kernel: every request with its tokens and times, without touching the "
      "servers.",
      "inferscope"};
  app.set_version_flag("--version", INFERSCOPE_VERSION);
  app.require_subcommand(0, 1);  // that there is none is said below: a wrong one would be told as a missing one
  app.failure_message(CLI::FailureMessage::help);
  Chosen chosen;
  for (const auto add : commands) add(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_done : exit_usage;
  }
  if (!chosen) {
    fmt::print(stderr, "inferscope: a command is missing\n\n{}", app.help());
    return exit_usage;
  }
  try {
    return chosen();
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::broken_pipe) throw;
    return exit_done;  // whoever read it has seen enough
  }
}

}  // namespace inferscope::cli
