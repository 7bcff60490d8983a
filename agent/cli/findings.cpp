// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/api_client.h"
#include "cli/cli.h"
#include "cli/record_view.h"
#include "runtime/config.h"

namespace inferscope::cli {
namespace {

struct FindingsOptions {
  std::string id{};
  std::string undo_id{};
  bool json = false;
  bool open = false;
  std::size_t last = 20;
  std::string socket = runtime::Config{}.api.socket;
};

bool is_id(const std::string& id) {
  return std::all_of(id.begin(), id.end(), [](char c) { return std::isxdigit(static_cast<unsigned char>(c)); });
}

Error no_id(const std::string& id) {
  return {fmt::format("'{}' is no id", id), "give the hexadecimal digits that the list shows", Error::Kind::usage};
}

Result<std::vector<std::string>> lines_of(const FindingsOptions& options, const std::string& target) {
  std::vector<std::string> lines;
  const auto status = ask_agent(options.socket, target, [&lines](std::string_view line) {
    lines.emplace_back(line);
    return true;
  });
  if (!status) return status.error();
  return lines;
}

int list(const FindingsOptions& options, const char* path, std::string (*heading)(),
         std::string (*row)(std::string_view, bool), const char* none) {
  const auto lines =
      lines_of(options, fmt::format("{}?last={}&open={}&id={}", path, options.last, options.open ? 1 : 0, options.id));
  if (!lines) return fail(lines.error());
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  if (lines->empty() && !options.json) fmt::print(stderr, "{}\n", none);
  if (!lines->empty() && !options.json) fmt::print("{}\n", heading());
  for (const std::string& line : *lines) fmt::print("{}\n", options.json ? line : row(line, terminal));
  return exit_done;
}

int findings(const FindingsOptions& options) {
  if (!is_id(options.id)) return fail(no_id(options.id));
  if (options.id.empty() || options.json)
    return list(options, "/v1/findings", finding_heading, finding_row,
                options.open ? "nothing is wrong now" : "nothing was found yet");
  const auto found = lines_of(options, fmt::format("/v1/findings?last=2&id={}", options.id));
  if (!found) return fail(found.error());
  if (found->size() != 1)
    return fail({found->empty() ? fmt::format("there is no finding {}", options.id)
                                : fmt::format("several findings have an id that begins with {}", options.id),
                 "'inferscope findings' lists them"});
  // The id may have been given by its first digits.
  constexpr std::string_view key = "\"id\":\"";
  const auto at = found->front().find(key) + key.size();
  const std::string id = found->front().substr(at, found->front().find('"', at) - at);
  std::vector<std::string> story;
  for (const char* path : {"/v1/decisions", "/v1/effects"}) {
    auto some = lines_of(options, fmt::format("{}?last=100&finding={}", path, id));
    if (!some) return fail(some.error());
    story.insert(story.end(), some->begin(), some->end());
  }
  sort_by_time(story);
  fmt::print("{}", finding_story(found->front(), story, isatty(STDOUT_FILENO) == 1));
  return exit_done;
}

int effects(const FindingsOptions& options) {
  if (!is_id(options.id)) return fail(no_id(options.id));
  return list(options, "/v1/effects", effect_heading, effect_row,
              options.open ? "no effect holds now" : "nothing was done yet");
}

int undo(const FindingsOptions& options) {
  if (options.undo_id.empty() || !is_id(options.undo_id)) return fail(no_id(options.undo_id));
  const auto status =
      tell_agent(options.socket, fmt::format("/v1/effects/undo?id={}", options.undo_id), [](std::string_view line) {
        fmt::print("{}\n", line);
        return true;
      });
  return status ? exit_done : fail(status.error());
}

void add_common(CLI::App& command, FindingsOptions& options, const char* open) {
  command.add_flag("--json", options.json, "One JSON object a line");
  command.add_flag("--open", options.open, open);
  command.add_option("-n,--last", options.last, "How many of the last")->capture_default_str();
  command.add_option("--socket", options.socket, "The agent's API socket")->capture_default_str();
}

}  // namespace

void add_findings(CLI::App& app, Chosen& chosen) {
  auto* command =
      app.add_subcommand("findings", "What was found wrong, one line each; with an id, one with all that was done");
  const auto options = std::make_shared<FindingsOptions>();
  command->add_option("id", options->id, "First digits of a finding's id");
  add_common(*command, *options, "Only what is not over");
  command->callback([options, &chosen] { chosen = [options] { return findings(*options); }; });
}

void add_effects(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("effects", "What was done, or would have been done, about findings");
  const auto options = std::make_shared<FindingsOptions>();
  add_common(*command, *options, "Only what holds now");
  command->callback([command, options, &chosen] {
    if (command->get_subcommands().empty()) chosen = [options] { return effects(*options); };
  });
  auto* take_back = command->add_subcommand("undo", "Take an effect back now");
  take_back->add_option("id", options->undo_id, "First digits of the effect's id")->required();
  take_back->add_option("--socket", options->socket, "The agent's API socket")->capture_default_str();
  take_back->callback([options, &chosen] { chosen = [options] { return undo(*options); }; });
}

}  // namespace inferscope::cli
