// SPDX-License-Identifier: Apache-2.0
#include "model/explanation.h"

#include <fmt/format.h>

#include <array>

#include "model/text.h"
#include "model/time_math.h"
#include "model/trace_attributes.h"

namespace inferscope {
namespace {

constexpr double weighty_share = 0.05;
constexpr std::size_t parts_told = 4;

constexpr std::array<std::string_view, time_kinds> kind_names{
    "receive",   "intake",     "queue", "prefill",        "decode",    "deliver",    "head_of_line", "run_queue",
    "throttled", "page_fault", "disk",  "memory_reclaim", "gpu_stall", "launch_gap", "slow_reader"};

constexpr std::array<std::string_view, time_kinds> phrases{"receiving the request",
                                                           "taking it in",
                                                           "waiting for a place in the batch",
                                                           "prefill",
                                                           "decode",
                                                           "after the last token",
                                                           "waiting behind the prompt of",
                                                           "run-queue delay",
                                                           "held by its cgroup's processor quota",
                                                           "page faults from disk",
                                                           "waiting for a disk",
                                                           "memory reclaim",
                                                           "stalled GPU",
                                                           "gaps between launches to the GPU",
                                                           "waiting for the client to read"};

std::string seconds(Duration time) {
  const double value = to_seconds(time);
  if (value < 0.00995) return fmt::format("{:.1f} ms", value * 1e3);
  if (value < 0.9995) return fmt::format("{:.0f} ms", value * 1e3);
  return fmt::format("{:.1f} s", value);
}

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

Duration sum_of(const std::vector<TimePart>& parts) {
  Duration sum{};
  for (const TimePart& part : parts) sum += part.time;
  return sum;
}

}  // namespace

const TimePart* Explanation::cause() const {
  for (const TimePart& part : parts)
    if (is_delay(part.kind))
      return to_seconds(part.time) >= weighty_share * to_seconds(sum_of(parts)) ? &part : nullptr;
  return nullptr;
}

std::string_view name_of(TimeKind kind) {
  return kind_names[static_cast<std::size_t>(kind)];
}

std::string_view name_of(EngineStep::Kind kind) {
  constexpr std::array<std::string_view, 3> names{"prefill", "decode", "mixed"};
  return names[static_cast<std::size_t>(kind)];
}

std::string describe(const TimePart& part) {
  std::string text = fmt::format("{} {}", seconds(part.time), phrases[static_cast<std::size_t>(part.kind)]);
  if (part.kind == TimeKind::head_of_line) {
    text += part.request == RequestName{} ? " others" : " request " + hex(part.request.trace_id).substr(0, 8);
    if (part.tokens > 0) text += fmt::format(" (about {} tokens)", grouped(part.tokens));
  }
  if (part.pid != 0) text += fmt::format(", most behind {} (pid {})", clean_text(part.name, 64), part.pid);
  return text;
}

std::string describe(const DelayMark& mark) {
  return describe(
      TimePart{.kind = mark.kind, .time = elapsed(mark.begin, mark.end), .pid = mark.pid, .name = mark.name});
}

std::string describe(const Explanation& explanation) {
  std::string text = seconds(sum_of(explanation.parts));
  Duration told{};
  for (std::size_t i = 0; i < explanation.parts.size() && i < parts_told; ++i) {
    const TimePart& part = explanation.parts[i];
    if (part.time < std::chrono::microseconds(100)) break;
    text += (i == 0 ? ": " : ", ") + describe(part);
    told += part.time;
  }
  const Duration rest = sum_of(explanation.parts) - told;
  if (told > Duration::zero() && to_seconds(rest) > weighty_share * to_seconds(told))
    text += ", " + seconds(rest) + " else";
  return text;
}

}  // namespace inferscope
