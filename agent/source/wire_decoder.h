// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "core/result.h"
#include "model/event.h"
#include "model/process_notice.h"
#include "source/gpu_decoder.h"

namespace inferscope::source {

/// A ring record in the agent's terms. What only the live source needs stays beside the event.
struct DecodedOpen {
  ConnectionOpened event{};
  std::uint64_t map_key = 0;  ///< of the connection's entry in the kernel's table
};
struct DecodedExit {
  ProcessExited event{};
};

struct Decoded {
  Time time{};
  std::variant<ProcessNotice, DecodedExit, DecodedOpen, ConnectionHalfClosed, ConnectionClosed, Transfer, ThreadRun,
               SendStall, Retransmit, MemoryReclaim, GpuWork, DecodedGpuCall, DecodedGpuFailure, DecodedGpuName>
      body{};
};

/// Decodes one record (bpf/abi/wire.h). Views in the result point into `record`. Any bytes may come: sizes, kinds and
/// enumerations are checked.
Result<Decoded> decode(std::span<const std::byte> record);

/// When a record was written; nothing if it is shorter than what tells that.
std::optional<Time> time_of(std::span<const std::byte> record);

}  // namespace inferscope::source
