// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/time.h"
#include "model/connection.h"

namespace inferscope {

/// The source noticed a process that somebody must decide about: watch it or not. Not part of the event stream, since
/// it is about any process of the host; what is decided shows there as ProcessStarted.
struct ProcessNotice {
  enum class Kind : std::uint8_t {
    executed,             ///< a new program; may be watched already, as a child of a watched process
    forked,               ///< child of a watched process, watched already
    accepts_connections,  ///< nobody decided about it yet; now sampled
    received_inference,   ///< sampled, and received an inference request: watched already
  };

  Kind kind{};
  Pid pid = 0;
  Pid parent = 0;  ///< for forked
  Time time{};
  std::string sample{};  ///< for received_inference: first bytes of the request
};

using OnNotice = std::function<void(const ProcessNotice&)>;

}  // namespace inferscope
