// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "correlate/engine_steps.h"
#include "tests/support/exchange_script.h"

namespace inferscope::correlate {

using test::at_ms;

/// A server (process 100) with a loop (thread 101) and a thread for each request (200 + its number), as EngineSteps is
/// told of it. Times are in milliseconds.
class EngineScript {
 public:
  static constexpr Pid pid = 100;
  static constexpr Tid loop = 101;

  EngineSteps steps{EngineSteps::Limits{}};

  static Tid sender(int number) { return 200 + number; }
  static ExchangeKey key(int number) { return {static_cast<ConnectionId>(number), 0}; }
  static RequestName name(int number) {
    RequestName name;
    name.trace_id[15] = name.span_id[7] = static_cast<std::uint8_t>(number);
    return name;
  }

  /// It comes in within [begin, ready], with a prompt of so many tokens.
  void request(int number, double begin, double ready, std::uint64_t prompt_tokens = 10, bool stream = true) {
    Call& call = calls_[number];
    call.exchange.connection = std::make_shared<const Connection>(
        test::tcp_connection(static_cast<ConnectionId>(number), pid, Role::server, {Family::ipv4, "127.0.0.1", 80},
                             {Family::ipv4, "127.0.0.1", static_cast<std::uint16_t>(1000 + number)}));
    call.exchange.role = Role::server;
    call.exchange.pid = pid;
    call.exchange.tid = sender(number);
    call.exchange.request.begin = at(begin);
    call.call.dialect = "openai";
    call.call.request.stream = stream;
    call.call.request.prompt_bytes = prompt_tokens * 4;  // of an unknown tokenizer
    send(number, CallUpdate::Kind::opened, begin);
    call.exchange.request.end = at(ready);
    send(number, CallUpdate::Kind::request, ready);
  }
  /// Its thread, from one sleep to the next.
  void run(Tid tid, double slept, double woken, double end, Tid waker = 0, double delayed = 0,
           ThreadRun::Wait wait = ThreadRun::Wait::futex, std::optional<ThreadRun::Delay> longest = {}) {
    tell(ThreadRun{.pid = pid,
                   .tid = tid,
                   .ending = ThreadRun::Ending::slept,
                   .wait = wait,
                   .slept = at(slept),
                   .woken = at(woken),
                   .begin = at(woken),
                   .end = at(end),
                   .waker_pid = waker == 0 ? 0 : pid,
                   .waker_tid = waker,
                   .ran = span(end - woken - delayed),
                   .delayed = span(delayed),
                   .longest_delay = longest},
         end);
  }
  /// The loop went on from one time to another without a sleep.
  void loop_went_on(double from, double to, double delayed = 0, std::optional<ThreadRun::Delay> longest = {}) {
    run(loop, from, from, to, 0, delayed, ThreadRun::Wait::none, longest);
  }
  /// A token was made and is sent a tenth of a millisecond later by the request's thread, which had slept since
  /// `slept`.
  void token(int number, double slept, double made) {
    const double sent = made + 0.1;
    tell(Transfer{.connection = static_cast<ConnectionId>(number),
                  .direction = Direction::sent,
                  .pid = pid,
                  .tid = sender(number),
                  .begin = at(sent),
                  .end = at(sent)},
         sent);
    calls_[number].call.first_token = calls_[number].call.first_token.value_or(at(sent));
    calls_[number].call.last_token = at(sent);
    send(number, CallUpdate::Kind::token, sent);
    run(sender(number), slept, made, made + 0.2, loop);
  }
  /// The first request comes in at 0 and is handed over at 2, when the loop begins its first turn, which ends at 20.
  void begin() {
    request(1, 0, 1);
    run(sender(1), -50, 0, 2);
    run(loop, -50, 2, 20, sender(1));
  }
  /// And has its first token then.
  void first_turn() {
    begin();
    token(1, 2, 20);
  }
  /// Handed over from `begin` on, and waited for from `waits` on.
  void gpu_from(double begin, double waits, double end, Tid tid = loop, Pid of = pid) {
    tell(GpuWork{.pid = of, .tid = tid, .begin = at(begin), .wait_begin = at(waits), .end = at(end), .launches = 1},
         end);
  }
  void gpu(double begin, double end, Tid tid = loop, Pid of = pid) { gpu_from(begin, begin, end, tid, of); }
  Explanation close(int number, double end) {
    Call& call = calls_.at(number);
    call.exchange.response.begin = call.exchange.response.begin.value_or(at(end - 0.1));
    const auto told =
        steps.close(key(number), CallUpdate{CallUpdate::Kind::closed, call.call, call.exchange, at(end)}, at(end));
    calls_.erase(number);
    return told.value_or(Explanation{});
  }
  template <class Body>
  void tell(Body body, double time) {
    steps.on(Event{at(time), std::move(body)});
  }

  static Time at(double ms) { return at_ms(0) + span(ms); }
  static Duration span(double ms) { return Duration{static_cast<std::int64_t>(ms * 1e6)}; }

 private:
  struct Call {
    Exchange exchange{};
    InferenceCall call{};
  };

  void send(int number, CallUpdate::Kind kind, double time) {
    const Call& call = calls_.at(number);
    steps.on(key(number), CallUpdate{kind, call.call, call.exchange, at(time)}, name(number));
  }

  std::map<int, Call> calls_{};
};

/// In milliseconds.
inline double time_of(const Explanation& told, TimeKind kind) {
  double sum = 0;
  for (const TimePart& part : told.parts)
    if (part.kind == kind) sum += to_seconds(part.time) * 1e3;
  return sum;
}
inline Duration total_of(const Explanation& told) {
  Duration sum{};
  for (const TimePart& part : told.parts) sum += part.time;
  return sum;
}

}  // namespace inferscope::correlate
