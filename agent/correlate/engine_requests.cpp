// SPDX-License-Identifier: Apache-2.0
#include "correlate/engine_requests.h"

#include <algorithm>
#include <array>

#include "model/time_math.h"

namespace inferscope::correlate {
namespace {

using Event = EngineUpdate::Event;

constexpr std::size_t preemptions_of_one_trace = 64;
constexpr std::size_t requests_of_one_call = 128;
constexpr Duration sweep_interval = std::chrono::minutes{1};

/// What servers put in front of an id for their clients.
constexpr std::array<std::string_view, 9> prefixes{"chatcmpl-", "cmpl-", "embd-", "pool-",    "score-",
                                                   "rerank-",   "resp_", "resp-", "classify-"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}

std::string_view without_prefix(std::string_view id) {
  for (const std::string_view prefix : prefixes)
    if (id.starts_with(prefix) && id.size() > prefix.size()) return id.substr(prefix.size());
  return id;
}

/// Without the number of a choice, "0_".
std::string_view without_choice(std::string_view id) {
  const std::size_t end = std::min(id.find_first_not_of("0123456789"), id.size());
  return end > 0 && end + 1 < id.size() && id[end] == '_' ? id.substr(end + 1) : id;
}

/// "-0", "-1a2b3c4d", or both: the number of a prompt, and eight digits that make an id unique.
bool is_suffix(std::string_view text) {
  constexpr std::size_t unique_digits = 8;
  constexpr std::size_t most_number_digits = 4;
  while (!text.empty()) {
    if (text[0] != '-') return false;
    text.remove_prefix(1);
    const std::string_view part = text.substr(0, text.find('-'));
    const bool number =
        !part.empty() && part.size() <= most_number_digits && std::all_of(part.begin(), part.end(), is_digit);
    const bool unique = part.size() == unique_digits && std::all_of(part.begin(), part.end(), is_hex);
    if (!number && !unique) return false;
    text.remove_prefix(part.size());
  }
  return true;
}

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
  merge(to.prompt_tokens, from.prompt_tokens, later);
  merge(to.cached_tokens, from.cached_tokens, later);
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

}  // namespace

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
  ended_.emplace_back(update.time, found->first);
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
  Key key{update.pid, without_prefix(without_choice(request.id))};
  key.second.append(1, '\0').append(request.id);
  const auto found = entries_.find(key);
  const bool begins = std::any_of(request.occurrences.begin(), request.occurrences.end(),
                                  [](const auto& one) { return one.event == Event::added; });
  if (found != entries_.end()) {
    // A client may use its id again.
    if (found->second.ended && begins) {
      ++in_;
      ++out_;
      found->second = fresh_entry();
    }
    return found;
  }
  if (!begins && !request.in_step) return found;
  ++in_;
  if (entries_.size() >= limits_.requests) {
    ++refused_;
    if (ended_.empty()) return entries_.end();
    const auto oldest = entries_.find(ended_.front().second);
    ended_.pop_front();
    if (oldest == entries_.end() || !oldest->second.ended) return entries_.end();
    entries_.erase(oldest);
  }
  return entries_.try_emplace(std::move(key), fresh_entry()).first;
}

bool EngineRequests::missed_something(Pid pid, const Entry& entry) const {
  if (!entry.added && !entry.times.queued) return true;  // it was there before it was heard of
  const auto loss = losses_.find(pid);
  return loss != losses_.end() && loss->second >= entry.first_heard;
}

std::optional<EngineTimes> EngineRequests::find(const RequestTrace& trace) const {
  std::optional<EngineTimes> found;
  if (trace.role == Role::client || entries_.empty()) return found;
  if (trace.call.response.id && collect(trace.process.pid, without_prefix(*trace.call.response.id), found))
    return found;
  collect(trace.process.pid, without_prefix(find_header(trace.exchange.request.headers, "x-request-id")), found);
  return found;
}

bool EngineRequests::collect(Pid pid, std::string_view id, std::optional<EngineTimes>& found) const {
  // The byte that ends it in a key.
  if (id.empty() || id.find('\0') != std::string_view::npos) return false;
  const auto take = [&](char behind) {
    const std::string begin = std::string(id) + behind;
    std::size_t count = 0;
    for (auto it = entries_.lower_bound({pid, begin});
         it != entries_.end() && it->first.first == pid && it->first.second.starts_with(begin) &&
         count < requests_of_one_call;
         ++it, ++count) {
      const std::string_view searched = std::string_view(it->first.second).substr(0, it->first.second.find('\0'));
      if (!is_suffix(searched.substr(id.size()))) continue;
      EngineTimes times = it->second.times;
      // By the server's own account it waited from when it was handed over, which is all that is known of some engines.
      if (!times.queued) times.queued = it->second.added;
      if (!it->second.ended) times.complete = !missed_something(pid, it->second);
      if (!found) found = EngineTimes{.engine = times.engine, .request_id = times.request_id};
      merge(*found, times);
    }
    return found.has_value();
  };
  return take('\0') || take('-');
}

void EngineRequests::expire(Time now) {
  while (!ended_.empty() && elapsed(ended_.front().first, now) > limits_.keep_ended) {
    const auto oldest = entries_.find(ended_.front().second);
    if (oldest != entries_.end() && oldest->second.ended && oldest->second.heard == ended_.front().first) {
      entries_.erase(oldest);
      ++out_;
    }
    ended_.pop_front();
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
