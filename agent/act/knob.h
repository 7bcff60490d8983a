// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/result.h"

namespace inferscope::act {

/// Something of the host that has a value which an action changes and an undo changes back: a cgroup's file, or whether
/// a process runs. It is held by descriptor, so it cannot come to be another one between two uses.
class Knob {
 public:
  Knob() = default;
  Knob(const Knob&) = delete;
  Knob& operator=(const Knob&) = delete;
  virtual ~Knob() = default;

  [[nodiscard]] virtual Result<std::string> read() const = 0;
  /// The one call that changes the host.
  [[nodiscard]] virtual Status write(const std::string& value) const = 0;
  /// For evidence: the file, or "pidfd 4711".
  [[nodiscard]] virtual std::string where() const = 0;
};

}  // namespace inferscope::act
