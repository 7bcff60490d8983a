// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/hash.h"
#include "model/exchange.h"

namespace inferscope::test {

constexpr Time at_ms(std::int64_t ms) {
  return Time{std::chrono::milliseconds{ms}};
}

inline Connection tcp_connection(ConnectionId id, Pid pid, Role role, const Endpoint& local, const Endpoint& remote) {
  Connection connection;
  connection.id = id;
  connection.pid = pid;
  connection.role = role;
  connection.local = local;
  connection.remote = remote;
  return connection;
}

/// Plays one exchange as the assembler would tell it. Time stands still unless moved with at().
class ExchangeScript {
 public:
  using Kind = ExchangeUpdate::Kind;
  using Sink = std::function<void(const ExchangeUpdate&)>;

  explicit ExchangeScript(Sink sink,
                          const Connection& connection = tcp_connection(1, 100, Role::server,
                                                                        {Family::ipv4, "127.0.0.1", 8080},
                                                                        {Family::ipv4, "127.0.0.1", 50000}),
                          std::uint64_t sequence = 0)
      : sink_(std::move(sink)) {
    exchange.connection = std::make_shared<const Connection>(connection);
    exchange.sequence = sequence;
    exchange.role = connection.role;
    exchange.pid = connection.pid;
    exchange.tid = connection.pid;
    exchange.protocol = "http";
    exchange.version = "1.1";
  }

  ExchangeScript& at(std::int64_t ms) {
    now = at_ms(ms);
    return *this;
  }
  ExchangeScript& request_head(std::string_view method, std::string_view target, Headers headers = {}) {
    exchange.request.begin = exchange.request.head_end = now;
    exchange.request.method = method;
    exchange.request.target = target;
    exchange.request.headers = std::move(headers);
    return send(Kind::request_head);
  }
  ExchangeScript& request_body(std::string_view data) {
    body_ += data;
    exchange.request.body_bytes += data.size();
    return send(Kind::request_body, data);
  }
  ExchangeScript& request_hole(std::uint64_t bytes, Gap::Reason reason = Gap::Reason::not_captured) {
    hole_ = true;
    exchange.request.body_bytes += bytes;
    return hole(Kind::request_hole, exchange.role == Role::client ? Direction::sent : Direction::received, bytes,
                reason);
  }
  ExchangeScript& request_end() {
    exchange.request.end = now;
    exchange.request.body_hash = hole_ ? 0 : fnv1a(body_);
    return send(Kind::request_end);
  }
  ExchangeScript& request(std::string_view target, std::string_view body, Headers headers = {}) {
    return request_head("POST", target, std::move(headers)).request_body(body).request_end();
  }

  ExchangeScript& response_head(int status = 200, std::string_view type = "text/event-stream", Headers more = {}) {
    exchange.response.begin = exchange.response.head_end = now;
    exchange.response.status = status;
    exchange.response.headers = std::move(more);
    if (!type.empty()) exchange.response.headers.push_back({"content-type", std::string(type)});
    return send(Kind::response_head);
  }
  ExchangeScript& response_body(std::string_view data) {
    arrived(data.size());
    return send(Kind::response_body, data);
  }
  ExchangeScript& response_hole(std::uint64_t bytes, Gap::Reason reason = Gap::Reason::lost) {
    arrived(bytes);
    return hole(Kind::response_hole, exchange.role == Role::client ? Direction::received : Direction::sent, bytes,
                reason);
  }
  ExchangeScript& message(std::string_view data, std::string_view name = {}) {
    arrived(data.size() + 8);
    return send(Kind::response_message, data, name);
  }
  /// Of a client on a WebSocket, or of a stream of requests.
  ExchangeScript& client_message(std::string_view data) {
    exchange.request.body_bytes += data.size();
    return send(Kind::request_message, data);
  }
  ExchangeScript& response_end() {
    exchange.response.end = now;
    return send(Kind::response_end);
  }
  ExchangeScript& close(Exchange::Ending ending = Exchange::Ending::complete) {
    exchange.ending = ending;
    return send(Kind::closed);
  }
  /// A whole response that is no stream.
  ExchangeScript& respond(std::string_view body, int status = 200, std::string_view type = "application/json") {
    response_head(status, type);
    if (!body.empty()) response_body(body);
    return response_end().close();
  }

  Exchange exchange{};
  Time now = at_ms(1000);

 private:
  ExchangeScript& send(Kind kind, std::string_view data = {}, std::string_view name = {}, std::uint64_t missing = 0) {
    sink_(ExchangeUpdate{kind, exchange, now, data, name, missing});
    return *this;
  }
  ExchangeScript& hole(Kind kind, Direction direction, std::uint64_t bytes, Gap::Reason reason) {
    exchange.gaps.push_back({direction, reason, 0, bytes});
    ++exchange.gaps_total;
    return send(kind, {}, {}, bytes);
  }
  void arrived(std::uint64_t bytes) {
    if (!exchange.response.first_body) exchange.response.first_body = now;
    exchange.response.body_bytes += bytes;
  }

  Sink sink_;
  std::string body_{};
  bool hole_ = false;
};

}  // namespace inferscope::test
