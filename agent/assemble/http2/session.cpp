// SPDX-License-Identifier: Apache-2.0
#include "assemble/http2/session.h"

namespace inferscope::assemble::http2 {

Session::Session(ConnectionContext& context)
    : context_(context),
      request_(Side::request, context.in_sync[index_of(context.direction_of(Side::request))], context.limits,
               context.account, *this),
      response_(Side::response, context.in_sync[index_of(context.direction_of(Side::response))], context.limits,
                context.account, *this) {}

void Session::bytes(Direction direction, std::string_view piece, bool fresh, std::uint64_t position) {
  (context_.side_of(direction) == Side::request ? request_ : response_).bytes(piece, fresh, position);
  if (!fresh) return;
  // A connection on which nothing is understood any more does not deserve to be captured for ever.
  const bool malformed = request_.malformed() + response_.malformed() >= context_.limits.malformed_messages;
  const bool lost = request_.failed_resyncs() + response_.failed_resyncs() >= context_.limits.resync_transfers;
  if (!malformed && !lost) return;
  given_up();
  finished_ = Drop::not_recognised;
}

void Session::hole(Direction direction, std::uint64_t bytes, Gap::Reason reason, std::uint64_t position) {
  (context_.side_of(direction) == Side::request ? request_ : response_).hole(bytes, reason, position);
}

void Session::on_block(Side side, StreamId stream, std::string_view block, bool promised) {
  const bool in_piece = reader(side).block_in_piece();
  headers_begin(block);
  const bool good = decoder(side).decode(block, [&](const HpackField& field) { on_field(field, in_piece); });
  headers_end(side, promised ? 0 : stream, good);
}

void Session::on_lost(Side side, Gap::Reason reason, std::uint64_t bytes) {
  decoder(side).lose();
  frames_lost(side, reason, bytes);
}

}  // namespace inferscope::assemble::http2
