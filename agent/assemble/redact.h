// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "assemble/limits.h"
#include "core/stage_stats.h"
#include "model/event.h"

namespace inferscope::assemble {

/// Takes the content out of transfers and leaves what they are made of, so that a recording of the result gives the
/// same exchanges in structure, sizes and times. Lengths never change. Masked bytes are 'x'; everything is masked
/// unless it is known to be structure (see HeadMask, ContentMask, FrameMask and JsonMask for what is).
///
/// Four things do not survive: Request::body_hash, bodies with a content encoding and compressed WebSocket messages
/// (masked, they cannot be decoded any more and show as gaps), what stands behind a hole in a JSON body, and what is in
/// the messages of a message queue.
class Redactor {
 public:
  explicit Redactor(Limits limits = {});
  Redactor(const Redactor&) = delete;
  Redactor& operator=(const Redactor&) = delete;
  ~Redactor();

  /// To be given all events, in order. A transfer's content then lies in `scratch`, which must live as long as the
  /// event does; other events stay as they are.
  void on(Event& event, std::string& scratch);
  /// As Assembler::tick.
  void tick(Time now);

  /// Unit: bytes of the streams, as the Assembler counts them.
  [[nodiscard]] StageStats stats() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace inferscope::assemble
