// SPDX-License-Identifier: Apache-2.0
// What an EngineServer charges its requests with.
#include <algorithm>
#include <utility>

#include "correlate/engine_server.h"
#include "correlate/scale.h"
#include "model/time_math.h"

namespace inferscope::correlate {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t departures_kept = 64;
/// So much later the host's sample tells of it.
constexpr Duration sample_delay = milliseconds(250);

}  // namespace

/// Puts the time up to `until` down as of one kind, but for what kept the thread from running.
void EngineServer::spend(Work& work, TimeKind kind, Time until, Tid tid) const {
  if (until <= work.told_until) return;
  Duration left = elapsed(work.told_until, until);
  std::vector<HostDelay> delays;
  if (tid != 0) threads_.collect(tid, work.told_until, until, delays);
  for (const HostDelay& delay : delays) {
    const Duration time = std::min(left, delay.time);
    work.ledger.add(delay, time);
    left -= time;
  }
  work.ledger.add(TimePart{.kind = kind, .time = left});
  work.told_until = until;
}

/// What no turn accounts for.
void EngineServer::catch_up(Work& work, Time until) const {
  const auto stage = [&](TimeKind kind, const std::optional<Time>& end, Tid tid) {
    spend(work, kind, std::min(until, end.value_or(until)), tid);
  };
  const Tid loop = loop_.value_or(0);
  stage(TimeKind::receive, work.ready, 0);
  if (!work.ready) return;
  stage(TimeKind::intake, work.handed.value_or(*work.ready), work.tid);
  stage(TimeKind::queue, work.started, loop);
  if (!work.started) return;
  if (work.streams) stage(TimeKind::prefill, work.first, loop);
  stage(TimeKind::decode, std::nullopt, loop);
}

void EngineServer::charge(Work& work, const Turn& turn, const Amounts& share) const {
  const Time end = turn.step.end;
  const bool member = work.started && *work.started < end;
  if (!member && is_taking_in(work, end)) return;
  const Time handed = work.handed.value_or(*work.ready);
  const Time from = std::max(turn.step.begin, member ? *work.started : handed);
  if (from >= end) return;
  catch_up(work, from);
  Duration left = elapsed(work.told_until, end);
  for (const HostDelay& delay : turn.delays) {
    // It spreads over the turn, of which this request may have seen a part only.
    const Time begin = std::max(delay.begin, work.told_until);
    if (begin >= delay.end) continue;
    const double seen = to_seconds(elapsed(begin, delay.end)) / to_seconds(elapsed(delay.begin, delay.end));
    const Duration time = std::min(left, scaled(delay.time, seen));
    work.ledger.add(delay, time);
    left -= time;
  }
  const auto take = [&](TimePart part) {
    part.time = std::min(part.time, left);
    left -= part.time;
    work.ledger.add(std::move(part));
  };
  take({.kind = TimeKind::gpu_stall, .time = turn.gpu_stall});
  take({.kind = TimeKind::launch_gap, .time = turn.launch_gap});
  TimePart other = turn.prompts[turn.prompts[0].request == work.name ? 1 : 0];
  const Weight weight = weight_of(work, end);
  if (!member) {
    if (other.tokens > 0) {
      other.time = left;
      take(other);
    }
    take({.kind = TimeKind::queue, .time = left});
  } else if (weight.prefill > 0) {
    other.time = scaled(left, (turn.weight.prefill - weight.prefill) / turn.weight.all);
    take(other);
    take({.kind = TimeKind::prefill, .time = left});
  } else {
    if (other.tokens > 0) {
      const auto usual = decode_time_.value(turn.step.members);
      const Duration own = usual ? from_seconds(*usual) : scaled(left, 1 - turn.weight.prefill / turn.weight.all);
      other.time = left - std::min(left, own);
      take(other);
    }
    take({.kind = TimeKind::decode, .time = left});
  }
  work.told_until = end;
  if (!member) return;
  ++work.turns;
  work.ledger.add(turn.step);
  work.shares += share;
  work.gpu_seen = work.gpu_seen || turn.gpu_seen;
  work.shared = work.shared || turn.step.members > 1;
}

/// What its thread did, as far as that is told. A thread that serves several does it for all of them.
void EngineServer::account_sender(Work& work, Time until) const {
  until = std::min(until, threads_.heard(work.tid));
  if (!work.ready || until <= work.sender_until) return;
  std::vector<HostDelay> delays;
  const Duration ran = threads_.collect(work.tid, work.sender_until, until, delays);
  const auto served = senders_.find(work.tid);
  work.sender_ran += ran / static_cast<std::int64_t>(served == senders_.end() ? 1 : served->second);
  work.unread += threads_.waited_to_send(work.tid, work.sender_until, until);
  work.sender_until = until;
}

std::optional<EngineServer::Departed> EngineServer::charge_open_turn(Work& work) const {
  const auto end = last_mark(work);
  if (!end || !work.ready) return std::nullopt;
  Standing before = standing();
  start(work, *end, before);
  if (!work.started || *work.started >= *end) return std::nullopt;
  const Time begin = before.busy ? *turn_end() : *work.started;
  if (begin >= *end) return std::nullopt;
  Turn turn = turn_of(begin, *end, gpu_.peek(begin, *end));
  Departed gone{*work.started, weight_of(work, *end), {}};
  if (const Work* known = find(work.key); !known->started) turn.join(gone.weight);  // `work` is a copy of it
  const auto part = [&](Duration amount) {
    return turn.weight.all <= gone.weight.all ? amount : scaled(amount, gone.weight.all / turn.weight.all);
  };
  gone.told = {part(turn.total.time), part(turn.total.gpu), part(turn.total.cpu)};
  charge(work, turn, gone.told);
  if (!work.first) work.first = *end;
  work.last = *end;
  return gone;
}

Explanation EngineServer::tell(Work work, Time end) const {
  hand_over(work);
  account_sender(work, end);
  if (work.last) {
    catch_up(work, std::min(*work.last, end));
    spend(work, TimeKind::deliver, end, work.tid);
  }
  catch_up(work, end);
  Duration unread = work.unread;
  for (const TimeKind kind : {TimeKind::deliver, TimeKind::decode, TimeKind::prefill}) {
    const Duration part = std::min(unread, work.ledger.total(kind));
    work.ledger.move(kind, TimeKind::slow_reader, part);
    unread -= part;
  }
  Duration throttled{};
  for (const auto& [time, amount] : throttled_)
    if (time > work.begin && elapsed(end, time) < sample_delay) throttled += amount;
  work.ledger.move(TimeKind::run_queue, TimeKind::throttled,
                   std::min(throttled, work.ledger.total(TimeKind::run_queue)));

  Explanation out;
  out.handed_over = work.handed;
  out.started = work.started;
  out.first_token = work.streams ? work.first : std::nullopt;
  out.last_token = work.last;
  work.ledger.tell(out);
  out.shared = work.shared;
  out.step_time = work.shares.time;
  out.probes = work.probes.level;
  out.threads = work.probes.threads;
  // Of what there was no room for nobody knows what it would have told.
  const Time lost =
      std::max({threads_.lost_until(loop_.value_or(0)), threads_.lost_until(work.tid), gpu_.lost_until()});
  out.complete = work.complete && lost <= work.begin;
  if (work.gpu_seen) out.gpu_time = work.shares.gpu;
  if (!loop_) return out;
  out.cpu_time = work.shares.cpu + work.sender_ran;
  out.run_queue_delay = work.ledger.total(TimeKind::run_queue);
  return out;
}

std::optional<Explanation> EngineServer::explain(ExchangeKey key, Time now) const {
  const Work* work = find(key);
  if (!work || !has_facts()) return std::nullopt;
  Work copy = *work;
  (void)charge_open_turn(copy);
  return tell(std::move(copy), now);
}

std::optional<Explanation> EngineServer::close(ExchangeKey key, const CallUpdate& update, Time end) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  Work& work = *found->second;
  // What does not stream is told as a whole.
  if (work.ready && !work.last && work.open_mark == 0 && update.exchange.response.begin)
    mark(work, work.tid, std::max(*work.ready, *update.exchange.response.begin));
  if (const auto departed = charge_open_turn(work)) {
    totals_.shares += departed->told;
    departed_.push_back(*departed);
  }
  if (work.last) departures_.push_back(*work.last);
  if (departures_.size() > departures_kept) departures_.pop_front();
  const auto& usage = update.call.usage;
  if (usage.input_tokens && *usage.input_tokens > 0 && work.prompt_bytes > 0)
    bytes_per_token_.add(static_cast<double>(work.prompt_bytes) / static_cast<double>(*usage.input_tokens));
  std::optional<Explanation> out;
  if (has_facts()) out = tell(work, end);
  if (const auto served = senders_.find(work.tid); --served->second == 0) senders_.erase(served);
  works_.erase(found->second);
  by_key_.erase(found);
  return out;
}

}  // namespace inferscope::correlate
