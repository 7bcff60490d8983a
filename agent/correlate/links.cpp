// SPDX-License-Identifier: Apache-2.0
#include "correlate/links.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "model/time_math.h"

namespace inferscope::correlate {
namespace {

/// Proxies before proxies: more than this on one host is a loop.
constexpr std::size_t longest_chain = 16;
/// Exchanges kept of one connection's client end, for those of its server end that are behind.
constexpr std::size_t client_ends_of_connection = 64;

/// Of a prompt's last text, that tell whose it is; gateways put templates around it, and take spaces off its ends.
constexpr std::size_t asked_kept = 48;
constexpr std::size_t asked_needed = 8;

std::string_view end_of_asked(std::string_view asked) {
  constexpr std::string_view spaces = " \t\r\n";
  const std::size_t begin = asked.find_first_not_of(spaces);
  if (begin == std::string_view::npos) return {};
  asked = asked.substr(begin, asked.find_last_not_of(spaces) - begin + 1);
  if (asked.size() < asked_needed || asked.find_first_not_of(asked[0]) == std::string_view::npos) return {};  // masked
  return asked.substr(asked.size() - std::min(asked.size(), asked_kept));
}

bool is_wildcard(std::string_view address) {
  return address.empty() || address == "0.0.0.0" || address == "::";
}

void append(std::string& name, std::string_view address, std::uint16_t port) {
  name.append(address).append(1, ' ').append(std::to_string(port));
}

/// The same for both ends of one connection, empty if it cannot be told.
std::string name_of_connection(const Connection& connection, Role role) {
  const bool client = role == Role::client;
  std::string name;
  if (connection.local.family == Family::unix_stream) {
    const std::uint64_t near = client ? connection.socket_inode : connection.peer_inode;
    const std::uint64_t far = client ? connection.peer_inode : connection.socket_inode;
    if (near != 0 && far != 0) name = "unix " + std::to_string(near) + ' ' + std::to_string(far);
    return name;
  }
  const Endpoint& from = client ? connection.local : connection.remote;
  const Endpoint& to = client ? connection.remote : connection.local;
  const std::string_view from_address = plain_address(from.address);
  const std::string_view to_address = plain_address(to.address);
  if (is_wildcard(from_address) || is_wildcard(to_address) || from.port == 0 || to.port == 0) return name;
  append(name, from_address, from.port);
  name += ' ';
  append(name, to_address, to.port);
  return name;
}

}  // namespace

Links::Candidate Links::describe(ExchangeKey key, const Exchange& exchange, Time begin) {
  Candidate candidate;
  candidate.key = key;
  candidate.begin = begin;
  candidate.tid = exchange.tid;
  // The part that stays the same when a proxy puts its own span in between.
  if (const auto parent = parse_traceparent(find_header(exchange.request.headers, "traceparent")))
    candidate.trace_id = hash_of({reinterpret_cast<const char*>(parent->trace_id.data()), parent->trace_id.size()});
  candidate.request_id = hash_of(find_header(exchange.request.headers, "x-request-id"));
  candidate.path = hash_of(exchange.path());
  candidate.body_hash = exchange.request.body_hash;
  candidate.body_bytes = exchange.request.body_bytes;
  return candidate;
}

void Links::opened(ExchangeKey key, const Exchange& exchange, Time time, const IdSeed& seed) {
  expire(time);
  if (records_.size() >= limits_.records && !ended_.empty()) {
    forget(ended_.front().first);
    ended_.pop_front();
    ++forgotten_;
  }
  const auto [found, added] = records_.try_emplace(key);
  if (!added) return;
  if (records_.size() > limits_.records) {
    records_.erase(found);
    ++forgotten_;
    return;
  }
  Record& record = found->second;
  record.role = exchange.role;
  record.pid = exchange.pid;
  record.mid_stream = exchange.connection && exchange.connection->mid_stream;
  record.begin = exchange.request.begin.value_or(time);
  record.span_id = make_http_span_id(seed);
  record.request_hash = hash_of(exchange.request.method + ' ' + exchange.request.target);
  record.traceparent = parse_traceparent(find_header(exchange.request.headers, "traceparent"));
  record.context.trace_id = make_trace_id(seed);
  if (record.traceparent) record.context.state = find_header(exchange.request.headers, "tracestate").substr(0, 512);
  if (exchange.connection) record.pair_name = name_of_connection(*exchange.connection, exchange.role);

  if (exchange.role == Role::server) {
    received_[exchange.pid].push_back(describe(key, exchange, record.begin));
  } else if (exchange.role == Role::client && !record.pair_name.empty()) {
    auto& ends = client_ends_[record.pair_name];
    if (ends.size() >= client_ends_of_connection) ends.erase(ends.begin());
    ends.push_back({key, record.begin});
  }
}

void Links::requested(ExchangeKey key, const Exchange& exchange, std::string_view asked) {
  const auto found = records_.find(key);
  if (found == records_.end()) return;
  Record& record = found->second;
  if (record.role == Role::client) {
    decide_cause(record, describe(key, exchange, record.begin), asked);
    return;
  }
  const auto received = received_.find(record.pid);
  if (received == received_.end()) return;
  for (Candidate& candidate : received->second) {
    if (candidate.key != key) continue;
    candidate.body_hash = exchange.request.body_hash;
    candidate.body_bytes = exchange.request.body_bytes;
    candidate.asked = end_of_asked(asked);
  }
}

void Links::decide_cause(Record& record, const Candidate& made, std::string_view asked) {
  if (std::exchange(record.cause_decided, true)) return;
  const auto received = received_.find(record.pid);
  if (received == received_.end()) return;
  std::vector<const Candidate*> left;
  for (const Candidate& candidate : received->second)
    if (candidate.begin <= record.begin) left.push_back(&candidate);

  // From the surest sign to the weakest; one that several have leaves it to the next to choose among these.
  const auto decided_by = [&](auto&& fits) {
    std::vector<const Candidate*> fitting;
    std::copy_if(left.begin(), left.end(), std::back_inserter(fitting), [&](const Candidate* c) { return fits(*c); });
    if (fitting.size() == 1) record.cause = fitting.front()->key;
    if (fitting.size() > 1) left = std::move(fitting);
    return record.cause.has_value();
  };
  if (decided_by([&](const Candidate& c) {
        return (c.trace_id != 0 && c.trace_id == made.trace_id) ||
               (c.request_id != 0 && c.request_id == made.request_id);
      }))
    return;
  if (decided_by([&](const Candidate& c) {
        return c.body_hash != 0 && c.body_bytes != 0 && c.body_hash == made.body_hash &&
               c.body_bytes == made.body_bytes;
      }))
    return;
  if (decided_by([&](const Candidate& c) { return !c.asked.empty() && asked.find(c.asked) != std::string_view::npos; }))
    return;
  if (decided_by([&](const Candidate& c) { return c.tid != 0 && c.tid == made.tid; })) return;
  decided_by([&](const Candidate& c) { return c.path != 0 && c.path == made.path; });
}

std::optional<ExchangeKey> Links::paired_client(ExchangeKey key, const Record& record) const {
  if (record.pair_name.empty()) return std::nullopt;
  const auto ends = client_ends_.find(record.pair_name);
  if (ends == client_ends_.end()) return std::nullopt;
  std::optional<ExchangeKey> pair;
  for (const ClientEnd& end : ends->second) {
    const auto found = records_.find(end.key);
    if (found == records_.end() || end.key == key) continue;
    const Record& client = found->second;
    // What is received was sent before, and who sent it waits for the reply.
    if (client.begin > record.begin || (client.end && *client.end < record.begin)) continue;
    if (client.request_hash != record.request_hash) continue;
    if (!client.mid_stream && !record.mid_stream && end.key.sequence != key.sequence) continue;
    if (pair) return std::nullopt;
    pair = end.key;
  }
  return pair;
}

std::optional<ExchangeKey> Links::parent_of(ExchangeKey key, const Record& record) const {
  if (record.role == Role::client) return record.cause;
  return record.role == Role::server ? paired_client(key, record) : std::nullopt;
}

TraceContext Links::place(const Record& record, const Record* parent, const TraceContext* parent_context) {
  TraceContext context = record.context;
  if (record.traceparent) {
    context.trace_id = record.traceparent->trace_id;
    context.parent = record.traceparent->span_id;
  }
  // A parent on this host is nearer than the caller's span, unless it is in another trace.
  if (parent == nullptr || (record.traceparent && parent_context->trace_id != context.trace_id)) return context;
  context.trace_id = parent_context->trace_id;
  context.parent = parent->span_id;
  if (context.state.empty()) context.state = parent_context->state;
  return context;
}

std::vector<ExchangeKey> Links::chain_of(ExchangeKey key) const {
  std::vector<ExchangeKey> chain;
  for (std::optional<ExchangeKey> next = key; next && chain.size() < longest_chain;) {
    const auto found = records_.find(*next);
    if (found == records_.end() || std::find(chain.begin(), chain.end(), *next) != chain.end()) break;
    chain.push_back(*next);
    if (found->second.settled) break;
    next = parent_of(*next, found->second);
  }
  return chain;
}

void Links::settle(ExchangeKey key) {
  const std::vector<ExchangeKey> chain = chain_of(key);
  const Record* parent = nullptr;
  for (auto step = chain.rbegin(); step != chain.rend(); ++step) {
    Record& record = records_.find(*step)->second;
    if (!record.settled) record.context = place(record, parent, parent == nullptr ? nullptr : &parent->context);
    record.settled = true;
    parent = &record;
  }
}

TraceContext Links::look_up(ExchangeKey key) const {
  const std::vector<ExchangeKey> chain = chain_of(key);
  TraceContext context;
  const Record* parent = nullptr;
  for (auto step = chain.rbegin(); step != chain.rend(); ++step) {
    const Record& record = records_.find(*step)->second;
    context = record.settled ? record.context : place(record, parent, &context);
    parent = &record;
  }
  return context;
}

TraceContext Links::closed(ExchangeKey key, const Exchange& exchange, Time time) {
  const auto found = records_.find(key);
  if (found == records_.end()) return {};
  Record& record = found->second;
  if (record.role == Role::client) {
    decide_cause(record, describe(key, exchange, record.begin), {});
  } else if (const auto received = received_.find(record.pid); received != received_.end()) {
    std::erase_if(received->second, [&](const Candidate& candidate) { return candidate.key == key; });
    if (received->second.empty()) received_.erase(received);
  }
  settle(key);
  record.end = time;
  ended_.emplace_back(key, time);
  TraceContext context = record.context;
  expire(time);
  return context;
}

void Links::expire(Time now) {
  while (!ended_.empty() && elapsed(ended_.front().second, now) > limits_.keep) {
    forget(ended_.front().first);
    ended_.pop_front();
  }
}

void Links::forget(ExchangeKey key) {
  const auto found = records_.find(key);
  if (found == records_.end()) return;
  if (const auto ends = client_ends_.find(found->second.pair_name); ends != client_ends_.end()) {
    std::erase_if(ends->second, [&](const ClientEnd& end) { return end.key == key; });
    if (ends->second.empty()) client_ends_.erase(ends);
  }
  records_.erase(found);
}

}  // namespace inferscope::correlate
