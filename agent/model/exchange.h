// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.h"
#include "model/connection.h"

namespace inferscope {

struct Header {
  std::string name{};  ///< lower case
  std::string value{};
};
using Headers = std::vector<Header>;

/// First value of a header (name in lower case), empty if there is none.
inline std::string_view find_header(const Headers& headers, std::string_view name) {
  for (const Header& header : headers)
    if (header.name == name) return header.value;
  return {};
}

/// A hole in what was captured of an exchange.
struct Gap {
  enum class Reason : std::uint8_t {
    lost,          ///< the kernel could not hand the events over (ring full)
    not_captured,  ///< beyond a capture limit, or switched off
    unreadable,    ///< never in user memory, or memory that could not be read
    limit,         ///< beyond a bound of the parser (header size, body size, decompression)
    malformed,     ///< bytes that are not the protocol
    mid_stream,    ///< the beginning was before the agent saw the connection
  };

  Direction direction = Direction::received;
  Reason reason = Reason::lost;
  std::uint64_t position = 0;  ///< in the direction's stream
  std::uint64_t bytes = 0;
};

/// One request and its response on a connection, as far as it is known. Times follow the watched process: bytes it
/// sends count when it hands them to the kernel (Transfer::begin), bytes it receives when it has them (end).
struct Exchange {
  enum class Ending : std::uint8_t {
    open,
    complete,        ///< response ended as its framing says; of a WebSocket: after a close frame
    upgraded,        ///< became another protocol (101, or 2xx to CONNECT) that is not read
    client_closed,   ///< client went away before the response was complete
    server_closed,   ///< server closed before the response was complete
    process_exited,  ///< the watched process ended
    lost_track,      ///< a gap or bytes that are not the protocol: the end could not be seen
    shut_down,       ///< the agent stopped watching
  };

  std::shared_ptr<const Connection> connection{};
  std::uint64_t sequence = 0;  ///< number of the exchange on its connection, from 0
  Role role = Role::unknown;   ///< of the watched process: server if it received the request
  Pid pid = 0;
  Tid tid = 0;             ///< thread that moved the request's first bytes
  std::string protocol{};  ///< "http"
  std::string version{};   ///< "1.0", "1.1", "2"
  bool encrypted = false;  ///< over TLS

  struct Request {
    std::optional<Time> begin{};  ///< first byte
    std::optional<Time> head_end{};
    std::optional<Time> end{};  ///< last byte of the body
    std::string method{};
    std::string target{};  ///< as sent: path and query
    Headers headers{};
    std::uint64_t head_bytes = 0;
    std::uint64_t body_bytes = 0;  ///< on the wire, without chunk or WebSocket framing
    std::uint64_t body_hash =
        0;  ///< of the body as on the wire without framing (assemble/content/body_hash.h); 0 if there is a hole
  } request{};

  struct Response {
    std::optional<Time> begin{};  ///< first byte of the final (not 1xx) response
    std::optional<Time> head_end{};
    std::optional<Time> first_body{};
    std::optional<Time> end{};
    int status = 0;                   ///< 0: no response seen
    std::uint32_t informational = 0;  ///< how many 1xx came before it
    Headers headers{};
    std::uint64_t head_bytes = 0;
    std::uint64_t body_bytes = 0;  ///< on the wire, without chunk or WebSocket framing
  } response{};

  std::vector<Gap> gaps{};  ///< bounded; more are counted in gaps_total
  std::uint64_t gaps_total = 0;
  Ending ending = Ending::open;

  [[nodiscard]] std::string_view path() const {
    return std::string_view(request.target).substr(0, request.target.find('?'));
  }
};

/// What just became known of an exchange. `exchange` and `data` are valid during the call only.
struct ExchangeUpdate {
  enum class Kind : std::uint8_t {
    request_head,     ///< request line and headers
    request_body,     ///< data: a piece of the body, content encoding removed
    request_hole,     ///< missing: bytes of the body that were not captured
    request_message,  ///< data: one complete message of the client's; on a WebSocket also behind request_end
    request_end,
    response_head,
    response_body,  ///< data: a piece of a body that is not an event stream, content encoding removed
    response_hole,
    response_message,  ///< data: one complete SSE event's data, NDJSON line or text message of a WebSocket; name: SSE
                       ///< event name if any
    response_end,
    closed,  ///< the exchange is over, see ending; always the last update, always sent exactly once
  };

  Kind kind{};
  const Exchange& exchange;
  Time time{};
  std::string_view data{};
  std::string_view name{};
  std::uint64_t missing = 0;
};

}  // namespace inferscope
