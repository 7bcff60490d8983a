// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "assemble/protocol.h"

namespace inferscope::assemble::http1 {

/// Makes exchanges of an HTTP/1 connection.
std::unique_ptr<ProtocolParser> make_exchanges(ConnectionContext& context, ExchangeOutput& output);

}  // namespace inferscope::assemble::http1
