// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.h"
#include "model/connection.h"
#include "model/gpu_work.h"

namespace inferscope {

/// What a request's time went to. The first six are its way through the server; the others are what kept it.
enum class TimeKind : std::uint8_t {
  receive,       ///< the client sent the request
  intake,        ///< the server read, parsed and tokenised it, until it was handed to the engine
  queue,         ///< it waited for its place in the batch, behind steps that had begun or requests that were before it
  prefill,       ///< its prompt
  decode,        ///< its tokens
  deliver,       ///< after its last token was made
  head_of_line,  ///< another request's prompt was worked on
  run_queue,     ///< the thread that works on it was ready to run, and others had its processor
  throttled,     ///< its cgroup had used up its processor quota
  page_fault,    ///< what it touched had to come from a disk
  disk,          ///< it waited for a disk in a system call
  memory_reclaim,  ///< the kernel looked for memory on its time
  gpu_stall,       ///< the GPU took longer than for the like
  launch_gap,      ///< the GPU had nothing to do, longer than usual, since the host handed it nothing
  slow_reader,     ///< the client did not take what was sent
};
constexpr std::size_t time_kinds = 15;

/// It is not the request's own way through the server.
constexpr bool is_delay(TimeKind kind) {
  return kind >= TimeKind::head_of_line;
}

/// A request, by its trace and its HTTP span.
struct RequestName {
  std::array<std::uint8_t, 16> trace_id{};
  std::array<std::uint8_t, 8> span_id{};

  bool operator==(const RequestName&) const = default;
};

/// A part of a request's time. The parts add up to its whole duration.
struct TimePart {
  TimeKind kind{};
  Duration time{};
  // Whoever had the most of it:
  Pid pid = 0;               ///< run_queue: who had the processor; 0: nobody, or not known
  std::string name{};        ///< its name
  RequestName request{};     ///< head_of_line: whose prompt it was; zeros: not known
  std::uint64_t tokens = 0;  ///< head_of_line: about so many that prompt has; 0: not known
};

/// One turn of an engine's loop, in which all that are in the batch get their next token or some of their prompt done.
struct EngineStep {
  enum class Kind : std::uint8_t { prefill, decode, mixed };

  Kind kind{};
  Time begin{};
  Time end{};
  std::uint32_t members = 0;
  Duration gpu{};  ///< that GPUs were busy in it, summed over them
};

/// A delay of note, at its place in time.
struct DelayMark {
  TimeKind kind{};
  Time begin{};
  Time end{};
  Pid pid = 0;
  std::string name{};
};

/// Where a request's time went. Absent is "not seen".
struct Explanation {
  static constexpr std::size_t steps_kept = 64;
  static constexpr std::size_t marks_kept = 32;
  static constexpr std::size_t blockers_kept = 8;

  std::optional<Time> handed_over{};  ///< to the engine
  std::optional<Time> started{};      ///< its first step began
  std::optional<Time> first_token{};  ///< made, before it was sent
  std::optional<Time> last_token{};

  std::vector<TimePart> parts{};     ///< one of each kind, longest first
  std::vector<TimePart> blockers{};  ///< whose prompts were before it, likewise, as far as there is room
  std::uint64_t steps_total = 0;
  std::vector<EngineStep> steps{};  ///< the longest ones, in order of time
  std::vector<DelayMark> marks{};   ///< likewise

  bool shared = false;                        ///< others were in one of its steps
  Duration step_time{};                       ///< its share of its steps
  std::optional<Duration> gpu_time{};         ///< its share of what GPUs did in its steps
  std::optional<Duration> cpu_time{};         ///< of the engine's loop, likewise, and all of the thread that serves it
  std::optional<Duration> run_queue_delay{};  ///< of both threads, as far as it held the request up
  /// The least detail meanwhile. From `waits` on the GPUs' time is what was waited for, at least, and gaps between
  /// launches were not seen.
  ProbeLevel::Level probes = ProbeLevel::Level::full;
  bool threads = true;   ///< what threads did was told, all the time
  bool complete = true;  ///< no bound was reached and nothing was missed

  /// The longest of what kept it from being served, if it is of weight: a twentieth of the whole time.
  [[nodiscard]] const TimePart* cause() const;
};

/// "receive", "intake", "queue" …
std::string_view name_of(TimeKind kind);
/// "prefill", "decode", "mixed".
std::string_view name_of(EngineStep::Kind kind);
/// "2.9 s waiting behind the prompt of request 7f3a (8,192 tokens)", for people.
std::string describe(const TimePart& part);
std::string describe(const DelayMark& mark);
/// All that matters of it in one line: "3.4 s: 2.9 s waiting behind …, 0.4 s decode".
std::string describe(const Explanation& explanation);

}  // namespace inferscope
