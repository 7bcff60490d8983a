// SPDX-License-Identifier: Apache-2.0
#include "cli/trace_view.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <optional>
#include <vector>

#include "model/text.h"
#include "model/time_math.h"

namespace inferscope::cli {
namespace {

constexpr int bar_width = 50;
constexpr std::size_t shown_bytes = 4096;

/// A trace's JSON with the look-ups that both views need.
class Trace {
 public:
  explicit Trace(std::string_view json) {
    document_.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
    valid_ = !document_.HasParseError() && document_.IsObject();
  }
  [[nodiscard]] bool valid() const { return valid_; }

  [[nodiscard]] std::string text(std::string_view key, const std::string& otherwise = "-") const {
    const auto* value = find(key);
    if (!value) return otherwise;
    // Terminals obey what they are sent, and a model's name may come from anybody.
    if (value->IsString()) return clean_text({value->GetString(), value->GetStringLength()}, shown_bytes);
    if (value->IsInt64()) return std::to_string(value->GetInt64());
    return otherwise;
  }
  [[nodiscard]] std::optional<double> number(std::string_view key) const {
    const auto* value = find(key);
    return value && value->IsNumber() ? std::optional(value->GetDouble()) : std::nullopt;
  }
  [[nodiscard]] std::int64_t integer(std::string_view key) const {
    const auto* value = find(key);
    return value && value->IsInt64() ? value->GetInt64() : 0;
  }
  [[nodiscard]] bool truth(std::string_view key) const {
    const auto* value = find(key);
    return value && value->IsBool() && value->GetBool();
  }
  [[nodiscard]] std::vector<double> numbers(std::string_view key) const {
    std::vector<double> out;
    const auto* value = find(key);
    if (value && value->IsArray())
      for (const auto& one : value->GetArray())
        if (one.IsNumber()) out.push_back(one.GetDouble());
    return out;
  }
  [[nodiscard]] double seconds() const {
    return to_seconds(
        elapsed(Time{Duration{integer("start_time_unix_nano")}}, Time{Duration{integer("end_time_unix_nano")}}));
  }

 private:
  [[nodiscard]] const rapidjson::Value* find(std::string_view key) const {
    const auto found = document_.FindMember(rapidjson::Value(rapidjson::StringRef(key.data(), key.size())));
    return found == document_.MemberEnd() ? nullptr : &found->value;
  }

  rapidjson::Document document_{};
  bool valid_ = false;
};

/// Cut to `width` characters, not bytes: a character cut in half would spoil the line.
std::string fit(const std::string& text, std::size_t width) {
  const auto begins_character = [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80; };
  std::size_t characters = 0, last = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!begins_character(text[i])) continue;
    if (++characters == width) last = i;
    if (characters > width) return text.substr(0, last) + "~";
  }
  return text;
}

std::string duration(std::optional<double> seconds) {
  if (!seconds) return "-";
  if (*seconds < 0.01) return fmt::format("{:.2f}ms", *seconds * 1e3);
  if (*seconds < 10) return fmt::format("{:.1f}ms", *seconds * 1e3);
  return fmt::format("{:.1f}s", *seconds);
}

std::string clock_time(std::int64_t unix_ns) {
  const std::time_t seconds = unix_ns / 1'000'000'000;
  std::tm local{};
  localtime_r(&seconds, &local);
  return fmt::format("{:%H:%M:%S}.{:03}", local, unix_ns / 1'000'000 % 1000);
}

const char* colour_of(const std::string& outcome) {
  if (outcome == "ok") return "\x1b[32m";
  if (outcome == "error") return "\x1b[31m";
  return "\x1b[33m";
}

std::string painted(const std::string& text, const char* code, bool colour) {
  return colour ? std::string(code) + text + "\x1b[0m" : text;
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

}  // namespace

std::string trace_heading() {
  return fmt::format("{:<12} {:<8} {:<18} {:<20} {:<16} {:>6} {:>6} {:>9} {:>8} {:>9}  {}", "TIME", "TRACE", "PROCESS",
                     "MODEL", "OUTCOME", "IN", "OUT", "TTFT", "TPOT", "TOTAL", "REQUEST");
}

std::string trace_row(std::string_view json, bool colour) {
  const Trace trace(json);
  if (!trace.valid()) return {};
  const std::string outcome = trace.text("inferscope.outcome");
  const std::string status = trace.text("http.response.status_code", "");
  const std::string shown = fmt::format("{:<16}", outcome == "ok" || status.empty() ? outcome : outcome + " " + status);
  return fmt::format("{:<12} {:<8} {:<18} {:<20} {} {:>6} {:>6} {:>9} {:>8} {:>9}  {} {}{}",
                     clock_time(trace.integer("start_time_unix_nano")), trace.text("trace_id").substr(0, 8),
                     fit(fmt::format("{}/{}", trace.text("process.executable.name"), trace.text("process.pid")), 18),
                     fit(trace.text("gen_ai.response.model", trace.text("gen_ai.request.model")), 20),
                     painted(shown, colour_of(outcome), colour), trace.text("gen_ai.usage.input_tokens"),
                     trace.text("gen_ai.usage.output_tokens"), duration(trace.number("inferscope.time_to_first_token")),
                     duration(trace.number("inferscope.time_per_output_token")), duration(trace.seconds()),
                     fit(trace.text("http.request.method"), 8), fit(trace.text("url.path"), 40),
                     trace.truth("inferscope.complete") ? "" : "  (incomplete)");
}

std::string trace_waterfall(std::string_view json, bool colour) {
  const Trace trace(json);
  if (!trace.valid()) return {};
  const double total = trace.seconds();
  const std::string outcome = trace.text("inferscope.outcome");
  std::string out = fmt::format(
      "trace {}  span {}{}\n{} {}  {}  {} {}\n{} (pid {}) {}:{} <- {}:{}\n\n", trace.text("trace_id"),
      trace.text("span_id"), trace.text("parent_span_id", "").empty() ? "" : "  parent " + trace.text("parent_span_id"),
      clock_time(trace.integer("start_time_unix_nano")), painted(outcome, colour_of(outcome), colour),
      fit(trace.text("gen_ai.response.model", trace.text("gen_ai.request.model")), 60),
      fit(trace.text("http.request.method"), 8), fit(trace.text("url.path"), 80),
      fit(trace.text("process.executable.name"), 40), trace.text("process.pid"), fit(trace.text("server.address"), 60),
      trace.text("server.port", ""), fit(trace.text("client.address"), 60), trace.text("client.port", ""));
  const auto first_byte = trace.number("inferscope.time_to_first_byte");
  const auto first_token = trace.number("inferscope.time_to_first_token");
  const auto tokens = trace.numbers("inferscope.token_times");
  out += phase("request", 0, total, total);
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
  row("input tokens", trace.text("gen_ai.usage.input_tokens"));
  row("output tokens", trace.text("gen_ai.usage.output_tokens"));
  row("counted from", trace.text("inferscope.token_count_source"));
  row("time per output token", duration(trace.number("inferscope.time_per_output_token")));
  row("HTTP status", trace.text("http.response.status_code"));
  row("error", trace.text("error.type"));
  row("response id", trace.text("gen_ai.response.id"));
  if (!trace.truth("inferscope.complete")) row("incomplete", trace.text("inferscope.lost"));
  return out;
}

bool is_inference(std::string_view json) {
  const Trace trace(json);
  return trace.valid() && trace.text("gen_ai.operation.name", "") != "";
}

}  // namespace inferscope::cli
