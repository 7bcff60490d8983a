// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "act/host.h"
#include "act/lease.h"
#include "core/fd.h"
#include "core/result.h"

namespace inferscope::act {

/// A small process that outlives the agent: it is told of each lease before it is made, and undoes what is outstanding
/// as soon as the agent is gone, however it went; so nothing stays stopped or frozen when nobody starts the agent
/// again. It has a session of its own and none of the agent's descriptors but the lock of the state folder.
class Guardian {
 public:
  /// `command`: program and first arguments; where the host is to be found follows. It runs run_guard().
  Guardian(std::vector<std::string> command, const HostRoots& roots, int lock_fd);
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;
  /// Closes the channel, upon which the guardian undoes what is still held, and waits for its end.
  ~Guardian();

  /// Error: it is not there and cannot be started. Tells a new one what is held.
  Status ensure();
  /// Error: the guardian does not know of the lease, so it must not be made.
  Status hold(const Lease& lease);
  void forget(const std::string& effect);

  [[nodiscard]] pid_t pid() const { return pid_; }  ///< 0: there is none

 private:
  Status start();
  /// Without letting it undo anything: what it was told of is still held.
  void replace();
  [[nodiscard]] bool alive();
  bool tell(const std::string& message);

  std::vector<std::string> command_;
  int lock_fd_;
  pid_t pid_ = 0;
  Fd channel_{};
  std::vector<std::pair<std::string, std::string>> held_{};  ///< effect's id, and what was told of it; oldest first
};

}  // namespace inferscope::act
