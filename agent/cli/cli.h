// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <functional>
#include <string>

#include "core/result.h"

namespace inferscope::cli {

/// Exit codes that mean something.
enum ExitCode : int { exit_done = 0, exit_failed = 1, exit_usage = 2, exit_not_permitted = 3 };

int main(int argc, char** argv);

/// What a command does when it was chosen; null until then.
using Chosen = std::function<int()>;

/// One function for each command, in a file of its own; a new one gets a line in the table of cli.cpp.
void add_run(CLI::App& app, Chosen& chosen);
void add_trace(CLI::App& app, Chosen& chosen);
void add_doctor(CLI::App& app, Chosen& chosen);
void add_record(CLI::App& app, Chosen& chosen);
void add_replay(CLI::App& app, Chosen& chosen);
void add_findings(CLI::App& app, Chosen& chosen);
void add_effects(CLI::App& app, Chosen& chosen);
void add_audit(CLI::App& app, Chosen& chosen);
void add_policy(CLI::App& app, Chosen& chosen);
void add_guard(CLI::App& app, Chosen& chosen);

/// Says what went wrong and what to do about it; returns the exit code.
int fail(const Error& error);
/// Becomes true at SIGINT or SIGTERM.
const std::atomic<bool>& stop_on_signal();

}  // namespace inferscope::cli
