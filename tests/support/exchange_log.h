// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/exchange.h"

namespace inferscope::test {

/// Keeps what an Assembler emits, and checks the order that it promises.
class ExchangeLog {
 public:
  using Kind = ExchangeUpdate::Kind;
  struct Entry {
    Kind kind{};
    ConnectionId connection = 0;
    std::uint64_t sequence = 0;
    Time time{};
    std::string data{};
    std::string name{};
    std::uint64_t missing = 0;
  };

  void on(const ExchangeUpdate& update) {
    check(update);
    entries_.push_back(Entry{.kind = update.kind,
                             .connection = update.exchange.connection->id,
                             .sequence = update.exchange.sequence,
                             .time = update.time,
                             .data = std::string(update.data),
                             .name = std::string(update.name),
                             .missing = update.missing});
    if (update.kind == Kind::closed) closed_.push_back(update.exchange);
  }

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  /// As they were when they closed, in that order.
  [[nodiscard]] const std::vector<Exchange>& closed() const { return closed_; }
  [[nodiscard]] std::size_t open() const { return states_.size(); }
  /// What the order broke, empty if nothing.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }

  /// All pieces of one kind of one exchange, one after the other.
  [[nodiscard]] std::string joined(Kind kind, std::uint64_t sequence = 0) const {
    std::string all;
    for (const Entry& entry : entries_)
      if (entry.kind == kind && entry.sequence == sequence) all += entry.data;
    return all;
  }
  [[nodiscard]] std::vector<std::string> messages(std::uint64_t sequence = 0,
                                                  Kind kind = Kind::response_message) const {
    std::vector<std::string> all;
    for (const Entry& entry : entries_)
      if (entry.kind == kind && entry.sequence == sequence) all.push_back(entry.data);
    return all;
  }
  [[nodiscard]] std::size_t count(Kind kind) const {
    std::size_t number = 0;
    for (const Entry& entry : entries_) number += entry.kind == kind ? 1 : 0;
    return number;
  }
  /// One line for each update, pieces of a body joined: the same for any division of the stream into transfers.
  /// Without content only sizes are told.
  [[nodiscard]] std::string text(bool with_content = true, bool with_times = false) const {
    std::string all;
    std::size_t closed = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const Entry& first = entries_[i];
      Entry entry = first;
      while (is_piece(first.kind) && i + 1 < entries_.size() && entries_[i + 1].kind == first.kind &&
             entries_[i + 1].connection == first.connection && entries_[i + 1].sequence == first.sequence) {
        entry.data += entries_[++i].data;
        entry.missing += entries_[i].missing;
      }
      all += std::to_string(entry.connection) + '.' + std::to_string(entry.sequence) + ' ' +
             std::to_string(static_cast<int>(entry.kind)) + ' ' +
             (with_content ? entry.data : std::to_string(entry.data.size())) + ' ' + entry.name + ' ' +
             std::to_string(entry.missing);
      if (with_times) all += " @" + std::to_string(to_ns(entry.time));
      if (entry.kind == Kind::closed) all += ' ' + describe(closed_[closed++], with_content, with_times);
      all += '\n';
    }
    return all;
  }

 private:
  enum class Phase : std::uint8_t { none, open, response, answered };
  struct State {
    bool request_ended = false;
    Phase phase = Phase::open;
  };

  static bool is_piece(Kind kind) {
    return kind == Kind::request_body || kind == Kind::response_body || kind == Kind::request_hole ||
           kind == Kind::response_hole;
  }

  static std::string describe(const Exchange& exchange, bool with_content, bool with_times) {
    std::string all =
        exchange.version + ' ' + exchange.request.method + ' ' +
        (with_content ? exchange.request.target : std::string(exchange.path())) + ' ' +
        std::to_string(exchange.response.status) + " role " + std::to_string(static_cast<int>(exchange.role)) +
        " ending " + std::to_string(static_cast<int>(exchange.ending)) + " bytes " +
        std::to_string(exchange.request.head_bytes) + '+' + std::to_string(exchange.request.body_bytes) + ' ' +
        std::to_string(exchange.response.head_bytes) + '+' + std::to_string(exchange.response.body_bytes) + " 1xx " +
        std::to_string(exchange.response.informational);
    if (with_content) all += " hash " + std::to_string(exchange.request.body_hash);
    for (const Headers* headers : {&exchange.request.headers, &exchange.response.headers})
      for (const Header& header : *headers)
        all += '|' + header.name + '=' + (with_content ? header.value : std::to_string(header.value.size()));
    for (const Gap& gap : exchange.gaps)
      all += " gap " + std::to_string(static_cast<int>(gap.reason)) + '@' + std::to_string(gap.position) + '+' +
             std::to_string(gap.bytes);
    if (with_times) {
      for (const auto& time :
           {exchange.request.begin, exchange.request.head_end, exchange.request.end, exchange.response.begin,
            exchange.response.head_end, exchange.response.first_body, exchange.response.end})
        all += ' ' + (time ? std::to_string(to_ns(*time)) : std::string("-"));
    }
    return all;
  }

  void check(const ExchangeUpdate& update) {
    const auto key = std::pair(update.exchange.connection->id, update.exchange.sequence);
    const auto it = states_.find(key);
    if (update.kind == Kind::request_head) {
      require(it == states_.end() && !over_[key], "request_head twice");
      states_[key] = State{};
      return;
    }
    if (it == states_.end()) return require(false, "update of an exchange that is not open");
    State& state = it->second;
    switch (update.kind) {
      case Kind::request_head:
        break;
      case Kind::request_body:
      case Kind::request_hole:
        return require(!state.request_ended, "request body after its end");
      case Kind::request_message:
        return require(!state.request_ended || state.phase != Phase::open, "message of a request that is over");
      case Kind::request_end:
        require(!state.request_ended, "request_end twice");
        state.request_ended = true;
        return;
      case Kind::response_head:
        require(state.phase == Phase::open, "response_head twice");
        state.phase = Phase::response;
        return;
      case Kind::response_body:
      case Kind::response_hole:
      case Kind::response_message:
        return require(state.phase == Phase::response, "response body outside of a response");
      case Kind::response_end:
        require(state.phase == Phase::response, "response_end outside of a response");
        state.phase = Phase::answered;
        return;
      case Kind::closed:
        require(update.exchange.ending != Exchange::Ending::open, "closed without an ending");
        over_[key] = true;
        states_.erase(it);
        return;
    }
  }
  void require(bool condition, const char* what) {
    if (!condition && complaint_.empty()) complaint_ = what;
  }

  std::vector<Entry> entries_{};
  std::vector<Exchange> closed_{};
  std::map<std::pair<ConnectionId, std::uint64_t>, State> states_{};
  std::map<std::pair<ConnectionId, std::uint64_t>, bool> over_{};
  std::string complaint_{};
};

}  // namespace inferscope::test
