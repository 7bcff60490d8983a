// SPDX-License-Identifier: Apache-2.0
#include "assemble/protocol.h"

#include <array>

#include "assemble/http1/exchanges.h"
#include "assemble/http1/mask.h"
#include "assemble/http1/syntax.h"
#include "assemble/http2/exchanges.h"
#include "assemble/http2/mask.h"
#include "assemble/http2/reader.h"
#include "assemble/zmtp/session.h"

namespace inferscope::assemble {

std::span<const Protocol> protocols() {
  static constexpr std::array<Protocol, 3> table{{
      {"http/1", http1::recognise, http1::make_exchanges, http1::make_mask},
      {"http/2", http2::recognise, http2::make_exchanges, http2::make_mask},
      {"zmtp", zmtp::recognise, zmtp::make_messages, zmtp::make_mask, zmtp::recognise_mid_stream},
  }};
  return table;
}

}  // namespace inferscope::assemble
