// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/emit.h"
#include "core/stage_stats.h"
#include "interpret/dialect_definition.h"
#include "model/exchange.h"
#include "model/inference_call.h"

namespace inferscope::interpret {

struct Limits {
  std::size_t body_head_bytes = std::size_t{256} * 1024;   ///< kept of the beginning of a body …
  std::size_t body_tail_bytes = std::size_t{64} * 1024;    ///< … and of its end
  std::size_t held_bytes = std::size_t{24} * 1024 * 1024;  ///< of all bodies together
  std::size_t open_calls = 8192;
  std::size_t token_times = 16384;         ///< of one call
  std::size_t held_token_times = 1 << 21;  ///< of all open calls together
};

/// What a bound cost. None of these makes an exchange drop.
struct Counters {
  std::uint64_t bodies_cut = 0;  ///< pieces of bodies not kept: all bodies together were at their bound
  std::uint64_t token_times_cut = 0;
  std::uint64_t broken_bodies = 0;  ///< bodies and messages that were not the JSON they should be
};

/// Reads exchanges as inference calls: each exchange becomes one call, with an empty dialect if it is something else.
/// For each: `opened`, then `request` if the request's end is seen, a `token` for each content event, and `closed`.
class Interpreter {
 public:
  /// `taught` dialects are asked in their order, and before the built-in ones.
  explicit Interpreter(Limits limits = {}, const std::vector<DialectDefinition>& taught = {});
  ~Interpreter();
  Interpreter(Interpreter&&) noexcept;
  Interpreter& operator=(Interpreter&&) noexcept;

  void on(const ExchangeUpdate& update, const Emit<CallUpdate>& emit);

  /// Unit: exchanges. Dropped: "open call limit".
  [[nodiscard]] StageStats stats() const;
  [[nodiscard]] Counters counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace inferscope::interpret
