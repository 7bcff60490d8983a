// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/time.h"
#include "detect/finding_book.h"
#include "detect/server.h"
#include "model/event.h"
#include "model/finding.h"
#include "model/request_trace.h"

namespace inferscope::detect {

/// What the detectors share.
struct Context {
  FindingBook& book;
  Time now{};
  std::int64_t unix_minus_kernel_ns = 0;
};

/// Watches servers for one kind of trouble. Told what happens and, at fixed times, to judge what did not happen. To add
/// one: a file with a class and its maker, and a line in detectors.cpp.
class Detector {
 public:
  virtual ~Detector() = default;

  /// `request` has its new token; `gap`: seconds since the one before, 0 for the first.
  virtual void on_token(Server& /*server*/, OpenRequest& /*request*/, double /*gap*/, Context& /*context*/) {}
  /// A request ended; it is open for the last time.
  virtual void on_closed(Server& /*server*/, OpenRequest& /*request*/, const CallUpdate& /*update*/,
                         Context& /*context*/) {}
  virtual void on_trace(Server& /*server*/, const RequestTrace& /*trace*/, Context& /*context*/) {}
  virtual void on_started(const ProcessStarted& /*started*/, Context& /*context*/) {}
  /// The process is gone; its findings were closed before this.
  virtual void on_exited(Server& /*server*/, const ProcessExited& /*exited*/, Context& /*context*/) {}
  virtual void tick(Server& /*server*/, Context& /*context*/) {}
  /// Once for the host, after all servers.
  virtual void tick(Context& /*context*/) {}
};

using Detectors = std::vector<std::unique_ptr<Detector>>;
Detectors make_detectors();

/// Puts a fresh explanation into the finding if it says more than the one there. True: it does.
bool explain_anew(Finding& finding, const Server& server, Time now);

}  // namespace inferscope::detect
