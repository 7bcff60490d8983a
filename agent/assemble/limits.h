// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "core/time.h"

namespace inferscope::assemble {

/// Bounds of the stage, in bytes unless the name says otherwise. What goes beyond one shows as a Gap with
/// Reason::limit on its exchange, or in stats().dropped.
struct Limits {
  std::size_t line = 32 * 1024;           ///< longest line of a message head
  std::size_t head = 64 * 1024;           ///< names and values kept of one head; the rest is read and forgotten
  std::size_t head_total = 1024 * 1024;   ///< a longer head is malformed
  std::size_t headers = 256;              ///< header fields kept of one head
  std::size_t open_exchanges = 64;        ///< per connection (pipelining)
  std::size_t open_streams = 256;         ///< exchanges open at once on an HTTP/2 connection
  std::size_t gaps = 16;                  ///< kept per exchange; more are counted in gaps_total
  std::size_t message = 1024 * 1024;      ///< one SSE event, NDJSON line or WebSocket message; a longer one is dropped
  std::size_t peer_message = 4 << 20;     ///< kept of one message between processes; more shows in its length
  std::size_t peer_messages = 32 << 20;   ///< kept of all that are not complete, likewise
  std::uint64_t decoded = 64ULL << 20;    ///< of one body without its content encoding
  std::uint64_t decoded_ratio = 200;      ///< decoded : encoded, looked at above decoded_floor
  std::uint64_t decoded_floor = 1 << 20;  ///< decoded bytes that are never too many
  std::size_t connections = 16384;        ///< at more, the ones longest without a transfer are forgotten
  std::size_t recognise_bytes = 4096;     ///< of a new connection looked at to find its protocol
  std::size_t recognise_transfers = 3;    ///< beginnings of transfers looked at, likewise
  std::size_t resync_transfers = 65536;   ///< the same once the beginning is missing: a long stream may have to pass
  std::size_t malformed_messages = 8;     ///< in a row; then the connection is not what it looked like
  std::uint64_t long_body = 256 * 1024;   ///< a body this long has its tail asked for with capture_from()
  std::uint64_t body_tail = 16 * 1024;    ///< how much of its end
  Duration idle = std::chrono::hours(1);  ///< without a transfer and without an open exchange: forgotten
  Duration idle_exchange = std::chrono::hours(6);  ///< the same with an open exchange

  /// Too much for what it was made of.
  [[nodiscard]] bool exceeded(std::uint64_t encoded_bytes, std::uint64_t decoded_bytes) const {
    if (decoded_bytes > decoded) return true;
    return decoded_bytes > decoded_floor && decoded_bytes / decoded_ratio > encoded_bytes;
  }
};

}  // namespace inferscope::assemble
