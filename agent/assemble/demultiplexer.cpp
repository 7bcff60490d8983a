// SPDX-License-Identifier: Apache-2.0
#include "assemble/demultiplexer.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace inferscope::assemble {
namespace {

constexpr std::size_t longest_prefix = 64;

}  // namespace

void Demultiplexer::on(const Event& event) {
  if (const auto* transfer = std::get_if<Transfer>(&event.body)) return on_body(*transfer, event.time);
  if (const auto* opened = std::get_if<ConnectionOpened>(&event.body)) return on_body(*opened, event.time);
  if (const auto* half = std::get_if<ConnectionHalfClosed>(&event.body)) return on_body(*half, event.time);
  if (const auto* closed = std::get_if<ConnectionClosed>(&event.body)) return on_body(*closed, event.time);
  if (const auto* exited = std::get_if<ProcessExited>(&event.body)) return on_body(*exited, event.time);
}

Demultiplexer::Entry* Demultiplexer::find(ConnectionId id) {
  if (last_entry_ && last_id_ == id) return last_entry_;
  const auto it = entries_.find(id);
  if (it == entries_.end()) return nullptr;
  last_id_ = id;
  last_entry_ = it->second.get();
  return last_entry_;
}

Demultiplexer::Entry& Demultiplexer::add(Connection connection, Time time) {
  if (entries_.size() >= limits_.connections) make_room(time);
  const bool in_sync = !connection.mid_stream;
  auto entry = std::make_unique<Entry>(Entry{.context = ConnectionContext{.limits = limits_,
                                                                          .account = account_,
                                                                          .control = control_,
                                                                          .role = connection.role,
                                                                          .in_sync = {in_sync, in_sync}},
                                             .mid_stream = connection.mid_stream,
                                             .last = time});
  last_id_ = connection.id;
  entry->context.connection = std::make_shared<const Connection>(std::move(connection));
  last_entry_ = entry.get();
  entries_.insert_or_assign(last_id_, std::move(entry));
  return *last_entry_;
}

void Demultiplexer::erase(Entries::iterator it) {
  for (const Direction direction : {Direction::received, Direction::sent}) give_up_prefix(*it->second, direction);
  last_entry_ = nullptr;
  entries_.erase(it);
}

/// Forgets many at once, so that a host that is always at the limit does not search for each new connection.
void Demultiplexer::make_room(Time now) {
  std::vector<std::tuple<bool, Time, ConnectionId>> order;
  order.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) order.emplace_back(entry->parser && entry->parser->busy(), entry->last, id);
  constexpr std::size_t portion = 16;
  const std::size_t surplus = entries_.size() - std::min(entries_.size(), limits_.connections);
  const std::size_t count = std::min(order.size(), surplus + 1 + limits_.connections / portion);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end());
  for (std::size_t i = 0; i < count; ++i) {
    const auto it = entries_.find(std::get<ConnectionId>(order[i]));
    close(*it->second, ProtocolParser::End::lost_track, now);
    erase(it);
    ++forgotten_;
  }
}

void Demultiplexer::close(Entry& entry, ProtocolParser::End end, Time now) {
  entry.context.moment = Moment{.time = now, .pid = entry.context.connection->pid};
  if (entry.parser) entry.parser->closed(end);
}

void Demultiplexer::tick(Time now) {
  constexpr Duration interval = std::chrono::minutes(1);
  if (now < next_expiry_) return;
  next_expiry_ = now + interval;
  expire(now);
}

void Demultiplexer::expire(Time now) {
  std::vector<ConnectionId> expired;
  for (const auto& [id, entry] : entries_) {
    const bool busy = entry->parser && entry->parser->busy();
    if (now - entry->last > (busy ? limits_.idle_exchange : limits_.idle)) expired.push_back(id);
  }
  std::sort(expired.begin(), expired.end());  // what is emitted must not depend on the table's order
  for (const ConnectionId id : expired) {
    const auto it = entries_.find(id);
    close(*it->second, ProtocolParser::End::lost_track, now);
    erase(it);
    ++forgotten_;
  }
}

void Demultiplexer::finish(Time now) {
  std::vector<ConnectionId> all;
  for (const auto& [id, entry] : entries_) all.push_back(id);
  std::sort(all.begin(), all.end());
  for (const ConnectionId id : all) {
    const auto it = entries_.find(id);
    close(*it->second, ProtocolParser::End::shut_down, now);
    erase(it);
  }
}

void Demultiplexer::on_body(const ConnectionOpened& opened, Time time) {
  Entry* known = find(opened.connection.id);
  if (!known) {
    add(opened.connection, time);
    return;
  }
  // Transfers came first. What was made of them stays; only who is at the ends is news.
  known->context.connection = std::make_shared<const Connection>(opened.connection);
  if (known->context.role == Role::unknown) known->context.role = opened.connection.role;
}

void Demultiplexer::on_body(const Transfer& transfer, Time /*time*/) {
  Entry* entry = find(transfer.connection);
  if (!entry && closed_[transfer.connection % remembered_closed] == transfer.connection) {
    account_.in += transfer.length;
    account_.drop(Drop::after_end, transfer.length);
    return;
  }
  if (!entry) {
    // Its opening was lost, or it was forgotten: as if found open.
    entry = &add(Connection{.id = transfer.connection, .pid = transfer.pid, .mid_stream = true}, transfer.end);
    // Its exchanges are not to be taken for those that were there before it was forgotten.
    entry->context.first_sequence = ++found_ << 32;
  }
  const int side = index_of(transfer.direction);
  if (!entry->begun[side]) {
    entry->begun[side] = true;
    if (entry->mid_stream) entry->streams[side].begin_at(transfer.position);
  }
  entry->last = transfer.end;
  entry->context.encrypted = transfer.encrypted;
  entry->context.moment = Moment{.time = transfer.direction == Direction::sent ? transfer.begin : transfer.end,
                                 .pid = transfer.pid,
                                 .tid = transfer.tid};
  entry->streams[side].take(
      transfer, account_,
      [&](std::string_view piece, bool fresh, std::uint64_t position) {
        bytes(*entry, transfer.direction, piece, fresh, position);
      },
      [&](std::uint64_t size, Gap::Reason reason, std::uint64_t position) {
        hole(*entry, transfer.direction, size, reason, position);
      });
}

void Demultiplexer::on_body(const ConnectionHalfClosed& half_closed, Time time) {
  Entry* entry = find(half_closed.id);
  if (!entry) return;
  entry->context.moment = Moment{.time = time, .pid = entry->context.connection->pid};
  if (entry->parser) entry->parser->half_closed(half_closed.direction);
}

void Demultiplexer::on_body(const ConnectionClosed& closed, Time time) {
  using Reason = ConnectionClosed::Reason;
  using End = ProtocolParser::End;
  Entry* entry = find(closed.id);
  if (!entry) return;
  entry->context.moment = Moment{.time = time, .pid = entry->context.connection->pid};
  for (const Direction direction : {Direction::received, Direction::sent}) {
    Stream& stream = entry->streams[index_of(direction)];
    if (!entry->begun[index_of(direction)] && entry->mid_stream) continue;  // nothing of it was seen: nothing lost
    stream.expect(direction == Direction::received ? closed.received_bytes : closed.sent_bytes, account_,
                  [&](std::uint64_t size, Gap::Reason reason, std::uint64_t position) {
                    hole(*entry, direction, size, reason, position);
                  });
  }
  const End end = closed.reason == Reason::reset            ? End::peer_closed
                  : closed.reason == Reason::process_exited ? End::process_exited
                  : closed.reason == Reason::forgotten      ? End::lost_track
                                                            : End::process_closed;
  close(*entry, end, time);
  erase(entries_.find(closed.id));
  closed_[closed.id % remembered_closed] = closed.id;
}

void Demultiplexer::on_body(const ProcessExited& exited, Time time) {
  std::vector<ConnectionId> ended;
  for (const auto& [id, entry] : entries_)
    if (entry->context.connection->pid == exited.pid) ended.push_back(id);
  std::sort(ended.begin(), ended.end());
  // The connections stay until they are closed: a child may go on with one.
  for (const ConnectionId id : ended) close(*entries_.find(id)->second, ProtocolParser::End::process_exited, time);
}

void Demultiplexer::bytes(Entry& entry, Direction direction, std::string_view piece, bool fresh,
                          std::uint64_t position) {
  switch (entry.phase) {
    case Phase::looking:
      return look(entry, direction, piece, fresh, position);
    case Phase::parsing:
      entry.parser->bytes(direction, piece, fresh, position);
      return after_parser(entry);
    case Phase::opaque:
      return account_.drop(entry.opaque_why, piece.size());
  }
}

void Demultiplexer::hole(Entry& entry, Direction direction, std::uint64_t size, Gap::Reason reason,
                         std::uint64_t position) {
  if (entry.phase == Phase::parsing) {
    entry.parser->hole(direction, size, reason, position);
    return after_parser(entry);
  }
  account_.drop(drop_of(reason), size);
  if (entry.phase == Phase::opaque) return;
  entry.context.unread[index_of(direction)] = entry.context.moment;
  // Without its beginning it is as if found in the middle. A hole behind a beginning that nobody recognised changes
  // nothing: other protocols move large transfers, too.
  const bool begins = position == 0 || !entry.prefix[index_of(direction)].empty();
  if (reason == Gap::Reason::lost || begins) entry.mid_stream = true;
  give_up_prefix(entry, direction);
  entry.context.in_sync[index_of(direction)] = false;
}

void Demultiplexer::look(Entry& entry, Direction direction, std::string_view piece, bool fresh,
                         std::uint64_t position) {
  std::string& prefix = entry.prefix[index_of(direction)];
  const bool in_sync = entry.context.in_sync[index_of(direction)];
  if (!fresh && !in_sync) return count_unrecognised(entry, direction, piece, fresh);
  std::string joined;
  if (!prefix.empty()) joined.append(prefix).append(piece.substr(0, longest_prefix));
  const std::string_view candidate = prefix.empty() ? piece : std::string_view(joined);
  bool undecided = false;
  for (const Protocol& protocol : protocols()) {
    Recognition recognition = protocol.recognise(candidate);
    if (recognition.answer == Recognition::Answer::no && entry.mid_stream && fresh && protocol.recognise_mid_stream)
      recognition = protocol.recognise_mid_stream(piece);
    if (recognition.answer == Recognition::Answer::need_more) undecided = true;
    if (!accept(entry, direction, protocol, recognition)) continue;
    const std::string held = std::exchange(prefix, {});
    account_.held -= held.size();
    if (!held.empty()) entry.parser->bytes(direction, held, true, position - held.size());
    entry.parser->bytes(direction, piece, held.empty() && fresh, position);
    return after_parser(entry);
  }
  if (!undecided || !in_sync || candidate.size() > longest_prefix)
    return count_unrecognised(entry, direction, piece, fresh);
  prefix.append(piece);
  account_.held += piece.size();
  factory_.undecided(piece);
}

bool Demultiplexer::accept(Entry& entry, Direction direction, const Protocol& protocol, Recognition recognition) {
  using Answer = Recognition::Answer;
  if (recognition.answer == Answer::no || recognition.answer == Answer::need_more) return false;
  if (recognition.answer != Answer::peer) {
    const bool from_peer = direction == Direction::received;
    const Role role = (recognition.answer == Answer::request) == from_peer ? Role::server : Role::client;
    if (entry.context.role == Role::unknown) entry.context.role = role;
    if (entry.context.role != role) return false;
  }
  give_up_prefix(entry, opposite(direction));
  entry.parser = factory_.make(protocol, entry.context);
  entry.phase = Phase::parsing;
  return true;
}

void Demultiplexer::give_up_prefix(Entry& entry, Direction direction) {
  std::string& prefix = entry.prefix[index_of(direction)];
  if (prefix.empty()) return;
  account_.drop_held(entry.mid_stream ? Drop::before_boundary : Drop::not_recognised, prefix.size());
  entry.context.in_sync[index_of(direction)] = false;
  entry.context.unread[index_of(direction)] = entry.context.moment;
  prefix.clear();
}

void Demultiplexer::count_unrecognised(Entry& entry, Direction direction, std::string_view piece, bool fresh) {
  give_up_prefix(entry, direction);
  entry.context.in_sync[index_of(direction)] = false;
  entry.context.unread[index_of(direction)] = entry.context.moment;
  account_.drop(entry.mid_stream ? Drop::before_boundary : Drop::not_recognised, piece.size());
  if (fresh) ++entry.transfers_looked_at;
  entry.bytes_looked_at += piece.size();
  const bool enough = entry.mid_stream ? entry.transfers_looked_at >= limits_.resync_transfers
                                       : entry.transfers_looked_at >= limits_.recognise_transfers ||
                                             entry.bytes_looked_at >= limits_.recognise_bytes;
  if (enough) make_opaque(entry, Drop::not_recognised);
}

void Demultiplexer::make_opaque(Entry& entry, Drop why) {
  entry.phase = Phase::opaque;
  entry.opaque_why = why;
  entry.parser.reset();
  for (const Direction direction : {Direction::received, Direction::sent}) give_up_prefix(entry, direction);
  if (control_) control_->stop_payload(entry.context.connection->id);
}

void Demultiplexer::after_parser(Entry& entry) {
  if (entry.parser->finished() != Drop::count) make_opaque(entry, entry.parser->finished());
}

}  // namespace inferscope::assemble
