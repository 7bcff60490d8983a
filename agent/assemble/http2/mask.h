// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "assemble/protocol.h"

namespace inferscope::assemble::http2 {

/// Says which bytes of an HTTP/2 connection are structure. Kept: everything but the values of fields that may be
/// secret, and what is masked of a body. A masked value decodes to as many bytes as before, so that what the other side
/// keeps of it goes on as it was. Two things are lost: a header block that is divided between transfers or frames is
/// masked whole, as one that empties the table, so it says nothing, and what later blocks refer to in it is not known;
/// and a Huffman-coded path with a query is masked with it.
std::unique_ptr<ProtocolParser> make_mask(ConnectionContext& context, MaskOutput& output);

}  // namespace inferscope::assemble::http2
