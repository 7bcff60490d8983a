// SPDX-License-Identifier: Apache-2.0
#include "assemble/http1/session.h"

#include <utility>

namespace inferscope::assemble::http1 {

Session::Session(ConnectionContext& context, bool wants_parts)
    : context_(context),
      request_(Side::request, context.in_sync[index_of(context.request_direction())], wants_parts, context.limits,
               context.account, *this),
      response_(Side::response, context.in_sync[index_of(opposite(context.request_direction()))], wants_parts,
                context.limits, context.account, *this) {}

void Session::bytes(Direction direction, std::string_view piece, bool fresh, std::uint64_t position) {
  if (http2_) return http2_->bytes(direction, piece, fresh, position);
  if (finished_ != Drop::count) return context_.account.drop(finished_, piece.size());
  const Side side = direction == context_.request_direction() ? Side::request : Side::response;
  if (websocket_) return websocket_bytes(side, piece, fresh, position);
  if (fresh && std::exchange(last_side_, side) != side) (side == Side::request ? request_ : response_).turn();
  const std::string_view rest = (side == Side::request ? request_ : response_).bytes(piece, fresh, position);
  if (!rest.empty() && http2_) return http2_->bytes(direction, rest, false, reader(side).position());
  if (!rest.empty()) return websocket_bytes(side, rest, false, reader(side).position());
  if (fresh) check_progress();
}

void Session::hole(Direction direction, std::uint64_t bytes, Gap::Reason reason, std::uint64_t position) {
  if (http2_) return http2_->hole(direction, bytes, reason, position);
  if (finished_ != Drop::count) return context_.account.drop(drop_of(reason), bytes);
  const bool of_request = direction == context_.request_direction();
  if (websocket_) return (of_request ? websocket_->request : websocket_->response).hole(bytes, reason, position);
  (of_request ? request_ : response_).hole(bytes, reason, position);
}

/// A connection on which nothing is understood any more does not deserve to be captured for ever.
void Session::check_progress() {
  if (malformed_in_a_row_ >= context_.limits.malformed_messages ||
      request_.failed_resyncs() + response_.failed_resyncs() >= context_.limits.resync_transfers) {
    give_up_all(Closing::lost_track);
    finished_ = Drop::not_recognised;
  }
}

void Session::half_closed(Direction direction) {
  if (http2_) return http2_->half_closed(direction);
  if (direction == Direction::received) {
    // Told when it reaches the host: what came before may still be unread. What it means shows when the connection
    // closes; a client, too, may end its side and wait for the response.
    peer_ended_ = true;
    return;
  }
  if (direction == context_.request_direction()) return request_.stream_ended();
  response_.stream_ended();
  // A server that ends its side after its client did has been left alone.
  const Closing how = peer_ended_ ? Closing::client_closed : Closing::server_closed;
  if (!pending_.empty()) give_up_all(response_.lost() ? Closing::lost_track : how);
  response_.abandon(Drop::after_end);
}

void Session::closed(End end) {
  if (http2_) return http2_->closed(end);
  const bool by_server = ended_by_server(context_, end, peer_ended_);
  Closing how = by_server ? Closing::server_closed : Closing::client_closed;
  if (end == End::process_exited) {
    how = Closing::process_exited;
  } else if (end == End::shut_down) {
    how = Closing::shut_down;
  } else if (end == End::lost_track || response_.lost()) {
    how = Closing::lost_track;
  } else if (by_server && end == End::process_closed) {
    response_.stream_ended();  // closing is how a server ends a body without a length
  }
  give_up_all(how);
  request_.abandon(Drop::after_end);
  response_.abandon(Drop::after_end);
  orphan_ = false;
  informational_ = false;
}

void Session::on_begin(Side side) {
  if (side == Side::response) {
    // One whose response ended while its request goes on cannot be answered again.
    orphan_ = pending_.empty() || pending_.front().response_done;
    informational_ = false;
    if (orphan_) {
      response_.count_as(Drop::before_boundary);
    } else {
      response_.count_as_read();
    }
  }
  message_begin(side);
}

BodyKind Session::on_head(const Head& head) {
  return head.side == Side::request ? request_head(head) : response_head(head);
}

BodyKind Session::request_head(const Head& head) {
  // Without pipelining, a client that sends a request has done with the ones before. Only if nothing was lost can
  // more than one be waiting for certain.
  if (request_resynced_ || response_.lost() || pending_.size() >= context_.limits.open_exchanges) {
    if (pending_.size() >= context_.limits.open_exchanges) gap(Side::request, Gap::Reason::limit, 0);
    if (!pending_.empty()) {
      give_up_all(Closing::lost_track);
      response_.abandon(Drop::lost_framing);
    }
  }
  if (orphan_ && !response_.between_messages()) response_.abandon(Drop::before_boundary);
  request_resynced_ = false;
  orphan_ = false;
  if (pending_.empty()) response_.expect_message();
  pending_.push_back(Pending{.head_method = head.head_method, .connect_method = head.connect_method});
  request_opened(head);
  if (head.transfer_encoding && !head.chunked) {
    gap(Side::request, Gap::Reason::malformed, 0);  // its end cannot be known (RFC 9112 6.3)
    return BodyKind::until_close;
  }
  if (head.chunked) return BodyKind::chunked;
  ask_for_tail(head);
  return head.content_length ? BodyKind::length : BodyKind::none;
}

BodyKind Session::response_head(const Head& head) {
  constexpr int switching_protocols = 101;
  const bool success = head.status >= 200 && head.status < 300;
  const bool connect = !orphan_ && pending_.front().connect_method && success;
  const bool to_http2 = head.status == switching_protocols && head.http2 && can_switch();
  upgraded_ = (head.status == switching_protocols || connect) && !to_http2;
  informational_ = head.status < 200 && !upgraded_;
  if (!orphan_) {
    pending_.front().response_open = !informational_;
    response_opened(head, informational_);
  }
  if (to_http2) {
    // What came of the client's before the answer is of the other protocol.
    bool& in_sync = context_.in_sync[index_of(context_.request_direction())];
    in_sync = in_sync && request_.between_messages();
    request_.abandon(Drop::after_upgrade);
    pending_.clear();
    http2_ = http2_opened();
    return BodyKind::other;
  }
  if (head.status == switching_protocols && head.websocket && !head.extensions.unknown && can_switch()) {
    open_websocket(head.extensions);
    return BodyKind::other;
  }
  if (upgraded_) return BodyKind::tunnel;
  if (informational_ || head.status == 204 || head.status == 304) return BodyKind::none;
  if (!orphan_ && pending_.front().head_method) return BodyKind::none;
  if (head.transfer_encoding) return head.chunked ? BodyKind::chunked : BodyKind::until_close;
  if (!head.content_length) return BodyKind::until_close;
  ask_for_tail(head);
  return BodyKind::length;
}

void Session::ask_for_tail(const Head& head) {
  if (!context_.control || !head.content_length || *head.content_length < context_.limits.long_body) return;
  const std::uint64_t end = reader(head.side).position() + *head.content_length;
  context_.control->capture_from(context_.connection->id, direction_of(head.side), end - context_.limits.body_tail);
}

void Session::on_body(Side side, std::string_view bytes) {
  if (side == Side::request) {
    request_body(bytes);
  } else if (!orphan_) {
    response_body(bytes);
  }
}

void Session::on_body_hole(Side side, std::uint64_t bytes, Gap::Reason reason) {
  content_hole(side);
  if (side == Side::request) {
    request_hole(bytes, reason);
  } else if (!orphan_) {
    response_hole(bytes, reason);
  }
}

void Session::on_end(Side side) {
  malformed_in_a_row_ = 0;
  if (side == Side::request) {
    finish_request(true);
  } else {
    finish_response();
  }
}

void Session::finish_request(bool known) {
  if (pending_.empty() || pending_.back().request_done) return;
  pending_.back().request_done = true;
  request_ended(known);
  settle();
}

void Session::finish_response() {
  if (orphan_) {
    orphan_ = false;
    if (upgraded_) finished_ = Drop::after_upgrade;
    return;
  }
  if (informational_ || pending_.empty()) return;
  pending_.front().response_done = true;
  response_ended();
  if (upgraded_) {
    // The client speaks the other protocol from here on, whatever else it asked for.
    pop(Closing::upgraded);
    give_up_all(Closing::lost_track);
    finished_ = Drop::after_upgrade;
    return;
  }
  settle();
}

void Session::settle() {
  if (pending_.front().request_done && pending_.front().response_done) pop(Closing::complete);
}

void Session::on_lost(Side side, Gap::Reason reason, std::uint64_t bytes, bool in_body) {
  note_malformed(reason);
  if (side == Side::request) {
    request_lost(reason, bytes, in_body);
  } else {
    response_lost(reason, bytes, in_body);
  }
}

void Session::note_malformed(Gap::Reason reason) {
  if (reason == Gap::Reason::malformed || reason == Gap::Reason::limit) ++malformed_in_a_row_;
}

void Session::request_lost(Gap::Reason reason, std::uint64_t bytes, bool in_body) {
  request_resynced_ = true;
  if (!in_body || pending_.empty() || pending_.back().request_done) return;
  if (reason == Gap::Reason::malformed || reason == Gap::Reason::limit) {
    gap(Side::request, reason, bytes);
    give_up_all(Closing::lost_track);
    response_.abandon(Drop::lost_framing);
  } else {
    finish_request(false);
  }
}

void Session::response_lost(Gap::Reason reason, std::uint64_t bytes, bool in_body) {
  if (orphan_ || pending_.empty()) {
    orphan_ = false;
    return;
  }
  if (pending_.front().response_done) return;
  if (reason != Gap::Reason::lost && reason != Gap::Reason::not_captured && reason != Gap::Reason::unreadable) {
    gap(Side::response, reason, bytes);
    return give_up_all(Closing::lost_track);
  }
  // Whose the next response is: of one request, its own, if nothing of it came yet. Of more, that of the newest, since
  // hardly a client pipelines; but that is a guess where more than one is left, and marked as a gap.
  gap(Side::response, reason, bytes);
  if (in_body) pop(Closing::lost_track);
  if (pending_.size() < 2) return;
  while (pending_.size() > 1) pop(Closing::lost_track);
  gap(Side::response, reason, bytes);
}

void Session::pop(Closing how) {
  pending_.erase(pending_.begin());
  close_oldest(how);
}

void Session::open_websocket(const websocket::Extensions& extensions) {
  // What came of the client's before the answer may have been a frame's beginning.
  const bool in_sync = request_.between_messages();
  request_.abandon(Drop::after_upgrade);
  websocket_ = std::make_unique<WebSocket>(in_sync, extensions, context_.account, websocket_opened(extensions));
}

void Session::websocket_bytes(Side side, std::string_view piece, bool fresh, std::uint64_t position) {
  auto& [request, response] = *websocket_;
  (side == Side::request ? request : response).bytes(piece, fresh, position);
  if (request.failed_resyncs() + response.failed_resyncs() < context_.limits.resync_transfers) return;
  give_up_all(Closing::lost_track);
  finished_ = Drop::not_recognised;
}

/// How it ends. It is whole when either side said that it closes it.
Session::Closing Session::leave_websocket(Closing how) {
  const bool response_done = websocket_->response.closed();
  const bool whole = response_done || websocket_->request.closed();
  const bool lost = websocket_->request.lost() || websocket_->response.lost();
  websocket_.reset();
  finished_ = Drop::after_end;
  if (whole && !response_done) response_ended();
  pending_.front().response_done = whole;
  const bool seen = how != Closing::client_closed && how != Closing::server_closed;
  return whole || seen || !lost ? how : Closing::lost_track;
}

void Session::give_up_all(Closing how) {
  if (websocket_) how = leave_websocket(how);
  while (!pending_.empty()) {
    // A response that ended while its request went on is whole, whatever became of the request.
    const bool whole = pending_.front().response_done;
    pop(whole && how != Closing::lost_track ? Closing::complete : how);
  }
}

}  // namespace inferscope::assemble::http1
