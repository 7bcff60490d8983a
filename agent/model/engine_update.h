// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/time.h"
#include "model/connection.h"

namespace inferscope {

/// What one message between a server's processes says of the engine's work. Views are valid during the call only.
struct EngineUpdate {
  enum class Event : std::uint8_t { added, queued, scheduled, preempted, aborted };

  struct Occurrence {
    Event event{};
    Time time{};  ///< by the engine's own clock where it tells a plausible one, else when the message moved
  };

  struct Request {
    std::string_view id{};  ///< the engine's
    std::vector<Occurrence> occurrences{};
    std::uint64_t new_tokens = 0;                  ///< that this message brings
    std::optional<std::uint64_t> tokens_so_far{};  ///< where the engine counts them itself
    std::optional<std::uint64_t> prompt_tokens{};
    std::optional<std::uint64_t> cached_tokens{};  ///< of the prompt
    bool in_step = false;                          ///< its part of what was made at once
    bool finished = false;
  };

  /// What the engine made at once.
  struct Step {
    std::uint64_t size = 0;  ///< requests in it, of those that the receiving process is told of
    std::optional<std::uint64_t> running{};
    std::optional<std::uint64_t> waiting{};
    std::optional<double> kv_usage{};  ///< 0 to 1
  };

  std::string_view engine{};  ///< "vllm"; empty: messages were missed
  Pid pid = 0;                ///< the watched process that sent or received it
  Direction direction = Direction::received;
  Time time{};  ///< as of occurrences
  std::vector<Request> requests{};
  std::optional<Step> step{};
  bool cut = false;  ///< there was more in it that was not captured
};

}  // namespace inferscope
