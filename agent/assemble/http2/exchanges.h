// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "assemble/open_exchange.h"
#include "assemble/protocol.h"

namespace inferscope::assemble::http2 {

/// Makes exchanges of an HTTP/2 connection, one of each stream.
std::unique_ptr<ProtocolParser> make_exchanges(ConnectionContext& context, ExchangeOutput& output);
/// The same behind an upgrade from HTTP/1.1, whose request is stream 1 (RFC 7540 3.2).
std::unique_ptr<ProtocolParser> go_on_with(ConnectionContext& context, ExchangeOutput& output,
                                           std::unique_ptr<OpenExchange> first);

}  // namespace inferscope::assemble::http2
