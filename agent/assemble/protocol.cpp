// SPDX-License-Identifier: Apache-2.0
#include "assemble/protocol.h"

#include <array>

#include "assemble/http1_exchanges.h"
#include "assemble/http1_mask.h"
#include "assemble/http1_syntax.h"

namespace inferscope::assemble {

std::span<const Protocol> protocols() {
  static constexpr std::array<Protocol, 1> table{{
      {"http", http1::recognise, http1::make_exchanges, http1::make_mask},
  }};
  return table;
}

}  // namespace inferscope::assemble
