// SPDX-License-Identifier: Apache-2.0
#include "assemble/protocol.h"

#include <array>

#include "assemble/http1_exchanges.h"
#include "assemble/http1_mask.h"
#include "assemble/http1_syntax.h"
#include "assemble/http2_exchanges.h"
#include "assemble/http2_mask.h"
#include "assemble/http2_reader.h"
#include "assemble/zmtp_session.h"

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
