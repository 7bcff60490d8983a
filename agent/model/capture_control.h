// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "model/connection.h"

namespace inferscope {

/// The only way upwards: a later stage asks the source for less or more of a connection. Best effort and without
/// an answer: what is not honoured shows as it always does, in Transfer::cut.
class CaptureControl {
 public:
  virtual ~CaptureControl() = default;

  /// No payload from this connection any more (lengths and times go on).
  virtual void stop_payload(ConnectionId connection) = 0;
  /// Whatever the capture budget says, capture again from this position of the stream on (the tail of a long body).
  virtual void capture_from(ConnectionId connection, Direction direction, std::uint64_t position) = 0;
};

}  // namespace inferscope
