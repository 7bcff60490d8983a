// SPDX-License-Identifier: Apache-2.0
#include "correlate/engine_requests.h"

#include <algorithm>
#include <utility>

#include "correlate/engine_ids.h"
#include "model/time_math.h"

namespace inferscope::correlate {
namespace {

using Event = EngineUpdate::Event;

constexpr std::size_t preemptions_of_one_trace = 64;
constexpr std::size_t requests_looked_at = 4096;  ///< for one call
constexpr Duration sweep_interval = std::chrono::minutes{1};

template <class T, class Choose>
void merge(std::optional<T>& to, const std::optional<T>& from, Choose choose) {
  if (from) to = to ? choose(*to, *from) : *from;
}

constexpr auto earlier = [](const auto& a, const auto& b) { return std::min(a, b); };
constexpr auto later = [](const auto& a, const auto& b) { return std::max(a, b); };

void merge(EngineTimes& to, const EngineTimes& from) {
  ++to.requests;
  merge(to.queued, from.queued, earlier);
  merge(to.scheduled, from.scheduled, earlier);
  merge(to.first_token, from.first_token, earlier);
  merge(to.last_token, from.last_token, later);
  merge(to.kv_usage_max, from.kv_usage_max, later);
  merge(to.waiting_max, from.waiting_max, later);
  for (const Time time : from.preempted)
    if (to.preempted.size() < preemptions_of_one_trace) to.preempted.push_back(time);
  std::sort(to.preempted.begin(), to.preempted.end());
  to.preemptions += from.preemptions;
  to.output_tokens += from.output_tokens;
  if (from.steps > to.steps) {
    to.steps = from.steps;
    to.batch_sum = from.batch_sum;
  }
  to.batch_max = std::max(to.batch_max, from.batch_max);
  to.complete = to.complete && from.complete;
}

void note_event(EngineTimes& times, std::optional<Time>& added, const EngineUpdate::Occurrence& occurrence) {
  switch (occurrence.event) {
    case Event::added:
      added = occurrence.time;
      break;
    case Event::queued:
      if (!times.queued) times.queued = occurrence.time;
      break;
    case Event::scheduled:  // again after each preemption
      if (!times.scheduled) times.scheduled = occurrence.time;
      break;
    case Event::preempted:
      ++times.preemptions;
      if (times.preempted.size() < preemptions_of_one_trace) times.preempted.push_back(occurrence.time);
      break;
    case Event::aborted:
      break;
  }
}

void note_step(EngineTimes& times, const EngineUpdate::Step& step) {
  ++times.steps;
  times.batch_sum += step.size;
  times.batch_max = std::max(times.batch_max, step.size);
  merge(times.kv_usage_max, step.kv_usage, later);
  merge(times.waiting_max, step.waiting, later);
}

/// Whether the server can have handed a request over at that time to serve the call.
bool within(const RequestTrace& call, Time handed_over) {
  constexpr Duration tolerance = std::chrono::milliseconds{1};
  return elapsed(call.begin, handed_over) >= -tolerance && handed_over <= call.end;
}

/// What answers it is an engine's step.
bool was_answered(const RequestTrace& call) {
  return call.outcome == Outcome::ok || call.call.first_token;
}

}  // namespace

/// The requests of one call, put together.
class EngineRequests::OneCall {
 public:
  void add(const EngineId& id, const EngineTimes& times) {
    if (empty()) {
      prefix_ = id.prefix;
      sum_.engine = times.engine;
      sum_.request_id = times.request_id;
    }
    // Of a prompt there is one request for each choice, or a single one.
    const auto of_prompt = uniques_.lower_bound({id.prompt, {}});
    const bool another = of_prompt != uniques_.end() && of_prompt->first.first == id.prompt &&
                         of_prompt->first.second.empty() != id.choice.empty();
    const std::string_view unique = uniques_.try_emplace({id.prompt, id.choice}, id.unique).first->second;
    ambiguous_ = ambiguous_ || another || unique != id.unique || prefix_ != id.prefix;
    merge(sum_, times);
    // The choices of a prompt share its tokens.
    Prompt& prompt = prompts_[id.prompt];
    merge(prompt.tokens, times.prompt_tokens, later);
    merge(prompt.cached, times.cached_tokens, later);
  }
  void miss_some() { sum_.complete = false; }

  [[nodiscard]] bool empty() const { return sum_.requests == 0; }
  /// Nothing, too, if there are requests among them that cannot be of the same call.
  [[nodiscard]] std::optional<EngineTimes> times() const {
    if (empty() || ambiguous_) return std::nullopt;
    EngineTimes times = sum_;
    times.prompt_tokens = times.cached_tokens = 0;
    for (const auto& [number, prompt] : prompts_) {
      times.prompt_tokens = sum_of(times.prompt_tokens, prompt.tokens);
      times.cached_tokens = sum_of(times.cached_tokens, prompt.cached);
    }
    return times;
  }

 private:
  using Count = std::optional<std::uint64_t>;
  struct Prompt {
    Count tokens{};
    Count cached{};
  };

  /// Of what is not known of all, there is no sum.
  static Count sum_of(Count a, Count b) { return a && b ? Count(*a + *b) : std::nullopt; }

  std::string_view prefix_{};
  std::map<std::pair<std::string_view, std::string_view>, std::string_view> uniques_{};  ///< by prompt and choice
  std::map<std::string_view, Prompt> prompts_{};
  EngineTimes sum_{};
  bool ambiguous_ = false;
};

void EngineRequests::on(const EngineUpdate& update) {
  expire(update.time);
  // What the engine itself takes and gives is the other end of what its server gives and takes.
  if ((update.direction == Direction::sent) == update.step.has_value() && !update.engine.empty()) return;
  const bool lost = update.engine.empty() || (update.cut && update.step);
  if (lost) losses_[update.pid] = std::max(losses_[update.pid], update.time);
  for (const EngineUpdate::Request& request : update.requests) note(update, request);
}

void EngineRequests::note(const EngineUpdate& update, const EngineUpdate::Request& request) {
  const auto found = entry_of(update, request);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  if (entry.ended) return;
  entry.heard = update.time;
  EngineTimes& times = entry.times;
  bool ended = request.finished;
  for (const EngineUpdate::Occurrence& occurrence : request.occurrences) {
    note_event(times, entry.added, occurrence);
    ended = ended || occurrence.event == Event::aborted;
  }
  if (request.prompt_tokens) times.prompt_tokens = request.prompt_tokens;
  if (request.cached_tokens) times.cached_tokens = request.cached_tokens;
  const std::uint64_t tokens = request.tokens_so_far.value_or(times.output_tokens + request.new_tokens);
  if (tokens > times.output_tokens) {
    times.output_tokens = tokens;
    if (!times.first_token) times.first_token = update.time;
    times.last_token = update.time;
  }
  if (request.in_step && update.step) note_step(times, *update.step);
  if (!ended) return;
  times.complete = !missed_something(update.pid, entry);
  entry.ended = true;
  ended_.emplace(entry.heard, found->first);
}

EngineRequests::Entries::iterator EngineRequests::entry_of(const EngineUpdate& update,
                                                           const EngineUpdate::Request& request) {
  const auto fresh_entry = [&] {
    Entry entry{.first_heard = update.time, .heard = update.time};
    entry.times.engine = update.engine;
    entry.times.request_id = request.id;
    return entry;
  };
  if (request.id.find('\0') != std::string_view::npos) return entries_.end();
  Key key{update.pid, common_part(request.id)};
  key.second.append(1, '\0').append(request.id);
  const auto found = entries_.find(key);
  const bool begins = std::any_of(request.occurrences.begin(), request.occurrences.end(),
                                  [](const auto& one) { return one.event == Event::added; });
  if (found != entries_.end()) {
    // A client may use its id again.
    if (found->second.ended && begins) {
      ++in_;
      ++out_;
      ended_.erase({found->second.heard, found->first});
      found->second = fresh_entry();
    }
    return found;
  }
  if (!begins && !request.in_step) return found;
  ++in_;
  if (entries_.size() >= limits_.requests) {
    ++refused_;
    if (ended_.empty()) return entries_.end();
    entries_.erase(ended_.begin()->second);
    ended_.erase(ended_.begin());
  }
  return entries_.try_emplace(std::move(key), fresh_entry()).first;
}

bool EngineRequests::missed_something(Pid pid, const Entry& entry) const {
  if (!entry.added && !entry.times.queued) return true;  // it was there before it was heard of
  const auto loss = losses_.find(pid);
  return loss != losses_.end() && loss->second >= entry.first_heard;
}

std::optional<EngineTimes> EngineRequests::find(const RequestTrace& trace) const {
  if (trace.role == Role::client || entries_.empty()) return std::nullopt;
  OneCall call;
  const std::optional<std::string>& told = trace.call.response.id;
  const std::string_view given = find_header(trace.exchange.request.headers, "x-request-id");
  if (told) collect(trace, *told, false, call);
  // An id that was made of the given one has said more than that already.
  if (call.empty() && !(told && told->ends_with(given))) collect(trace, given, true, call);
  return call.times();
}

void EngineRequests::collect(const RequestTrace& trace, std::string_view id, bool prefixed, OneCall& call) const {
  // The byte that ends it in a key.
  if (id.empty() || id.find('\0') != std::string_view::npos) return;
  const Pid pid = trace.process.pid;
  std::size_t left = requests_looked_at;
  const auto take = [&](std::string_view part, char behind) {
    const std::string begin = std::string(part) + behind;
    for (auto it = entries_.lower_bound({pid, begin});
         it != entries_.end() && it->first.first == pid && it->first.second.starts_with(begin); ++it) {
      if (left == 0) return call.miss_some();
      --left;
      const Entry& entry = it->second;
      if (!within(trace, entry.first_heard)) continue;
      const auto parts = made_of(entry.times.request_id, id, prefixed);
      if (!parts) continue;
      EngineTimes times = entry.times;
      // By the server's own account it waited from when it was handed over, which is all that is known of some engines.
      if (!times.queued) times.queued = entry.added;
      if (!entry.ended) times.complete = !missed_something(pid, entry) && (times.steps > 0 || !was_answered(trace));
      call.add(*parts, times);
    }
  };
  // The server may have put a prefix in front of one that is there already.
  for (const std::string_view part : {common_part(id), id}) {
    for (const char behind : {'\0', '-'})
      if (call.empty() && left > 0) take(part, behind);
    if (!prefixed || part == id) break;
  }
}

void EngineRequests::expire(Time now) {
  while (!ended_.empty() && elapsed(ended_.begin()->first, now) > limits_.keep_ended) {
    entries_.erase(ended_.begin()->second);
    ended_.erase(ended_.begin());
    ++out_;
  }
  if (now < next_sweep_) return;
  next_sweep_ = Time{Duration{saturating_add(to_ns(now), sweep_interval.count())}};
  silent_ += std::erase_if(entries_, [&](const auto& entry) {
    return !entry.second.ended && elapsed(entry.second.heard, now) > limits_.keep_silent;
  });
  std::erase_if(losses_, [&](const auto& loss) { return elapsed(loss.second, now) > limits_.keep_silent; });
}

StageStats EngineRequests::stats() const {
  StageStats stats{.in = in_, .out = out_, .held = entries_.size()};
  stats.drop("limit", refused_);
  stats.drop("silent", silent_);
  return stats;
}

}  // namespace inferscope::correlate
