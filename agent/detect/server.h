// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "core/time.h"
#include "detect/load_baseline.h"
#include "detect/quantile_sketch.h"
#include "model/event.h"
#include "model/finding.h"

namespace inferscope::detect {

/// An inference request that a server works on.
struct OpenRequest {
  RequestRef ref{};
  std::string model{};
  bool streams = false;
  Load load{};  ///< when it had come in
  Time begin{};
  std::optional<Time> ready{};  ///< it was received as a whole
  std::optional<Time> first_token{};
  std::optional<Time> last_token{};
  std::uint64_t tokens = 0;
  double usual_gap = 0;  ///< seconds between its tokens: exponential average of their logarithm; 0: not known
};

/// What is usual for one model.
struct Baselines {
  LoadBaseline first_token{LoadBaseline::PromptSize::decides};  ///< time to first token of streamed requests
  LoadBaseline per_token{LoadBaseline::PromptSize::matters};    ///< time per output token, medians of short windows
};

/// A watched process that serves inference, as the detectors see it.
struct Server {
  static constexpr Duration samples_kept = std::chrono::seconds(3);

  ProcessTarget process{};
  std::uint16_t port = 0;
  std::map<std::pair<ConnectionId, std::uint64_t>, OpenRequest> requests{};
  std::deque<std::pair<Time, ProcessSample>> samples{};  ///< newest last
  QuantileSketch gaps{};                                 ///< between tokens of any request, seconds
  std::map<std::string, Baselines> baselines{};          ///< by model; a client may name any
  std::optional<Time> last_accept{};                     ///< a client's connection was accepted
  std::optional<Time> last_loss{};                       ///< events were lost; what was going on then is not known
  std::uint64_t calls = 0;                               ///< inference requests so far

  static constexpr std::size_t models_kept = 64;
  /// The model's name, or an empty one for all models beyond a bound: what is kept by model is bounded by this.
  const std::string& bounded_model(const std::string& model);
  /// Requests that it has received and not finished.
  [[nodiscard]] std::size_t working() const;
  /// Events were lost since then, so nothing that rests on that time is sure.
  [[nodiscard]] bool blind_since(Time time) const { return last_loss && *last_loss >= time; }
};

}  // namespace inferscope::detect
