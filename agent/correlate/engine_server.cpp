// SPDX-License-Identifier: Apache-2.0
#include "correlate/engine_server.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "correlate/scale.h"
#include "model/time_math.h"

namespace inferscope::correlate {
namespace {

using std::chrono::milliseconds;

constexpr int most_votes = 16;
constexpr double usual_bytes_per_token = 4;
constexpr Duration gap_between_turns = milliseconds(5);  ///< while it is not known what is usual
constexpr Duration least_gap = std::chrono::microseconds(200);
constexpr Duration keep_facts = std::chrono::minutes(10);
constexpr std::size_t samples_kept = 4096;
constexpr std::size_t wakes_kept = 4096;
constexpr std::size_t turn_ends_kept = 1024;
/// What is looked for at once in a turn of which the GPU's usual times are known. More than double: a token that its
/// server holds back, since it is half a character, makes two turns look like one.
constexpr double telling_factor = 2.25;
constexpr Duration telling_excess = milliseconds(5);
/// Prompts are worked on in chunks of at least so many tokens.
constexpr std::uint64_t least_chunk = 1024;
constexpr std::uint64_t turns_of_grace = 3;

/// Splits an amount by weights so that the parts add up to it.
class Split {
 public:
  Split(Duration amount, double weight) : amount_(amount), weight_(weight) {}
  Duration next(double weight) {
    used_ += weight;
    const Duration until = used_ >= weight_ ? amount_ : scaled(amount_, used_ / weight_);
    const Duration part = until - told_;
    told_ = until;
    return part;
  }

 private:
  Duration amount_;
  double weight_;
  double used_ = 0;
  Duration told_{};
};

}  // namespace

std::optional<double> EngineServer::UsualTurn::nearest(std::size_t members, bool smaller_grow) const {
  const std::size_t wanted = bucket(members);
  for (std::size_t away = 0; away < buckets; ++away) {
    if (away <= wanted)
      if (const auto value = values_[wanted - away].value()) {
        const std::size_t known = std::max<std::size_t>(1, wanted - away);
        return smaller_grow && away > 0 ? *value * static_cast<double>(wanted) / static_cast<double>(known) : *value;
      }
    if (wanted + away < buckets)
      if (const auto value = values_[wanted + away].value()) return value;
  }
  return std::nullopt;
}

// ---- what the host tells ----

void EngineServer::on(const ThreadRun& run) {
  threads_.on(run);
  if (loop_ && run.waker_tid == *loop_ && run.tid != *loop_ && run.wait != ThreadRun::Wait::none &&
      wakes_.size() < wakes_kept)
    wakes_.insert(run.woken);
  refine(run);
}

void EngineServer::on(const ProbeLevel& level) {
  if (is_full(level))
    probes_.erase(level.pid);
  else
    probes_[level.pid] = level;
  for (Work& work : works_) work.probes = least_of(work.probes, level);
}

ProbeLevel EngineServer::probes() const {
  ProbeLevel least;
  for (const auto& [pid, level] : probes_) least = least_of(least, level);
  return least;
}

void EngineServer::on(const ProcessSample& sample, Time time) {
  if (sample.throttled > Duration::zero()) throttled_.emplace_back(time, sample.throttled);
  while (!throttled_.empty() &&
         (throttled_.size() > samples_kept || elapsed(throttled_.front().first, time) > keep_facts))
    throttled_.pop_front();
}

void EngineServer::on(const SendStall& stall) {
  for (Work& work : works_)
    if (work.key.connection == stall.connection && stall.begin >= work.begin)
      work.unread += elapsed(stall.begin, stall.end);
}

void EngineServer::on_loss() {
  for (Work& work : works_) work.complete = false;
}

/// The thread that sends a token was woken when it was made.
void EngineServer::refine(const ThreadRun& run) {
  const auto sent = unrefined_.find(run.tid);
  if (sent == unrefined_.end()) return;
  Mark& mark = marks_[sent->second];
  if (mark.sent < run.woken || mark.sent > run.end) return;
  unrefined_.erase(sent);  // what it sends later in the same run was made meanwhile
  const ThreadLog::Run* roused = threads_.run_after_rest(run.tid, mark.since, mark.sent);
  if (!roused) return;
  if (roused->wait == ThreadRun::Wait::send) {
    mark.made_before = true;
    return;
  }
  mark.roused = roused->woken;
  vote(run.tid, roused->waker_tid);
}

void EngineServer::vote(Tid sender, Tid waker) {
  if (waker == 0 || waker == sender) return;
  if (loop_ == waker) {
    loop_votes_ = std::min(loop_votes_ + 1, most_votes);
  } else if (loop_votes_ == 0) {
    loop_ = waker;
    loop_votes_ = 1;
  } else {
    --loop_votes_;
  }
}

// ---- what becomes of requests ----

EngineServer::Work* EngineServer::find(ExchangeKey key) {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : &*found->second;
}
const EngineServer::Work* EngineServer::find(ExchangeKey key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : &*found->second;
}

void EngineServer::open(ExchangeKey key, const CallUpdate& update) {
  Work& work = works_.emplace_back();
  by_key_[key] = std::prev(works_.end());
  work.key = key;
  work.tid = update.exchange.tid;
  ++senders_[work.tid];
  work.probes = probes();
  work.begin = work.told_until = update.exchange.request.begin.value_or(update.time);
}

void EngineServer::note_request(ExchangeKey key, const CallUpdate& update, const RequestName& name) {
  Work* work = find(key);
  if (!work) return;
  work->name = name;
  work->ready = work->sender_until = std::max(work->begin, update.exchange.request.end.value_or(update.time));
  work->streams = update.call.request.stream.value_or(false);
  work->prompt_bytes = update.call.request.prompt_bytes.value_or(update.exchange.request.body_bytes);
}

void EngineServer::note_token(ExchangeKey key, Tid tid, Time time) {
  Work* work = find(key);
  if (!work || !work->ready) return;
  work->streams = true;
  mark(*work, tid, time);
}

void EngineServer::mark(Work& work, Tid tid, Time time) {
  if (begins_turn(work, time)) close_turn();
  unrefined_.try_emplace(tid, marks_.size());
  marks_.push_back({.key = work.key, .tid = tid, .since = work.last.value_or(*work.ready), .sent = time});
  work.open_mark = marks_.size();
}

bool EngineServer::begins_turn(const Work& work, Time time) const {
  if (marks_.empty()) return false;
  const Duration since = elapsed(marks_.back().sent, time);
  // The next one may be that of a single request, which may take much less.
  auto usual = turn_time_.value();
  if (usual) usual = std::min(*usual, decode_time_.value(1).value_or(*usual));
  // While it is not known what is usual, what this one took at most tells; and for one that is in it, and whose token
  // may just be made after those of others.
  const Duration open = elapsed(turn_end().value_or(works_.front().begin), marks_.front().sent);
  Duration length = usual ? from_seconds(*usual) : open;
  if (work.first && work.open_mark == 0) length = std::max(length, open);
  if (since > std::max(usual ? Duration::zero() : gap_between_turns, scaled(length, 0.5))) return true;
  return work.open_mark != 0 &&
         since > std::max(least_gap, usual ? scaled(from_seconds(*usual), 0.25) : Duration::zero());
}

/// When a token was made: as the loop woke the thread that sends it. Where all senders are woken for each token, and
/// have to wait for each other then, as the loop woke any of them last.
Time EngineServer::made(const Mark& mark) const {
  const auto wake = wakes_.upper_bound(mark.sent);
  Time made = mark.roused.value_or(mark.sent);
  if (mark.roused && wake != wakes_.begin() && *std::prev(wake) > mark.since) made = *std::prev(wake);
  return std::max(made, turn_end().value_or(made));
}

std::optional<Time> EngineServer::last_mark() const {
  std::optional<Time> last;
  for (const Mark& mark : marks_) {
    if (mark.made_before) continue;
    const Time time = made(mark);
    last = std::max(last.value_or(time), time);
  }
  return last;
}

std::optional<Time> EngineServer::last_mark(const Work& work) const {
  if (work.open_mark == 0 || marks_[work.open_mark - 1].made_before) return std::nullopt;
  return made(marks_[work.open_mark - 1]);
}

// ---- turns ----

EngineServer::Standing EngineServer::standing() const {
  Standing now;
  if (!turn_end()) return now;
  const auto was_in = [&](const std::optional<Time>& started) { return started && *started <= *turn_end(); };
  for (const Work& work : works_) now.active += was_in(work.started) ? 1 : 0;
  now.busy = now.active > 0 || std::any_of(departed_.begin(), departed_.end(),
                                           [&](const Departed& gone) { return was_in(gone.started); });
  return now;
}

/// The thread that took the request in rests when it has handed it over, until there is something to send.
void EngineServer::hand_over(Work& work) const {
  if (work.ready && !work.started)
    work.handed = threads_.first_rest(work.tid, *work.ready, last_mark(work).value_or(Time::max()));
}

/// The engine did not have it yet at that time.
bool EngineServer::is_taking_in(const Work& work, Time time) const {
  if (work.handed) return *work.handed > time;
  // Of a thread that nothing is known of, nobody knows when it handed the request over.
  return *work.ready > time || threads_.heard(work.tid) > *work.ready;
}

bool EngineServer::has_begun_before(const Work& work, Time time) const {
  return std::any_of(works_.begin(), works_.end(), [&](const Work& other) {
    return other.started && *other.started < time && other.key != work.key;
  });
}

/// Finds out when its first turn began, if that was before `end`, where the one that is not closed yet ends; or that it
/// begins there.
void EngineServer::start(Work& work, Time end, Standing& standing) const {
  hand_over(work);
  const bool got_token = last_mark(work).has_value();
  if (work.started || (is_taking_in(work, end) && !got_token)) return;
  const Time handed = work.handed.value_or(*work.ready);
  if (standing.busy) {
    if (places_ && !got_token && standing.active >= *places_) return;
    ++standing.active;
    if (handed <= *turn_end())
      work.started = *turn_end();
    else
      work.started = got_token ? std::min(handed, end) : end;
  } else if (has_begun_before(work, handed) && !got_token) {
    work.started = end;
  } else {
    const ThreadLog::Run* woken = nullptr;
    if (loop_) woken = threads_.run_woken_by(*loop_, work.tid, *work.ready, handed);
    if (loop_ && !woken) woken = threads_.run_after_sleep(*loop_, handed);
    work.started = woken ? std::clamp(woken->begin, *work.ready, std::max(*work.ready, end)) : std::min(handed, end);
    // The loop may have begun before the other thread slept.
    work.handed = std::min(handed, *work.started);
  }
}

/// That its thread still took it in when a turn ended may be told only after that one was closed.
void EngineServer::reconsider_start(Work& work) const {
  const auto handed = threads_.first_rest(work.tid, *work.ready, *last_mark(work));
  if (!handed) return;
  const auto next = std::lower_bound(turn_ends_.begin(), turn_ends_.end(), *handed);
  if (*handed > *work.started && next != turn_ends_.end()) {
    work.ledger.move(TimeKind::prefill, TimeKind::intake, elapsed(*work.started, *handed));
    work.ledger.move(TimeKind::prefill, TimeKind::queue, elapsed(*handed, *next));
    work.started = *next;
  }
  work.handed = std::min(*handed, *work.started);
}

/// Where it had its first token much later than its prompt takes, and just after another one ended, it had waited for
/// that one's place.
void EngineServer::correct_start(Work& work, Time begin) {
  if (work.turns <= turns_of_grace + 2 * (prompt_tokens(work) / least_chunk)) return;
  // When an end was told is somewhat after it was made.
  const auto freed = std::find_if(departures_.rbegin(), departures_.rend(),
                                  [&](Time time) { return elapsed(begin, time) < gap_between_turns; });
  if (freed == departures_.rend() || *freed <= *work.started) return;
  const Time began = std::min(*freed, begin);
  work.ledger.move(TimeKind::prefill, TimeKind::queue, elapsed(*work.started, began));
  work.started = began;
  std::set<std::pair<ConnectionId, std::uint64_t>> served;
  for (const Mark& mark : marks_) served.emplace(mark.key.connection, mark.key.sequence);
  places_ = served.size();
}

std::uint64_t EngineServer::prompt_tokens(const Work& work) const {
  const double tokens =
      static_cast<double>(work.prompt_bytes) / bytes_per_token_.value().value_or(usual_bytes_per_token);
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(tokens));
}

EngineServer::Weight EngineServer::weight_of(const Work& work, Time end) const {
  if (!work.started || *work.started >= end) return {};
  // Of one that does not stream, the first turn is taken for its prompt.
  const bool in_prefill = !work.first && (work.streams || work.turns == 0);
  if (in_prefill) {
    const auto tokens = static_cast<double>(prompt_tokens(work));
    return {tokens, tokens};
  }
  return {1, 0};
}

EngineServer::Turn EngineServer::turn_of(Time begin, Time end, const GpuLog::Use& gpu) const {
  Turn turn;
  turn.step.begin = begin;
  turn.step.end = end;
  turn.total.time = elapsed(begin, end);
  turn.total.gpu = turn.step.gpu = gpu.busy;
  // By waits only, nothing is told of a turn in which no wait was long.
  turn.gpu_seen = gpu.any || (gpu_seen_ && by_waits());
  if (loop_) turn.total.cpu = threads_.collect(*loop_, begin, end, turn.delays);
  bool decodes = false;
  for (const Work& work : works_) {
    const Weight weight = weight_of(work, end);
    if (weight.all <= 0) continue;
    turn.join(weight);
    decodes = decodes || weight.prefill <= 0;
    if (weight.prefill <= 0) continue;
    TimePart prompt{.kind = TimeKind::head_of_line, .request = work.name, .tokens = prompt_tokens(work)};
    if (prompt.tokens > turn.prompts[0].tokens) std::swap(prompt, turn.prompts[0]);
    if (prompt.tokens > turn.prompts[1].tokens) turn.prompts[1] = prompt;
  }
  for (const Departed& gone : departed_) {
    turn.join(gone.weight);
    decodes = decodes || gone.weight.prefill <= 0;
  }
  turn.step.kind = turn.weight.prefill <= 0 ? EngineStep::Kind::decode
                   : decodes                ? EngineStep::Kind::mixed
                                            : EngineStep::Kind::prefill;
  if (turn.gpu_seen) judge_gpu(turn, gpu);
  return turn;
}

void EngineServer::judge_gpu(Turn& turn, const GpuLog::Use& gpu) const {
  const auto excess = [](Duration value, std::optional<double> expected) {
    if (!expected || value < scaled(from_seconds(*expected), telling_factor)) return Duration::zero();
    const Duration more = value - from_seconds(*expected);
    return more >= telling_excess ? more : Duration::zero();
  };
  // Waiting for the GPU is its time, and all else is the host's: launches that come one by one keep it from working.
  // Short waits count for the host by waits only, so that stands in for what is not known otherwise, but not
  // conversely.
  const GpuUsual& usual = by_waits() || !gpu_usual_.host.value(1) ? gpu_usual_by_waits_ : gpu_usual_;
  auto wait = usual.wait.at_most(turn.step.members);
  if (wait && turn.weight.prefill > 0) {
    const auto each = usual.wait_per_prompt_token.value();
    wait = each ? std::optional<double>(*wait + *each * turn.weight.prefill) : std::nullopt;
  }
  turn.gpu_wait = gpu.waiting;
  turn.gpu_stall = excess(gpu.waiting, wait);
  if (turn.step.kind == EngineStep::Kind::decode)
    turn.launch_gap =
        excess(turn.total.time - std::min(turn.total.time, gpu.waiting), usual.host.at_most(turn.step.members));
  // What kept the host's thread kept the GPU, too.
  Duration known{};
  for (const HostDelay& delay : turn.delays) known += delay.time;
  for (Duration* unknown : {&turn.gpu_stall, &turn.launch_gap}) {
    const Duration explained = std::min(known, *unknown);
    *unknown -= explained;
    known -= explained;
  }
}

/// Who came while the turn was under way gets its first token in the next one, which may be much shorter, so that only
/// the time between their tokens tells them apart. Takes the next one's marks out.
std::vector<EngineServer::Mark> EngineServer::take_later_marks() {
  if (!turn_end()) return {};
  const auto came_meanwhile = [this](const Mark& mark) {
    const Work* work = find(mark.key);
    return mark.roused && !mark.made_before && work && !work->first && *work->ready > *turn_end();
  };
  if (std::none_of(marks_.begin(), marks_.end(), came_meanwhile)) return {};
  std::vector<Time> news;
  std::optional<Time> others;
  for (const Mark& mark : marks_) {
    if (mark.made_before) continue;
    const Time time = made(mark);
    if (came_meanwhile(mark))
      news.push_back(time);
    else
      others = std::max(others.value_or(time), time);
  }
  if (!others || !standing().busy) return {};
  std::sort(news.begin(), news.end());
  const Duration apart = std::clamp(scaled(elapsed(*turn_end(), *others), 0.1), least_gap, gap_between_turns);
  Time end = *others;
  const auto first = std::find_if(news.begin(), news.end(), [&](Time time) {
    if (elapsed(end, time) > apart) return true;
    end = std::max(end, time);
    return false;
  });
  if (first == news.end()) return {};
  const auto later = std::stable_partition(
      marks_.begin(), marks_.end(), [&](const Mark& mark) { return !came_meanwhile(mark) || made(mark) < *first; });
  renumber_marks();
  for (auto mark = later; mark != marks_.end(); ++mark) {
    Work& work = *find(mark->key);
    hand_over(work);
    if (work.handed.value_or(*work.ready) <= end) work.started = work.started.value_or(end);
  }
  std::vector<Mark> taken(later, marks_.end());
  marks_.erase(later, marks_.end());
  renumber_marks();
  return taken;
}

void EngineServer::renumber_marks() {
  for (Work& work : works_) work.open_mark = 0;
  for (std::size_t i = 0; i < marks_.size(); ++i)
    if (Work* work = find(marks_[i].key)) work->open_mark = i + 1;
}

void EngineServer::close_turn() {
  std::vector<Mark> later = take_later_marks();
  close_turn_of_marks();
  if (later.empty()) return;
  marks_ = std::move(later);
  renumber_marks();
  close_turn_of_marks();
}

void EngineServer::close_turn_of_marks() {
  const auto end = last_mark();
  if (end) {
    Standing before = standing();
    for (Work& work : works_)
      if (work.ready && !work.started) start(work, *end, before);
    std::optional<Time> begin;
    if (before.busy) begin = turn_end();
    const auto begins = [&](const std::optional<Time>& started) {
      if (!before.busy && started && *started < *end) begin = std::min(begin.value_or(*started), *started);
    };
    for (const Work& work : works_) begins(work.started);
    for (const Departed& gone : departed_) begins(gone.started);
    if (begin && *begin < *end) {
      for (Work& work : works_)
        if (!work.first && work.started && *work.started < *begin && last_mark(work)) {
          reconsider_start(work);
          correct_start(work, *begin);
        }
      const Turn turn = turn_of(*begin, *end, gpu_.take(*begin, *end));
      if (places_) places_ = std::max<std::size_t>(*places_, turn.step.members);
      share_out(turn);
      learn(turn);
    }
    departed_.clear();
  }
  for (const Mark& mark : marks_) {
    Work* work = find(mark.key);
    if (!work) continue;
    work->open_mark = 0;
    if (mark.made_before) continue;
    const Time time = made(mark);
    if (!work->first) work->first = time;
    work->last = std::max(time, work->last.value_or(time));
  }
  marks_.clear();
  unrefined_.clear();
  if (!end) return;
  turn_ends_.push_back(*end);
  if (turn_ends_.size() > turn_ends_kept) turn_ends_.pop_front();
  wakes_.erase(wakes_.begin(), wakes_.upper_bound(*end));
  Time needed = *end;
  for (Work& work : works_) {
    account_sender(work, *end);
    needed = std::min({needed, work.told_until, work.sender_until});
  }
  threads_.forget_until(needed);
}

void EngineServer::share_out(const Turn& turn) {
  Amounts left = turn.total;
  double weight = turn.weight.all;
  for (const Departed& gone : departed_) {
    left.time -= std::min(left.time, gone.told.time);
    left.gpu -= std::min(left.gpu, gone.told.gpu);
    left.cpu -= std::min(left.cpu, gone.told.cpu);
    weight -= gone.weight.all;
  }
  Split time(left.time, weight), gpu(left.gpu, weight), cpu(left.cpu, weight);
  for (Work& work : works_) {
    if (!work.ready) continue;
    const double own = weight_of(work, turn.step.end).all;
    Amounts share;
    if (own > 0) share = {time.next(own), gpu.next(own), cpu.next(own)};
    totals_.shares += share;
    charge(work, turn, share);
  }
  ++totals_.steps;
}

void EngineServer::learn(const Turn& turn) {
  const double length = to_seconds(turn.total.time);
  turn_time_.add(length);
  const std::size_t members = turn.step.members;
  const double wait = to_seconds(turn.gpu_wait);
  // What is out of the ordinary becomes usual only if it stays for long, and so does what comes in between.
  const bool extraordinary = turn.gpu_stall > Duration::zero() || turn.launch_gap > Duration::zero();
  ordinary_ = extraordinary ? 0 : ordinary_ + 1;
  if (ordinary_ < ordinary_again && ++passed_over_ % learnt_one_of != 0) return;
  GpuUsual& usual = by_waits() ? gpu_usual_by_waits_ : gpu_usual_;
  if (turn.step.kind == EngineStep::Kind::decode) {
    decode_time_.add(members, length);
    if (!turn.gpu_seen) return;
    usual.wait.add(members, wait);
    usual.host.add(members, std::max(0.0, length - wait));
  } else if (turn.gpu_seen && turn.weight.prefill > 0) {
    const double others = usual.wait.value(members).value_or(0);
    usual.wait_per_prompt_token.add(std::max(0.0, wait - others) / turn.weight.prefill);
  }
}

}  // namespace inferscope::correlate
