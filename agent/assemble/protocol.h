// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "assemble/account.h"
#include "assemble/limits.h"
#include "core/emit.h"
#include "core/time.h"
#include "model/capture_control.h"
#include "model/connection.h"
#include "model/event.h"
#include "model/exchange.h"
#include "model/peer_message.h"

namespace inferscope::assemble {

/// Of an exchange: what the client says, and what it is answered.
enum class Side : std::uint8_t { request, response };

constexpr int index_of(Side side) {
  return static_cast<int>(side);
}

/// What a protocol says about the first bytes of a stream. Of peers, both sides speak alike.
struct Recognition {
  enum class Answer : std::uint8_t { no, need_more, request, response, peer };

  Answer answer = Answer::no;
};

/// When and by whom the bytes were moved that are being read.
struct Moment {
  Time time{};
  Pid pid = 0;
  Tid tid = 0;
};

/// What a parser knows of its connection. Owned by the Demultiplexer, outlives the parser.
struct ConnectionContext {
  const Limits& limits;
  Account& account;
  CaptureControl* control = nullptr;  ///< may be null
  std::shared_ptr<const Connection> connection{};
  Role role = Role::unknown;  ///< of the watched process; known by the time a parser is made
  Moment moment{};
  bool encrypted = false;             ///< what was moved last
  std::uint64_t first_sequence = 0;   ///< of the connection's exchanges
  bool in_sync[2]{};                  ///< per direction: the parser will see the stream from its first byte
  std::optional<Moment> unread[2]{};  ///< per direction: when bytes last went by that no parser saw

  [[nodiscard]] Direction request_direction() const {
    return role == Role::client ? Direction::sent : Direction::received;
  }
  [[nodiscard]] Direction direction_of(Side side) const {
    return side == Side::request ? request_direction() : opposite(request_direction());
  }
  [[nodiscard]] Side side_of(Direction direction) const {
    return direction == request_direction() ? Side::request : Side::response;
  }
};

/// Reads one connection. Every byte and every hole of both directions is given to it once, in order per direction.
class ProtocolParser {
 public:
  enum class End : std::uint8_t { peer_closed, process_closed, process_exited, lost_track, shut_down };

  ProtocolParser() = default;
  ProtocolParser(const ProtocolParser&) = delete;
  ProtocolParser& operator=(const ProtocolParser&) = delete;
  virtual ~ProtocolParser() = default;

  /// `fresh`: the piece is the beginning of a transfer. `position` is that of its first byte in the stream.
  virtual void bytes(Direction direction, std::string_view piece, bool fresh, std::uint64_t position) = 0;
  virtual void hole(Direction direction, std::uint64_t bytes, Gap::Reason reason, std::uint64_t position) = 0;
  /// That direction ends here.
  virtual void half_closed(Direction direction) = 0;
  /// Ends what is open. More bytes may follow (of a process that inherited the connection).
  virtual void closed(End end) = 0;
  /// Whether the server ended it, and not its client. `peer_ended`: the peer of the watched process had half-closed.
  static bool ended_by_server(const ConnectionContext& context, End end, bool peer_ended) {
    const bool watched_is_server = context.request_direction() == Direction::received;
    return (end == End::process_closed && !peer_ended) == watched_is_server;
  }
  /// Something is open.
  [[nodiscard]] virtual bool busy() const = 0;
  /// Why the rest of the connection is not for this parser; Drop::count while it is.
  [[nodiscard]] virtual Drop finished() const = 0;
};

/// Where the exchanges of a connection go, and messages that belong to none.
struct ExchangeOutput {
  const Emit<ExchangeUpdate>* emit = nullptr;   ///< of the event being handled
  const Emit<PeerMessage>* messages = nullptr;  ///< likewise; may be empty
  std::size_t held = 0;                         ///< bytes of messages that are not complete, of all connections
};

/// Where a parser that redacts says which bytes of the current piece may be kept. What nobody keeps is masked.
class MaskOutput {
 public:
  static constexpr char mask = 'x';

  virtual ~MaskOutput() = default;
  virtual void keep(std::string_view part_of_piece) = 0;
  /// Another byte instead of the mask, for grammars in which the mask itself would mean something.
  virtual void put(const char* byte_of_piece, char replacement) = 0;
};

/// One line of the table of protocols.
struct Protocol {
  std::string_view name;
  /// Looks at the first bytes of a transfer. Answers need_more only for a prefix of what it would recognise.
  Recognition (*recognise)(std::string_view prefix);
  std::unique_ptr<ProtocolParser> (*assemble)(ConnectionContext& context, ExchangeOutput& output);
  std::unique_ptr<ProtocolParser> (*mask)(ConnectionContext& context, MaskOutput& output);
  /// The same of a transfer on a connection whose beginning was not seen, where that takes more proof. May be null.
  Recognition (*recognise_mid_stream)(std::string_view transfer) = nullptr;
};

std::span<const Protocol> protocols();

}  // namespace inferscope::assemble
