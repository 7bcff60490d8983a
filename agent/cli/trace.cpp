// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli/api_client.h"
#include "cli/cli.h"
#include "cli/trace_view.h"
#include "runtime/config.h"

namespace inferscope::cli {
namespace {

struct TraceOptions {
  bool follow = false;
  bool json = false;
  bool all = false;
  bool token_times = false;
  bool in_flight = false;
  std::size_t last = 20;
  std::string id{};
  std::string socket = runtime::Config{}.api.socket;
};

bool print_line(std::string_view line) {
  return std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && std::fputc('\n', stdout) != EOF &&
         std::fflush(stdout) == 0;
}

std::string target_of(const TraceOptions& options) {
  if (options.in_flight) return "/v1/in-flight";
  if (!options.id.empty()) return fmt::format("/v1/traces?token_times=1&id={}", options.id);
  return fmt::format("/v1/traces?last={}&follow={}&token_times={}", options.last, options.follow ? 1 : 0,
                     options.token_times ? 1 : 0);
}

int trace(const TraceOptions& options) {
  stop_on_signal();  // so that Ctrl-C ends the reading and not us
  if (!std::all_of(options.id.begin(), options.id.end(),
                   [](char c) { return std::isxdigit(static_cast<unsigned char>(c)); }))
    return fail({fmt::format("'{}' is no trace id", options.id), "give the hexadecimal digits that the list shows",
                 Error::Kind::usage});
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  std::size_t shown = 0;
  const auto status = ask_agent(options.socket, target_of(options), [&](std::string_view line) {
    if (options.json) return ++shown, print_line(line);
    if (!options.id.empty()) return ++shown, print_line(trace_waterfall(line, terminal));
    if (!options.all && !is_inference(line)) return true;
    if (shown++ == 0 && !print_line(trace_heading())) return false;
    return print_line(trace_row(line, terminal));
  });
  if (!status) return fail(status.error());
  if (shown == 0 && !options.id.empty())
    return fail({fmt::format("the agent knows no trace {}", options.id),
                 "it may be too old: 'inferscope trace' lists those it keeps"});
  if (shown == 0 && !options.json && !options.follow)
    fmt::print(stderr, "no inference requests {}; 'inferscope doctor' says what is watched\n",
               options.in_flight ? "in flight" : "yet");
  return exit_done;
}

}  // namespace

void add_trace(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("trace", "Finished requests, one line each; with an id, one request in full");
  const auto options = std::make_shared<TraceOptions>();
  command->add_option("id", options->id, "First digits of a trace or span id: show that request's waterfall");
  command->add_flag("-f,--follow", options->follow, "Go on with new requests as they end");
  command->add_flag("--json", options->json, "One JSON object a line, with OpenTelemetry attribute names");
  command->add_option("-n,--last", options->last, "How many of the last requests")->capture_default_str();
  command->add_flag("-a,--all", options->all, "Also requests that are not inference, such as health checks");
  command->add_flag("--token-times", options->token_times, "With --json: the time of every token");
  command->add_flag("--in-flight", options->in_flight, "Requests that have not ended yet");
  command->add_option("--socket", options->socket, "The agent's API socket")->capture_default_str();
  command->callback([options, &chosen] { chosen = [options] { return trace(*options); }; });
}

}  // namespace inferscope::cli
