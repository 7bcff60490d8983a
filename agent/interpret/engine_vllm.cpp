// SPDX-License-Identifier: Apache-2.0
// vLLM V1 (0.8 and later): its API server and its EngineCore. Messages are msgspec structures as arrays, of which
// defaults at the end may be missing (that too depends on the version); structures inside are arrays or maps by name.
//   server → core: one byte, then for 0 (add) [request_id, prompt_token_ids, …], for 1 (abort) [request_id, …]
//   core → server: [engine_index, [output, …], scheduler_stats, timestamp, utility_output, finished_requests, …]
//   output: [request_id, new_token_ids, …, finish_reason, stop_reason, events, …, num_cached_tokens or prefill_stats,
//   …]
// What stands between differs by version and is told by its type.
#include <chrono>

#include "interpret/engines.h"

namespace inferscope::interpret {
namespace {

using Kind = Packed::Kind;
using Event = EngineUpdate::Event;

// Places in an output.
constexpr std::size_t first_finish_reason = 4;
constexpr std::size_t last_finish_reason = 5;
constexpr std::size_t first_cached_count = 9;
constexpr std::size_t last_cached_count = 10;
constexpr std::int64_t most_finish_reason = 15;
/// Places of outputs among the values of a message from the core.
constexpr std::size_t last_outputs_place = 1;
/// A request may have waited for long before it is told of, and a step may take long to be told.
constexpr Duration longest_ago = std::chrono::hours(1);
/// In front of a message to the core: 0 add, 1 abort; the others (a wave of all cores, a call of a function …) tell of
/// no request.
constexpr char last_type = 5;

bool is_ids(const Packed& array, const PackedReader& reader) {
  if (!array.is(Kind::array)) return false;
  for (const Packed* id = reader.first(array); id != nullptr; id = reader.next(*id))
    if (!is_request_id(id)) return false;
  return true;
}

bool read_add(const Packed& root, const PackedReader& reader, EngineUpdate& update) {
  const Packed* id = reader.first(root);
  if (!is_request_id(id)) return false;
  const Packed* prompt = reader.next(*id);
  if (prompt != nullptr && !prompt->is(Kind::array) && !prompt->is(Kind::nil)) return false;
  EngineUpdate::Request& request = update.requests.emplace_back();
  request.id = id->content;
  request.occurrences.push_back({Event::added, update.time});
  if (prompt != nullptr && prompt->is(Kind::array)) request.prompt_tokens = prompt->size;
  return true;
}

bool read_abort(const Packed& root, const PackedReader& reader, EngineUpdate& update) {
  if (!is_ids(root, reader) || root.size == 0) return false;
  for (const Packed* id = reader.first(root); id != nullptr; id = reader.next(*id)) {
    EngineUpdate::Request& request = update.requests.emplace_back();
    request.id = id->content;
    request.occurrences.push_back({Event::aborted, update.time});
  }
  return true;
}

/// When a message moved, and whether the engine's clock is believed in it. What else it says of times is then not
/// believed, either: times of two clocks give durations that never were.
struct Clock {
  Time message{};
  bool is_believed = true;

  [[nodiscard]] std::optional<Time> time_of(double seconds) const {
    return is_believed ? believed(seconds, message, longest_ago) : std::nullopt;
  }
};

/// Each {type, timestamp}: 1 queued, 2 scheduled, 3 preempted. Of the first two only the time is of interest; the last
/// is counted, too.
void read_events(const Packed& events, const PackedReader& reader, EngineUpdate::Request& request, const Clock& clock) {
  for (const Packed* event = reader.first(events); event != nullptr; event = reader.next(*event)) {
    const auto type = reader.count_member(*event, "type");
    const Packed* timestamp = reader.member(*event, "timestamp");
    if (!type || *type < 1 || *type > 3 || timestamp == nullptr) continue;
    const Event what = *type == 1 ? Event::queued : *type == 2 ? Event::scheduled : Event::preempted;
    const auto time = clock.time_of(timestamp->real);
    if (time || what == Event::preempted) request.occurrences.push_back({what, time.value_or(clock.message)});
  }
}

bool is_events(const Packed& value, const PackedReader& reader) {
  const Packed* event = value.is(Kind::array) ? reader.first(value) : nullptr;
  return event != nullptr && reader.member(*event, "timestamp") != nullptr;
}

void read_rest(const Packed& output, const PackedReader& reader, EngineUpdate::Request& request, const Clock& clock) {
  std::size_t place = first_finish_reason;
  const Packed* value = reader.element(output, place);
  for (; value != nullptr; value = reader.next(*value), ++place) {
    if (value->is(Kind::integer)) {
      const bool may_be_reason = value->integer >= 0 && value->integer <= most_finish_reason;
      if (place <= last_finish_reason && may_be_reason) request.finished = true;
      // Another count may follow.
      if (place >= first_cached_count && place <= last_cached_count && !request.cached_tokens)
        request.cached_tokens = count_of(*value);
    } else if (is_events(*value, reader)) {
      read_events(*value, reader, request, clock);
    } else if (const auto prompt = reader.count_member(*value, "num_prompt_tokens")) {
      request.prompt_tokens = prompt;
      request.cached_tokens = reader.count_member(*value, "num_cached_tokens");
    }
  }
}

bool read_output(const Packed& output, const PackedReader& reader, EngineUpdate& update, const Clock& clock) {
  const Packed* id = output.is(Kind::array) ? reader.first(output) : nullptr;
  const Packed* tokens = id != nullptr && is_request_id(id) ? reader.next(*id) : nullptr;
  if (tokens == nullptr || !tokens->is(Kind::array)) return false;
  EngineUpdate::Request& request = update.requests.emplace_back();
  request.id = id->content;
  request.new_tokens = tokens->size;
  request.in_step = true;
  read_rest(output, reader, request, clock);
  return true;
}

bool read_stats(const Packed& stats, const PackedReader& reader, EngineUpdate::Step& step) {
  step.running = reader.count_member(stats, "num_running_reqs");
  step.waiting = reader.count_member(stats, "num_waiting_reqs");
  for (const std::string_view name : {"kv_cache_usage", "gpu_cache_usage"}) {
    const Packed* usage = reader.member(stats, name);
    if (usage != nullptr && usage->real >= 0 && usage->real <= 1) step.kv_usage = usage->real;
  }
  return step.running || step.waiting;
}

/// Where the engine says when it was done with the step.
const Packed* timestamp_behind(const Packed& outputs, const PackedReader& reader) {
  const Packed* value = reader.next(outputs);
  while (value != nullptr && !value->is(Kind::real)) value = reader.next(*value);
  return value;
}

Reading read_outputs(const Packed& root, const PackedReader& reader, EngineUpdate& update) {
  const Packed* outputs = nullptr;
  std::size_t place = 0;
  for (const Packed* value = reader.first(root); value != nullptr && place <= last_outputs_place && outputs == nullptr;
       value = reader.next(*value), ++place)
    if (value->is(Kind::array)) outputs = value;
  if (outputs == nullptr) return Reading::foreign;
  Clock clock{.message = update.time};
  const Packed* timestamp = timestamp_behind(*outputs, reader);
  if (timestamp != nullptr) {
    const auto time = clock.time_of(timestamp->real);
    clock.is_believed = time.has_value();
    if (time) update.time = *time;
  }
  for (const Packed* output = reader.first(*outputs); output != nullptr; output = reader.next(*output))
    if (!read_output(*output, reader, update, clock) && output->whole) return Reading::foreign;
  EngineUpdate::Step step{.size = outputs->size};
  bool told = outputs->size > 0;
  for (const Packed* value = reader.next(*outputs); value != nullptr; value = reader.next(*value)) {
    if (value->is(Kind::map) && read_stats(*value, reader, step)) {
      told = true;
    } else if (value->is(Kind::array) && value->size > 0 && is_ids(*value, reader)) {
      told = true;
      for (const Packed* id = reader.first(*value); id != nullptr; id = reader.next(*id))
        update.requests.push_back({.id = id->content, .finished = true});
    }
  }
  update.step = step;
  if (told) return Reading::work;
  return timestamp != nullptr ? Reading::control : Reading::foreign;  // the answer to a call of a function …
}

Reading read(const PeerMessage& message, const Packed& root, const PackedReader& reader, EngineUpdate& update) {
  if (!root.is(Kind::array)) return Reading::foreign;
  if (message.frames.size() < 2 || message.frames[0].content.size() != 1) return read_outputs(root, reader, update);
  const char type = message.frames[0].content[0];
  if (type == 0) return read_add(root, reader, update) ? Reading::work : Reading::foreign;
  if (type == 1) return read_abort(root, reader, update) ? Reading::work : Reading::foreign;
  return type > 1 && type <= last_type ? Reading::control : Reading::foreign;
}

}  // namespace

const Engine vllm_engine{"vllm", read};

}  // namespace inferscope::interpret
