// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "assemble/limits.h"
#include "core/emit.h"
#include "core/stage_stats.h"
#include "model/capture_control.h"
#include "model/event.h"
#include "model/exchange.h"
#include "model/peer_message.h"

namespace inferscope::assemble {

/// Makes exchanges of the bytes on connections. Deterministic: the same events give the same updates.
///
/// For each exchange: request_head, then request_body and request_hole, request_end, response_head, response_body or
/// response_message and response_hole, response_end, closed; a response may begin before its request's end. `closed`
/// comes exactly once for every request_head. Of a request whose framing was lost, request_end comes without
/// Request::end being set.
///
/// What processes say to each other on message queues is no exchange: where there is somebody to tell, it is told
/// message by message.
class Assembler {
 public:
  explicit Assembler(Limits limits = {}, CaptureControl* control = nullptr);
  Assembler(const Assembler&) = delete;
  Assembler& operator=(const Assembler&) = delete;
  ~Assembler();

  void on(const Event& event, const Emit<ExchangeUpdate>& emit, const Emit<PeerMessage>& messages = {});
  /// Forgets connections without a sign of life. Nothing else needs a clock.
  void tick(Time now, const Emit<ExchangeUpdate>& emit);
  /// Closes what is open; afterwards there are no connections.
  void finish(Time now, const Emit<ExchangeUpdate>& emit);

  /// Unit: bytes of the streams. Lost ones count, too, as soon as their loss shows. out: bytes of exchanges, and of
  /// frames of message queues.
  [[nodiscard]] StageStats stats() const;
  [[nodiscard]] std::size_t connections() const;
  /// Connections given up because there were too many or they were idle for too long.
  [[nodiscard]] std::uint64_t connections_forgotten() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace inferscope::assemble
