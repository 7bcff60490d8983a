// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/event.h"

namespace inferscope::test {

/// Writes a stream of events the way a source would: positions, sequence numbers and times go on by themselves.
///
///   Script script;
///   auto client = script.open({.role = Role::server});
///   client.received("GET / HTTP/1.1\r\n\r\n").sent("HTTP/1.1 204 No Content\r\n\r\n").closed();
///   for (const Event& event : script.events()) stage.on(event, emit);
///
/// Time starts at 1 s and every event takes one step (1 ms unless told); a transfer begins one step before its end.
class Script {
 public:
  class Stream;

  Stream open(Connection connection = {});

  Script& started(ProcessStarted process) { return put(std::move(process)); }
  Script& exited(Pid pid, int exit_code = 0, int signal = 0) {
    return put(ProcessExited{.pid = pid, .exit_code = exit_code, .signal = signal});
  }
  Script& lost(std::string reason, std::uint64_t count) { return put(EventsLost{std::move(reason), count}); }
  Script& clock(std::int64_t unix_minus_kernel_ns) { return put(ClockSet{unix_minus_kernel_ns}); }

  /// Lets time pass without an event.
  Script& wait(Duration duration) {
    now_ += duration;
    return *this;
  }
  /// Time that each event takes from here on; zero makes all of them simultaneous.
  Script& step(Duration duration) {
    step_ = duration;
    return *this;
  }
  /// Any event, as it is, at the next step.
  template <class Body>
  Script& put(Body body) {
    now_ += step_;
    events_.push_back(Event{.time = now_, .body = std::move(body)});
    return *this;
  }

  [[nodiscard]] Time now() const { return now_; }
  /// Content lives as long as the script does.
  [[nodiscard]] const std::vector<Event>& events() const { return events_; }

 private:
  struct Side {
    std::uint64_t position = 0;
    std::uint64_t sequence = 0;
  };
  struct State {
    Connection connection{};
    Tid tid = 0;
    Side sides[2]{};
  };

  std::string_view store(std::string_view content) { return contents_.emplace_back(content); }

  std::vector<Event> events_{};
  std::deque<std::string> contents_{};
  std::deque<State> states_{};
  Time now_ = time_from_ns(1'000'000'000);
  Duration step_ = std::chrono::milliseconds(1);
  ConnectionId next_id_ = 1;
};

/// One connection of a script; a cheap handle, valid as long as the script.
class Script::Stream {
 public:
  Stream& received(std::string_view content) { return transfer(Direction::received, content); }
  Stream& sent(std::string_view content) { return transfer(Direction::sent, content); }
  Stream& transfer(Direction direction, std::string_view content) {
    return cut(direction, content, content.size(), {}, Transfer::Cut::none);
  }
  /// Each byte of `content` as a transfer of its own.
  Stream& bytewise(Direction direction, std::string_view content) {
    for (std::size_t i = 0; i < content.size(); ++i) transfer(direction, content.substr(i, 1));
    return *this;
  }
  /// A transfer of `length` bytes of which only `head` and `tail` were captured.
  Stream& cut(Direction direction, std::string_view head, std::uint64_t length, std::string_view tail = {},
              Transfer::Cut cut = Transfer::Cut::transfer_limit) {
    Side& side = state_->sides[index_of(direction)];
    const Time begin = script_->now_;
    Transfer transfer{.connection = id(),
                      .direction = direction,
                      .cut = cut,
                      .pid = state_->connection.pid,
                      .tid = state_->tid,
                      .position = side.position,
                      .sequence = side.sequence++,
                      .length = length,
                      .begin = begin,
                      .end = begin + script_->step_,
                      .head = script_->store(head),
                      .tail = script_->store(tail)};
    side.position += length;
    script_->put(std::move(transfer));
    return *this;
  }
  /// A transfer that happened but whose event was lost.
  Stream& lose(Direction direction, std::uint64_t length) {
    Side& side = state_->sides[index_of(direction)];
    side.position += length;
    ++side.sequence;
    return *this;
  }
  Stream& half_closed(Direction direction) {
    script_->put(ConnectionHalfClosed{.id = id(), .direction = direction});
    return *this;
  }
  Stream& closed(ConnectionClosed::Reason reason = ConnectionClosed::Reason::closed) {
    const Side& in = state_->sides[index_of(Direction::received)];
    const Side& out = state_->sides[index_of(Direction::sent)];
    script_->put(ConnectionClosed{.id = id(),
                                  .reason = reason,
                                  .received_bytes = in.position,
                                  .sent_bytes = out.position,
                                  .received_transfers = in.sequence,
                                  .sent_transfers = out.sequence});
    return *this;
  }
  /// Thread of the transfers from here on.
  Stream& tid(Tid tid) {
    state_->tid = tid;
    return *this;
  }
  Stream& wait(Duration duration) {
    script_->wait(duration);
    return *this;
  }

  [[nodiscard]] ConnectionId id() const { return state_->connection.id; }
  [[nodiscard]] std::uint64_t position(Direction direction) const {
    return state_->sides[index_of(direction)].position;
  }

 private:
  friend class Script;
  Stream(Script& script, State& state) : script_(&script), state_(&state) {}

  Script* script_;
  State* state_;
};

/// What is not told gets a default: the next free id, pid 100, thread = pid.
inline Script::Stream Script::open(Connection connection) {
  if (connection.id == 0) connection.id = next_id_;
  if (connection.id >= next_id_) next_id_ = connection.id + 1;
  if (connection.pid == 0) connection.pid = 100;
  State& state = states_.emplace_back(State{.connection = connection, .tid = connection.pid});
  put(ConnectionOpened{.connection = std::move(connection), .tid = state.tid});
  return Stream{*this, state};
}

}  // namespace inferscope::test
