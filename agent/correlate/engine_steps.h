// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "core/stage_stats.h"
#include "correlate/links.h"
#include "model/event.h"
#include "model/explanation.h"
#include "model/inference_call.h"
#include "model/request_trace.h"

namespace inferscope::correlate {

/// Finds the turns of engines' loops and charges them to the requests in them.
///
/// A turn ends when those in it get their tokens. A token is made when the engine's loop wakes the thread that sends
/// it; the thread that wakes most senders is the loop's. The next turn begins there, or, after the loop slept since
/// there was nothing to do, when it got a processor again. What is asked for while a turn is under way begins with the
/// next one.
///
/// Amounts of a turn (its length, what GPUs did in it, what its loop ran) are split by weight: the tokens that a
/// request gets, or as many as its prompt has. The shares add up to the amount to the nanosecond.
class EngineSteps {
 public:
  struct Limits {
    std::size_t servers = 1024;
    std::size_t requests = 8192;
  };
  /// What turns are made of.
  struct Amounts {
    Duration time{};
    Duration gpu{};
    Duration cpu{};

    Amounts& operator+=(const Amounts& more) {
      time += more.time;
      gpu += more.gpu;
      cpu += more.cpu;
      return *this;
    }
  };
  /// Over all requests told of and those still open.
  struct Totals {
    std::uint64_t steps = 0;
    Amounts shares{};

    Totals& operator+=(const Totals& more) {
      steps += more.steps;
      shares += more.shares;
      return *this;
    }
  };

  explicit EngineSteps(const Limits& limits);
  ~EngineSteps();
  EngineSteps(EngineSteps&&) noexcept;
  EngineSteps& operator=(EngineSteps&&) noexcept;

  void on(const Event& event);
  /// `name`: what others are told that wait for it; asked for with the request.
  void on(ExchangeKey key, const CallUpdate& update, const RequestName& name);
  /// Where the time of a request went until now; at its end the last word of it.
  [[nodiscard]] std::optional<Explanation> explain(ExchangeKey key, Time now) const;
  std::optional<Explanation> close(ExchangeKey key, const CallUpdate& update, Time end);

  [[nodiscard]] Totals totals() const;
  /// Unit: requests. Dropped: "limit".
  [[nodiscard]] StageStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace inferscope::correlate
