// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "core/time.h"
#include "model/connection.h"

namespace inferscope {

/// One message that a watched process sent to another process, or received from one, on a message queue's connection.
/// Views are valid during the call only.
struct PeerMessage {
  struct Frame {
    std::string_view content{};
    std::uint64_t length = 0;  ///< longer than the content: the rest was not captured, or is beyond a limit

    [[nodiscard]] bool whole() const { return content.size() == length; }
  };

  std::shared_ptr<const Connection> connection{};  ///< never null
  Direction direction = Direction::received;
  Time time{};  ///< sent: handed to the kernel; received: all of it was there
  Pid pid = 0;
  Tid tid = 0;
  /// In their order. None: some messages may have been missed here, and nobody knows how many. Of those that went by
  /// before the connection was known for what it is, this is told late, with the time of then.
  std::span<const Frame> frames{};
};

}  // namespace inferscope
