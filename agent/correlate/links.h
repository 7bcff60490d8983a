// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "correlate/ids.h"
#include "model/exchange.h"
#include "model/request_trace.h"

namespace inferscope::correlate {

struct ExchangeKey {
  ConnectionId connection = 0;
  std::uint64_t sequence = 0;
  bool operator==(const ExchangeKey&) const = default;
};
struct ExchangeKeyHash {
  std::size_t operator()(const ExchangeKey& key) const {
    return static_cast<std::size_t>((key.connection * 0x9e3779b97f4a7c15U) ^ (key.sequence * 0xc2b2ae3d27d4eb4fU));
  }
};

/// Where a request stands in its trace.
struct TraceContext {
  TraceId trace_id{};
  std::optional<SpanId> parent{};
  std::string state{};
};

/// Finds the parents of requests among the other requests of this host, and their place in the caller's trace.
///
/// Two kinds of links: the client's and the server's end of one connection (the server's exchange is the child), and,
/// in a proxy, the request that it received and the one that it made because of it. A link is made only if exactly one
/// candidate fits.
///
/// Events of two processes may arrive a moment out of order, so nothing is decided before it is needed: a place is
/// settled when its trace, or that of a child, is handed on, and then stays. By that time everything that began before
/// it has long been seen.
class Links {
 public:
  struct Limits {
    std::size_t records = 32768;              ///< of open requests and of those that ended lately
    Duration keep = std::chrono::seconds{2};  ///< how long a request can be a parent after its end
  };

  explicit Links(Limits limits) : limits_(limits) {}

  void opened(ExchangeKey key, const Exchange& exchange, Time time, const IdSeed& seed);
  /// The request's body has been seen: now the request that caused it can be found.
  /// `asked`: the last text of its prompt, or the end of that.
  void requested(ExchangeKey key, const Exchange& exchange, std::string_view asked);
  /// Settles its place. Later ones may still find it as their parent for a while.
  TraceContext closed(ExchangeKey key, const Exchange& exchange, Time time);
  /// Its place as far as it is known now; settles nothing.
  [[nodiscard]] TraceContext look_up(ExchangeKey key) const;

  /// Requests that could not be linked, or no longer be found, because of Limits::records.
  [[nodiscard]] std::uint64_t forgotten() const { return forgotten_; }

 private:
  struct Record {
    Role role = Role::unknown;
    Pid pid = 0;
    bool mid_stream = false;
    bool cause_decided = false;
    bool settled = false;
    Time begin{};
    std::optional<Time> end{};
    SpanId span_id{};
    std::uint64_t request_hash = 0;  ///< of method and target: the same on both ends of a connection
    std::optional<TraceParent> traceparent{};
    std::optional<ExchangeKey> cause{};
    std::string pair_name{};  ///< of the connection, as its client names it
    TraceContext context{};
  };

  /// What can tell which of a process's requests caused another one. Small and in a row: a proxy with thousands of
  /// requests in flight looks through all of them for each.
  struct Candidate {
    ExchangeKey key{};
    Time begin{};
    Tid tid = 0;
    std::uint64_t trace_id = 0;  ///< hashes; 0: none
    std::uint64_t request_id = 0;
    std::uint64_t path = 0;
    std::uint64_t body_hash = 0;
    std::uint64_t body_bytes = 0;
    std::string asked{};  ///< the end of the last text of its prompt; empty: none that tells it from others
  };

  struct ClientEnd {
    ExchangeKey key{};
    Time begin{};
  };

  using Records = std::unordered_map<ExchangeKey, Record, ExchangeKeyHash>;

  static Candidate describe(ExchangeKey key, const Exchange& exchange, Time begin);
  void decide_cause(Record& record, const Candidate& made, std::string_view asked);
  [[nodiscard]] std::optional<ExchangeKey> paired_client(ExchangeKey key, const Record& record) const;
  [[nodiscard]] std::optional<ExchangeKey> parent_of(ExchangeKey key, const Record& record) const;
  /// The request, its parent, that one's parent … up to one whose place is settled.
  [[nodiscard]] std::vector<ExchangeKey> chain_of(ExchangeKey key) const;
  void settle(ExchangeKey key);
  static TraceContext place(const Record& record, const Record* parent, const TraceContext* parent_context);
  void expire(Time now);
  void forget(ExchangeKey key);

  Limits limits_;
  Records records_{};
  std::unordered_map<Pid, std::vector<Candidate>> received_{};  ///< open requests by the process serving them
  std::unordered_map<std::string, std::vector<ClientEnd>> client_ends_{};  ///< by name of the connection
  std::deque<std::pair<ExchangeKey, Time>> ended_{};
  std::uint64_t forgotten_ = 0;
};

}  // namespace inferscope::correlate
