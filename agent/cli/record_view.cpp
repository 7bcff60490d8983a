// SPDX-License-Identifier: Apache-2.0
#include "cli/record_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "cli/json_line.h"
#include "cli/terminal.h"

namespace inferscope::cli {
namespace {

constexpr std::size_t id_digits = 8;

const char* colour_of(const std::string& state) {
  if (state == "open" || state == "active" || state == "failed") return yellow;
  if (state == "stuck") return red;
  return green;
}

std::string seconds_between(std::int64_t begin, std::int64_t end) {
  if (begin == 0 || end < begin) return "-";
  return fmt::format("{:.1f}s", static_cast<double>(end - begin) / 1e9);
}

std::string server_of(const JsonLine& finding) {
  return fmt::format("{}/{}", finding.text("process.executable.name"), finding.text("process.pid"));
}

/// A decision's time, an effect's beginning.
std::int64_t begin_of(const JsonLine& record) {
  const std::int64_t effect = record.integer("inferscope.effect.begin_unix_nano");
  return effect != 0 ? effect : record.integer("time_unix_nano");
}

std::string state_of(const JsonLine& effect) {
  const std::string state = effect.text("inferscope.effect.state");
  const std::string by = effect.text("inferscope.effect.ended_by", "");
  return by.empty() ? state : fmt::format("{} ({})", state, by);
}

}  // namespace

std::string finding_heading() {
  return fmt::format("{:<12} {:<8} {:<6} {:<6} {:>6} {:<15} {:<20} {:>5}  {}", "TIME", "ID", "KIND", "STATE", "LASTED",
                     "CAUSE", "SERVER", "SURE", "WHAT");
}

std::string finding_row(std::string_view json, bool colour) {
  const JsonLine finding(json);
  if (!finding.valid()) return {};
  const std::string state = finding.text("inferscope.finding.state");
  const std::int64_t begin = finding.integer("inferscope.finding.begin_unix_nano");
  return fmt::format("{:<12} {:<8} {:<6} {} {:>6} {:<15} {:<20} {:>4.0f}%  {}", clock_time(begin),
                     finding.text("id").substr(0, id_digits), finding.text("inferscope.finding.kind"),
                     painted(fmt::format("{:<6}", fit(state, 6)), colour_of(state), colour),
                     seconds_between(begin, finding.integer("inferscope.finding.end_unix_nano")),
                     finding.text("inferscope.cause.kind"), fit(server_of(finding), 20),
                     finding.number("inferscope.finding.confidence").value_or(0) * 100, finding.text("text"));
}

std::string effect_heading() {
  return fmt::format("{:<12} {:<8} {:<20} {:<38} {:<28} {:<10} {:<20} {}", "TIME", "ID", "STATE", "ACTION", "TARGET",
                     "OUTCOME", "POLICY", "PROBLEM");
}

std::string effect_row(std::string_view json, bool colour) {
  const JsonLine effect(json);
  if (!effect.valid()) return {};
  const std::string pid = effect.text("inferscope.target.pid", "");
  const std::string target = pid.empty() ? effect.text("inferscope.target.cgroup")
                                         : fmt::format("{}/{}", effect.text("inferscope.target.name"), pid);
  return fmt::format(
      "{:<12} {:<8} {} {:<38} {:<28} {:<10} {:<20} {}", clock_time(effect.integer("inferscope.effect.begin_unix_nano")),
      effect.text("id").substr(0, id_digits),
      painted(fmt::format("{:<20}", fit(state_of(effect), 20)), colour_of(effect.text("inferscope.effect.state")),
              colour),
      fit(effect.text("inferscope.action.text"), 38), fit(target, 28), effect.text("inferscope.effect.outcome"),
      fit(effect.text("inferscope.policy.name"), 20), effect.text("inferscope.effect.problem", ""));
}

void sort_by_time(std::vector<std::string>& decisions_and_effects) {
  // In milliseconds, as they are shown: of one moment, the decision stands before its effect.
  std::vector<std::pair<std::int64_t, std::string>> timed;
  for (std::string& line : decisions_and_effects) {
    const std::int64_t time = begin_of(JsonLine(line)) / 1'000'000;
    timed.emplace_back(time, std::move(line));
  }
  std::stable_sort(timed.begin(), timed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  decisions_and_effects.clear();
  for (auto& [time, line] : timed) decisions_and_effects.push_back(std::move(line));
}

std::string finding_story(std::string_view json, const std::vector<std::string>& decisions_and_effects, bool colour) {
  const JsonLine finding(json);
  if (!finding.valid()) return {};
  const std::string state = finding.text("inferscope.finding.state");
  std::string out =
      fmt::format("finding {}  {}  {}\n{}\n\n", finding.text("id"), finding.text("inferscope.finding.kind"),
                  painted(state, colour_of(state), colour), finding.text("text"));
  const auto row = [&out](const char* name, const std::string& value) {
    if (!value.empty() && value != "-") out += fmt::format("  {:<12} {}\n", name, value);
  };
  const std::int64_t begin = finding.integer("inferscope.finding.begin_unix_nano");
  row("server", server_of(finding));
  row("model", finding.text("gen_ai.request.model"));
  row("began", clock_time(begin));
  if (const std::int64_t end = finding.integer("inferscope.finding.end_unix_nano"); end != 0)
    row("ended", fmt::format("{} (after {})", clock_time(end), seconds_between(begin, end)));
  row("cause", fmt::format("{}: {}", finding.text("inferscope.cause.kind"), finding.text("inferscope.cause.text")));
  row("confidence", fmt::format("{:.0f} %", finding.number("inferscope.finding.confidence").value_or(0) * 100));
  for (const std::string& evidence : finding.texts("inferscope.finding.evidence")) row("evidence", evidence);
  row("requests", finding.text("inferscope.finding.requests"));
  for (const std::string& trace : finding.texts("inferscope.finding.trace_ids")) row("trace", trace);
  if (finding.truth("inferscope.finding.gap")) row("gap", "events were lost meanwhile: nothing is decided on it");
  if (decisions_and_effects.empty()) return out + "\n  no policy is for it\n";
  out += '\n';
  for (const std::string& line : decisions_and_effects) {
    const JsonLine one(line);
    if (!one.valid()) continue;
    const bool effect = one.text("event") == "inferscope.effect";
    const std::int64_t time = begin_of(one);
    out += fmt::format("  {} {:<8} {}\n", clock_time(time), effect ? "effect" : "decision", one.text("text"));
    if (const std::int64_t end = one.integer("inferscope.effect.end_unix_nano"); effect && end > time)
      out += fmt::format("  {} {:<8} {}\n", clock_time(end), "undone", state_of(one));
  }
  return out;
}

}  // namespace inferscope::cli
