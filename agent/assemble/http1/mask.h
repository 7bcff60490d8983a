// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "assemble/protocol.h"

namespace inferscope::assemble::http1 {

/// Says which bytes of an HTTP/1 connection are structure (see Redactor).
std::unique_ptr<ProtocolParser> make_mask(ConnectionContext& context, MaskOutput& output);

}  // namespace inferscope::assemble::http1
