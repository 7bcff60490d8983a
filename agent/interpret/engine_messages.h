// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "core/emit.h"
#include "core/packed.h"
#include "core/stage_stats.h"
#include "model/capture_control.h"
#include "model/engine_update.h"
#include "model/peer_message.h"

namespace inferscope::interpret {

/// Reads what the processes of an inference server say to each other. Formats are told by what they look like, not by
/// their version: what is not as expected is passed over. Pickled objects are left alone, since reading them means
/// running them. Of a connection on which no message is an engine's, no more is captured.
class EngineMessages {
 public:
  explicit EngineMessages(CaptureControl* control = nullptr) : control_(control) {}

  void on(const PeerMessage& message, const Emit<EngineUpdate>& emit);

  /// Unit: messages. Dropped: "not an engine's", "not of requests" (an engine's), "pickled", "missed" (a place where
  /// some are not there).
  [[nodiscard]] StageStats stats() const;

 private:
  /// Of one connection.
  struct Heard {
    bool engine = false;                   ///< a message told of an engine's work
    std::uint32_t others = 0;              ///< messages before that, by how little they are like an engine's
    std::optional<EngineUpdate> missed{};  ///< the last time before that
  };
  enum class Kind : std::uint8_t { foreign, control, pickled, work };

  Kind read(const PeerMessage& message);
  void begin(const PeerMessage& message, std::string_view engine);
  void count_other(const PeerMessage& message, Heard& heard, std::uint32_t weight);
  Heard& heard_of(const PeerMessage& message);

  CaptureControl* control_;
  std::unordered_map<ConnectionId, Heard> heard_{};
  PackedReader reader_{};
  EngineUpdate update_{};
  std::uint64_t in_ = 0;
  std::uint64_t out_ = 0;
  std::uint64_t foreign_ = 0;
  std::uint64_t control_messages_ = 0;
  std::uint64_t pickled_ = 0;
  std::uint64_t missed_ = 0;
};

}  // namespace inferscope::interpret
