// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "correlate/engine_steps.h"
#include "correlate/gpu_log.h"
#include "correlate/ledger.h"
#include "correlate/links.h"
#include "correlate/thread_log.h"
#include "correlate/usual.h"

namespace inferscope::correlate {

/// One process that serves inference, with the processes that work for it: the turns of its engine's loop, and the
/// requests in them. See EngineSteps.
class EngineServer {
 public:
  void on(const ThreadRun& run);
  void on(const MemoryReclaim& reclaim) { threads_.on(reclaim); }
  void on(const GpuWork& work) {
    gpu_.on(work);
    gpu_seen_ = true;
  }
  void on(const ProbeLevel& level);
  /// Of one that works for it, or its own.
  void on_exit(Pid pid) { probes_.erase(pid); }
  void on(const ProcessSample& sample, Time time);
  void on(const SendStall& stall);
  /// Events were lost, nobody knows whose.
  void on_loss();

  void open(ExchangeKey key, const CallUpdate& update);
  void note_request(ExchangeKey key, const CallUpdate& update, const RequestName& name);
  /// `tid` sent one of its tokens.
  void note_token(ExchangeKey key, Tid tid, Time time);
  /// Nothing while neither its loop nor a GPU is known.
  [[nodiscard]] std::optional<Explanation> explain(ExchangeKey key, Time now) const;
  /// `update`: the call is closed.
  std::optional<Explanation> close(ExchangeKey key, const CallUpdate& update, Time end);

  [[nodiscard]] std::size_t requests() const { return works_.size(); }
  [[nodiscard]] std::optional<Tid> loop() const { return loop_; }
  [[nodiscard]] const EngineSteps::Totals& totals() const { return totals_; }

 private:
  using Amounts = EngineSteps::Amounts;

  /// A request that is open.
  struct Work {
    ExchangeKey key{};
    RequestName name{};
    Tid tid = 0;
    Time begin{};
    std::optional<Time> ready{};    ///< received as a whole
    std::optional<Time> handed{};   ///< to the engine
    std::optional<Time> started{};  ///< its first turn began
    std::optional<Time> first{};    ///< its first token was made
    std::optional<Time> last{};
    bool streams = false;
    std::uint64_t prompt_bytes = 0;
    std::uint64_t turns = 0;  ///< since it started, without those not closed yet
    Time told_until{};        ///< its time up to then is in the ledger
    Ledger ledger{};
    Amounts shares{};
    Time sender_until{};  ///< what its thread did up to then is in the next two
    Duration sender_ran{};
    Duration unread{};          ///< it could not send, since the client did not read
    std::size_t open_mark = 0;  ///< its last one of the turn that is not closed, counted from 1; 0: there is none
    bool gpu_seen = false;
    bool shared = false;
    ProbeLevel probes{};  ///< the least detail so far
    bool complete = true;
  };
  using Works = std::list<Work>;
  struct Mark {
    ExchangeKey key{};
    Tid tid = 0;
    Time since{};  ///< its sender can have waited for it
    Time sent{};
    std::optional<Time> roused{};  ///< the sender was, to send it or others that were made with it
    bool made_before = false;      ///< the sender had to wait for its client: the token had been made some time before
  };
  struct Weight {
    double all = 0;
    double prefill = 0;
  };
  /// One that ended in the turn that is not closed yet.
  struct Departed {
    Time started{};
    Weight weight{};
    Amounts told{};
  };
  /// How things stood when the turn that is not closed yet began.
  struct Standing {
    bool busy = false;       ///< the loop went on from the turn before
    std::size_t active = 0;  ///< requests that were in that one, and are in this one
  };
  /// What is known of a turn.
  struct Turn {
    EngineStep step{};
    std::vector<HostDelay> delays{};
    Amounts total{};
    bool gpu_seen = false;
    Duration gpu_wait{};
    Duration gpu_stall{};
    Duration launch_gap{};
    Weight weight{};
    TimePart prompts[2]{};  ///< of the members with the longest ones, longest first

    void join(const Weight& member) {
      ++step.members;
      weight.all += member.all;
      weight.prefill += member.prefill;
    }
  };
  /// By how many were in the turn.
  class UsualTurn {
   public:
    void add(std::size_t members, double value) { values_[bucket(members)].add(value); }
    /// Of the nearest batch of which enough is known, smaller ones first.
    [[nodiscard]] std::optional<double> value(std::size_t members) const { return nearest(members, false); }
    /// What is known of a smaller one is taken for each of its members: an engine may work for one after another.
    [[nodiscard]] std::optional<double> at_most(std::size_t members) const { return nearest(members, true); }

   private:
    [[nodiscard]] std::optional<double> nearest(std::size_t members, bool smaller_grow) const;

    static constexpr std::size_t buckets = 17;
    static std::size_t bucket(std::size_t members) { return std::min(members, buckets - 1); }
    std::array<Usual, buckets> values_{};
  };

  /// What turns usually have of the GPU's time.
  struct GpuUsual {
    UsualTurn wait{};
    UsualTurn host{};  ///< all but the waits
    Usual wait_per_prompt_token{};
  };

  /// Without them, what looks like an engine's turns may be anything: a proxy has none.
  [[nodiscard]] bool has_facts() const { return loop_ || gpu_seen_; }

  Work* find(ExchangeKey key);
  [[nodiscard]] const Work* find(ExchangeKey key) const;

  [[nodiscard]] bool begins_turn(const Work& work, Time time) const;
  void mark(Work& work, Tid tid, Time time);
  void refine(const ThreadRun& run);
  void vote(Tid sender, Tid waker);
  std::vector<Mark> take_later_marks();
  void renumber_marks();
  void close_turn();
  void close_turn_of_marks();
  void share_out(const Turn& turn);
  void learn(const Turn& turn);

  [[nodiscard]] Time made(const Mark& mark) const;
  [[nodiscard]] std::optional<Time> last_mark() const;
  [[nodiscard]] std::optional<Time> last_mark(const Work& work) const;
  /// Of the last one that is closed.
  [[nodiscard]] std::optional<Time> turn_end() const {
    return turn_ends_.empty() ? std::nullopt : std::optional(turn_ends_.back());
  }
  [[nodiscard]] Standing standing() const;
  void hand_over(Work& work) const;
  void start(Work& work, Time end, Standing& standing) const;
  [[nodiscard]] bool is_taking_in(const Work& work, Time time) const;
  [[nodiscard]] bool has_begun_before(const Work& work, Time time) const;
  void reconsider_start(Work& work) const;
  void correct_start(Work& work, Time begin);
  [[nodiscard]] Weight weight_of(const Work& work, Time end) const;
  [[nodiscard]] std::uint64_t prompt_tokens(const Work& work) const;
  [[nodiscard]] Turn turn_of(Time begin, Time end, const GpuLog::Use& gpu) const;
  void judge_gpu(Turn& turn, const GpuLog::Use& gpu) const;
  /// The least detail of all.
  [[nodiscard]] ProbeLevel probes() const;
  [[nodiscard]] bool by_waits() const { return probes().level == ProbeLevel::Level::waits; }

  void charge(Work& work, const Turn& turn, const Amounts& share) const;
  void spend(Work& work, TimeKind kind, Time until, Tid tid) const;
  void catch_up(Work& work, Time until) const;
  void account_sender(Work& work, Time until) const;
  /// Charges what it had of the turn that is not closed, up to its last token.
  std::optional<Departed> charge_open_turn(Work& work) const;
  [[nodiscard]] Explanation tell(Work work, Time end) const;

  Works works_{};  ///< in the order in which they began
  std::unordered_map<ExchangeKey, Works::iterator, ExchangeKeyHash> by_key_{};
  std::unordered_map<Tid, std::size_t> senders_{};    ///< how many of them each thread serves
  std::vector<Mark> marks_{};                         ///< tokens of the turn that is not closed yet
  std::unordered_map<Tid, std::size_t> unrefined_{};  ///< the first of them that each thread sent
  std::set<Time> wakes_{};                            ///< by the loop, since the last turn
  std::vector<Departed> departed_{};
  std::deque<Time> departures_{};  ///< ends of the last ones
  std::deque<Time> turn_ends_{};   ///< of the last ones that are closed

  ThreadLog threads_{};
  GpuLog gpu_{};
  bool gpu_seen_ = false;
  std::unordered_map<Pid, ProbeLevel> probes_{};  ///< of the processes that are not seen in full
  std::optional<Tid> loop_{};
  int loop_votes_ = 0;
  std::deque<std::pair<Time, Duration>> throttled_{};
  std::optional<std::size_t> places_{};  ///< in the batch, once it is known that there are no more

  static constexpr std::uint64_t ordinary_again = 8;
  static constexpr std::uint64_t learnt_one_of = 32;
  std::uint64_t ordinary_ = ordinary_again;  ///< turns in a row
  std::uint64_t passed_over_ = 0;            ///< turns that told nothing of what is usual
  Usual turn_time_{};
  UsualTurn decode_time_{};
  GpuUsual gpu_usual_{};
  GpuUsual gpu_usual_by_waits_{};  ///< while launches are not seen, nor short waits
  Usual bytes_per_token_{};
  EngineSteps::Totals totals_{};
};

}  // namespace inferscope::correlate
