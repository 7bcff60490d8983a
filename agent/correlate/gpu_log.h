// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>

#include "core/time.h"
#include "model/gpu_work.h"

namespace inferscope::correlate {

/// When threads of one server had work at GPUs, of which nobody has asked yet.
class GpuLog {
 public:
  static constexpr std::size_t threads_kept = 64;
  static constexpr std::size_t windows_kept = 4096;  ///< of one thread

  struct Use {
    Duration busy{};     ///< from the first hand-over to the end of the wait, summed up over threads
    Duration waiting{};  ///< at least one of them waited
    bool any = false;
  };

  void on(const GpuWork& work);
  /// How much of it lies before `end` and was not taken before; what lies before `begin` is taken, too, but nobody
  /// waited for it.
  Use take(Time begin, Time end);
  [[nodiscard]] bool empty() const { return threads_.empty(); }
  /// The same without taking it.
  [[nodiscard]] Use peek(Time begin, Time end) const;
  /// What had to be forgotten before it was taken ended then.
  [[nodiscard]] Time lost_until() const { return lost_until_; }

 private:
  struct Window {
    Time begin{};
    Time wait_begin{};
    Time end{};
  };

  std::map<Tid, std::deque<Window>> threads_{};
  Time lost_until_{};
};

}  // namespace inferscope::correlate
