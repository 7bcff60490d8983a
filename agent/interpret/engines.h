// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/packed.h"
#include "model/engine_update.h"
#include "model/peer_message.h"

namespace inferscope::interpret {

/// What a message is to an engine: none of its own, one in its format that says nothing of requests, or one that does.
enum class Reading : std::uint8_t { foreign, control, work };

/// How one engine's processes say things. `root` is the message's MessagePack, an array or a map, which `reader` holds.
struct Engine {
  std::string_view name{};
  /// Unless it is work, `update` may be anything.
  Reading (*read)(const PeerMessage& message, const Packed& root, const PackedReader& reader, EngineUpdate& update);
};

extern const Engine vllm_engine;
extern const Engine sglang_engine;

// What engines have in common.
/// An id of a request: text of a sane length.
bool is_request_id(const Packed* value);
/// A time that the engine told in seconds of the kernel's monotonic clock, if it can be meant: not behind `message`,
/// and not longer before it than `oldest`. In a container with a time namespace it is another clock's.
std::optional<Time> believed(double seconds, Time message, Duration oldest);

}  // namespace inferscope::interpret
