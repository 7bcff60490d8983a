// SPDX-License-Identifier: Apache-2.0
#include "cli/trace_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

#include "cli/json_line.h"
#include "cli/terminal.h"
#include "model/time_math.h"

namespace inferscope::cli {
namespace {

constexpr int bar_width = 50;

double seconds_of(const JsonLine& trace) {
  return to_seconds(elapsed(Time{Duration{trace.integer("start_time_unix_nano")}},
                            Time{Duration{trace.integer("end_time_unix_nano")}}));
}

std::string duration(std::optional<double> seconds) {
  if (!seconds) return "-";
  if (*seconds < 0.01) return fmt::format("{:.2f}ms", *seconds * 1e3);
  if (*seconds < 10) return fmt::format("{:.1f}ms", *seconds * 1e3);
  return fmt::format("{:.1f}s", *seconds);
}

const char* colour_of_outcome(const std::string& outcome) {
  if (outcome == "ok") return green;
  if (outcome == "error") return red;
  return yellow;
}

std::string bar(double from, double to, double total) {
  const auto column = [total](double at) {
    const double share = total > 0 ? std::clamp(at / total, 0.0, 1.0) : 0.0;
    return static_cast<int>(std::lround(share * bar_width));
  };
  const int begin = std::min(column(from), bar_width - 1);
  const int end = std::max(column(to), begin + 1);
  return std::string(static_cast<std::size_t>(begin), ' ') + std::string(static_cast<std::size_t>(end - begin), '=') +
         std::string(static_cast<std::size_t>(bar_width - end), ' ');
}

std::string phase(const char* name, double from, double to, double total) {
  return fmt::format("  {:<12} |{}| {:>10} {:>11}\n", name, bar(from, to, total), duration(to - from),
                     fmt::format("@{}", duration(from)));
}

/// Its way through the engine.
std::string engine_phases(const JsonLine& trace, double total) {
  const auto queued = trace.number("inferscope.engine.queued");
  const auto scheduled = trace.number("inferscope.engine.scheduled");
  const auto first_token = trace.number("inferscope.engine.first_token");
  const auto last_token = trace.number("inferscope.engine.last_token");
  std::string out;
  if (queued && scheduled) out += phase("queue", *queued, *scheduled, total);
  if (scheduled && first_token) out += phase("prefill", *scheduled, *first_token, total);
  if (first_token && last_token) out += phase("decode", *first_token, *last_token, total);
  for (const double at : trace.numbers("inferscope.engine.preempted")) out += phase("preempted", at, at, total);
  return out;
}

/// Where several stretches lie, on one line: how full each column is.
std::string strip(const char* name, const std::vector<double>& begins, const std::vector<double>& ends,
                  const std::vector<double>& fill, double total) {
  std::vector<double> columns(bar_width, 0);
  const double width = total / bar_width;
  for (std::size_t i = 0; i < std::min(begins.size(), ends.size()) && width > 0; ++i) {
    const double length = ends[i] - begins[i];
    const double density = fill.empty() ? 1 : (length > 0 && i < fill.size() ? std::min(fill[i] / length, 1.0) : 0);
    for (int column = 0; column < bar_width; ++column) {
      const double overlap = std::min(ends[i], (column + 1) * width) - std::max(begins[i], column * width);
      if (overlap > 0) columns[static_cast<std::size_t>(column)] += density * overlap / width;
    }
  }
  std::string cells;
  for (const double share : columns) cells += share > 0.75 ? '#' : share > 0.25 ? '+' : share > 0.001 ? '.' : ' ';
  return fmt::format("  {:<12} |{}|\n", name, cells);
}

/// The longest steps, what GPUs did in them, and what kept the request.
std::string engine_steps(const JsonLine& trace, double total) {
  const auto begins = trace.numbers("inferscope.steps.begin");
  const auto ends = trace.numbers("inferscope.steps.end");
  const auto gpu = trace.numbers("inferscope.steps.gpu_time");
  std::string out;
  if (!begins.empty()) out += strip("steps", begins, ends, {}, total);
  if (!gpu.empty()) out += strip("GPU busy", begins, ends, gpu, total);
  const auto delay_begins = trace.numbers("inferscope.delays.begin");
  const auto delay_ends = trace.numbers("inferscope.delays.end");
  if (!delay_begins.empty()) out += strip("delays", delay_begins, delay_ends, {}, total);
  return out;
}

/// The longest few of what kept it, each with its time.
std::string delays_of(const JsonLine& trace) {
  constexpr std::size_t shown = 5;
  const auto begins = trace.numbers("inferscope.delays.begin");
  const auto ends = trace.numbers("inferscope.delays.end");
  const auto texts = trace.texts("inferscope.delays.text");
  std::vector<std::size_t> order(std::min({begins.size(), ends.size(), texts.size()}));
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return ends[a] - begins[a] > ends[b] - begins[b]; });
  std::string out;
  for (std::size_t i = 0; i < std::min(order.size(), shown); ++i)
    out += fmt::format("  {:<22} {}\n", fmt::format("delay @{}", duration(begins[order[i]])), texts[order[i]]);
  if (order.size() > shown) out += fmt::format("  {:<22} {} shorter ones\n", "", order.size() - shown);
  return out;
}

std::string batch_of(const JsonLine& trace) {
  const auto mean = trace.number("inferscope.engine.batch_size.mean");
  if (!mean) return "-";
  return fmt::format("{:.1f} requests in a step, {} at most", *mean, trace.text("inferscope.engine.batch_size.max"));
}

}  // namespace

std::string trace_heading() {
  return fmt::format("{:<12} {:<8} {:<18} {:<20} {:<16} {:>6} {:>6} {:>9} {:>8} {:>9}  {}", "TIME", "TRACE", "PROCESS",
                     "MODEL", "OUTCOME", "IN", "OUT", "TTFT", "TPOT", "TOTAL", "REQUEST");
}

std::string trace_row(std::string_view json, bool colour) {
  const JsonLine trace(json);
  if (!trace.valid()) return {};
  const std::string outcome = trace.text("inferscope.outcome");
  const std::string status = trace.text("http.response.status_code", "");
  const std::string shown = fmt::format("{:<16}", outcome == "ok" || status.empty() ? outcome : outcome + " " + status);
  return fmt::format("{:<12} {:<8} {:<18} {:<20} {} {:>6} {:>6} {:>9} {:>8} {:>9}  {} {}{}",
                     clock_time(trace.integer("start_time_unix_nano")), trace.text("trace_id").substr(0, 8),
                     fit(fmt::format("{}/{}", trace.text("process.executable.name"), trace.text("process.pid")), 18),
                     fit(trace.text("gen_ai.response.model", trace.text("gen_ai.request.model")), 20),
                     painted(shown, colour_of_outcome(outcome), colour), trace.text("gen_ai.usage.input_tokens"),
                     trace.text("gen_ai.usage.output_tokens"), duration(trace.number("inferscope.time_to_first_token")),
                     duration(trace.number("inferscope.time_per_output_token")), duration(seconds_of(trace)),
                     fit(trace.text("http.request.method"), 8), fit(trace.text("url.path"), 40),
                     trace.truth("inferscope.complete") ? "" : "  (incomplete)");
}

std::string trace_waterfall(std::string_view json, bool colour) {
  const JsonLine trace(json);
  if (!trace.valid()) return {};
  const double total = seconds_of(trace);
  const std::string outcome = trace.text("inferscope.outcome");
  std::string out = fmt::format(
      "trace {}  span {}{}\n{} {}  {}  {} {}\n{} (pid {}) {}:{} <- {}:{}\n\n", trace.text("trace_id"),
      trace.text("span_id"), trace.text("parent_span_id", "").empty() ? "" : "  parent " + trace.text("parent_span_id"),
      clock_time(trace.integer("start_time_unix_nano")), painted(outcome, colour_of_outcome(outcome), colour),
      fit(trace.text("gen_ai.response.model", trace.text("gen_ai.request.model")), 60),
      fit(trace.text("http.request.method"), 8), fit(trace.text("url.path"), 80),
      fit(trace.text("process.executable.name"), 40), trace.text("process.pid"), fit(trace.text("server.address"), 60),
      trace.text("server.port", ""), fit(trace.text("client.address"), 60), trace.text("client.port", ""));
  const auto first_byte = trace.number("inferscope.time_to_first_byte");
  const auto first_token = trace.number("inferscope.time_to_first_token");
  const auto tokens = trace.numbers("inferscope.token_times");
  out += phase("request", 0, total, total);
  out += engine_phases(trace, total);
  out += engine_steps(trace, total);
  if (first_byte) out += phase("first byte", 0, *first_byte, total);
  if (first_token) out += phase("first token", 0, *first_token, total);
  if (first_token && tokens.size() > 1) {
    out += phase("tokens", *first_token, tokens.back(), total);
    double slowest = 0;
    std::size_t where = 1;
    for (std::size_t i = 1; i < tokens.size(); ++i)
      if (tokens[i] - tokens[i - 1] > slowest) slowest = tokens[i] - tokens[i - 1], where = i;
    out += phase("slowest gap", tokens[where - 1], tokens[where], total);
    if (total - tokens.back() > 0) out += phase("after last", tokens.back(), total, total);
  }
  const auto row = [&out](const char* name, const std::string& value) {
    if (value != "-") out += fmt::format("  {:<22} {}\n", name, value);
  };
  out += "\n";
  row("why", trace.text("inferscope.explanation"));
  row("cause", trace.text("inferscope.cause.text"));
  out += delays_of(trace);
  if (const auto gpu = trace.number("inferscope.gpu.time"))
    row("GPU time", fmt::format("{} ({})", duration(gpu), trace.text("inferscope.gpu.attribution")));
  if (const std::string level = trace.text("inferscope.probe_level"); level != "-")
    row("GPU probes", level == "off" ? "off: they cost more than they may"
                                     : "waits only: all cost more than they may, so GPU time is what was waited for");
  if (trace.text("inferscope.probe_level.threads") == "off")
    row("thread probes", "off: all probes cost more than they may, so what the host did is not known");
  row("processor time", duration(trace.number("inferscope.cpu.time")));
  row("run-queue delay", duration(trace.number("inferscope.cpu.run_queue_delay")));
  row("input tokens", trace.text("gen_ai.usage.input_tokens"));
  row("output tokens", trace.text("gen_ai.usage.output_tokens"));
  row("counted from", trace.text("inferscope.token_count_source"));
  row("time per output token", duration(trace.number("inferscope.time_per_output_token")));
  row("HTTP status", trace.text("http.response.status_code"));
  row("error", trace.text("error.type"));
  row("response id", trace.text("gen_ai.response.id"));
  if (const std::string engine = trace.text("inferscope.engine.name"); engine != "-")
    row("engine", fmt::format("{} {}{}", engine, trace.text("inferscope.engine.request_id"),
                              trace.truth("inferscope.engine.complete") ? "" : ", of which messages were missed"));
  row("steps", trace.text("inferscope.engine.steps"));
  row("batch", batch_of(trace));
  row("preemptions", trace.text("inferscope.engine.preemptions"));
  if (const auto usage = trace.number("inferscope.engine.kv_cache_usage.max"))
    row("KV cache", fmt::format("{:.0f} % at most", *usage * 100));
  if (!trace.truth("inferscope.complete")) row("incomplete", trace.text("inferscope.lost"));
  return out;
}

bool is_inference(std::string_view json) {
  const JsonLine trace(json);
  return trace.valid() && trace.text("gen_ai.operation.name", "") != "";
}

}  // namespace inferscope::cli
