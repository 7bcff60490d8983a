// SPDX-License-Identifier: Apache-2.0
#include "assemble/zmtp/session.h"

#include <utility>

namespace inferscope::assemble::zmtp {

Session::Session(ConnectionContext& context, std::unique_ptr<FrameSink> received, std::unique_ptr<FrameSink> sent)
    : limits_(context.limits),
      received_sink_(std::move(received)),
      sent_sink_(std::move(sent)),
      received_(context.in_sync[index_of(Direction::received)], context.account, *received_sink_),
      sent_(context.in_sync[index_of(Direction::sent)], context.account, *sent_sink_) {}

void Session::bytes(Direction direction, std::string_view piece, bool fresh, std::uint64_t /*position*/) {
  reader(direction).bytes(piece, fresh);
  for (const FrameReader* one : {&received_, &sent_})
    if (one->given_up() != Drop::count) finished_ = one->given_up();
  // A connection on which nothing is understood any more does not deserve to be captured for ever.
  if (received_.malformed() + sent_.malformed() >= limits_.malformed_messages ||
      received_.failed_resyncs() + sent_.failed_resyncs() >= limits_.resync_transfers)
    finished_ = Drop::not_recognised;
}

void Session::hole(Direction direction, std::uint64_t bytes, Gap::Reason reason, std::uint64_t /*position*/) {
  reader(direction).hole(bytes, reason);
}

}  // namespace inferscope::assemble::zmtp
