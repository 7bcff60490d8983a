// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "act/host.h"
#include "act/lease.h"
#include "core/result.h"
#include "core/time.h"

namespace inferscope::act {

/// What the guardian knows: the leases that its agent holds.
class Guard {
 public:
  explicit Guard(HostRoots roots) : roots_(std::move(roots)) {}

  /// A record of the journal: an intent is held, what is undone is forgotten. Anything else changes nothing.
  void on(std::string_view message);
  /// Undoes what the agent should have undone itself some time ago: it hangs.
  void tick(Time now);
  /// The agent is gone: undoes all, the newest first. True: nothing is left.
  bool undo_all();

  [[nodiscard]] const std::vector<Lease>& held() const { return held_; }

 private:
  void finish(std::vector<Lease> leases, std::string_view why);

  HostRoots roots_;
  std::vector<Lease> held_{};
};

/// What the guardian says first, so that the agent knows that it is one.
inline constexpr std::string_view guard_ready = "ready";
/// The guardian's descriptors: what its agent tells it, and the lock of the state folder, which it keeps for as long as
/// it has something to undo.
inline constexpr int guard_channel_fd = 0;
inline constexpr int guard_lock_fd = 3;

/// The guardian's whole life: ends when the other end of the channel (a SOCK_SEQPACKET socket) is closed and what was
/// outstanding is undone. Error: it is no such channel, or something could not be undone.
Status run_guard(const HostRoots& roots, int channel);

}  // namespace inferscope::act
