// SPDX-License-Identifier: Apache-2.0
#include "assemble/open_exchange.h"

#include <utility>

namespace inferscope::assemble {

using Kind = ExchangeUpdate::Kind;

void OpenExchange::Sink::body_piece(std::string_view data) {
  open.emit(side == Side::request ? Kind::request_body : Kind::response_body, data);
}
void OpenExchange::Sink::body_message(std::string_view name, std::string_view data) {
  open.emit(side == Side::request ? Kind::request_message : Kind::response_message, data, name);
}
void OpenExchange::Sink::body_undecodable(std::uint64_t bytes, ContentDecoder::Status why, bool first) {
  if (first)
    open.add_gap(side, why == ContentDecoder::Status::limit ? Gap::Reason::limit : Gap::Reason::malformed, bytes);
  open.emit_hole(side, bytes);
}
void OpenExchange::Sink::body_oversized() {
  open.add_gap(side, Gap::Reason::limit, 0);
}

OpenExchange::OpenExchange(const ConnectionContext& context, ExchangeOutput& output,
                           std::function<std::uint64_t(Side)> position)
    : context_(context),
      output_(output),
      position_(std::move(position)),
      request_sink_(*this, Side::request),
      response_sink_(*this, Side::response),
      request_body_(request_sink_),
      response_body_(response_sink_) {}

void OpenExchange::begin(Moment began) {
  request_body_.end_without_rest();
  response_body_.end_without_rest();
  // As new, but for the memory of what is assigned anew.
  exchange.connection = context_.connection;
  exchange.role = context_.role;
  exchange.pid = began.pid;
  exchange.tid = began.tid;
  exchange.protocol = "http";
  exchange.encrypted = context_.encrypted;
  exchange.request.begin = began.time;
  exchange.request.head_end.reset();
  exchange.request.end.reset();
  exchange.request.body_bytes = exchange.request.body_hash = 0;
  Headers kept = std::move(exchange.response.headers);
  kept.clear();
  exchange.response = Exchange::Response{};
  exchange.response.headers = std::move(kept);
  exchange.gaps.clear();
  exchange.gaps_total = 0;
  exchange.ending = Exchange::Ending::open;
  request_hole_ = false;
  hash_ = BodyHash{};
}

void OpenExchange::request_opened() {
  exchange.request.head_end = context_.moment.time;
  request_body_.begin(exchange.request.headers, Side::request, context_.limits);
  emit(Kind::request_head);
}

void OpenExchange::response_opened() {
  exchange.response.head_end = context_.moment.time;
  response_body_.begin(exchange.response.headers, Side::response, context_.limits);
  emit(Kind::response_head);
}

void OpenExchange::body(Side side, std::string_view bytes) {
  count(side, bytes.size());
  if (side == Side::response) return response_body_.bytes(bytes);
  if (!request_hole_) hash_.add(bytes);
  request_body_.bytes(bytes);
}

void OpenExchange::hole(Side side, std::uint64_t bytes, Gap::Reason reason) {
  count(side, bytes);
  request_hole_ = request_hole_ || side == Side::request;
  (side == Side::request ? request_body_ : response_body_).hole();
  add_gap(side, reason, bytes);
  emit_hole(side, bytes);
}

void OpenExchange::count(Side side, std::uint64_t bytes) {
  if (side == Side::request) {
    exchange.request.body_bytes += bytes;
    return;
  }
  if (!exchange.response.first_body) exchange.response.first_body = context_.moment.time;
  exchange.response.body_bytes += bytes;
}

void OpenExchange::message(Side side, std::string_view data) const {
  emit(side == Side::request ? Kind::request_message : Kind::response_message, data);
}

/// Of a request whose end was told already, the gap says it all.
void OpenExchange::message_hole(Side side, std::uint64_t bytes) const {
  if (side == Side::response && bytes > 0) emit_hole(side, bytes);
}

void OpenExchange::request_ended(bool known) {
  request_body_.end();
  if (known) {
    exchange.request.end = context_.moment.time;
    if (!request_hole_) exchange.request.body_hash = hash_.value();
  }
  emit(Kind::request_end);
}

void OpenExchange::response_ended() {
  response_body_.end();
  exchange.response.end = context_.moment.time;
  emit(Kind::response_end);
}

void OpenExchange::add_gap(Side side, Gap::Reason reason, std::uint64_t bytes) {
  const Direction direction = context_.direction_of(side);
  const std::uint64_t position = position_(side);
  std::vector<Gap>& gaps = exchange.gaps;
  if (!gaps.empty() && bytes > 0) {
    Gap& last = gaps.back();
    if (last.direction == direction && last.reason == reason && last.position + last.bytes == position) {
      last.bytes += bytes;
      return;
    }
  }
  ++exchange.gaps_total;
  if (gaps.size() < context_.limits.gaps)
    gaps.push_back(Gap{.direction = direction, .reason = reason, .position = position, .bytes = bytes});
}

void OpenExchange::close(Exchange::Ending ending) {
  exchange.ending = ending;
  emit(Kind::closed);
}

void OpenExchange::emit(Kind kind, std::string_view data, std::string_view name, std::uint64_t missing) const {
  (*output_.emit)(ExchangeUpdate{.kind = kind,
                                 .exchange = exchange,
                                 .time = context_.moment.time,
                                 .data = data,
                                 .name = name,
                                 .missing = missing});
}

void OpenExchange::emit_hole(Side side, std::uint64_t bytes) const {
  emit(side == Side::request ? Kind::request_hole : Kind::response_hole, {}, {}, bytes);
}

}  // namespace inferscope::assemble
