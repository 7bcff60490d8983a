// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "assemble/protocol.h"
#include "assemble/stream.h"

namespace inferscope::assemble {

/// Makes the parsers of a Demultiplexer.
class ParserFactory {
 public:
  virtual ~ParserFactory() = default;
  virtual std::unique_ptr<ProtocolParser> make(const Protocol& protocol, ConnectionContext& context) = 0;
  /// The piece may yet turn out to be the beginning of a known protocol: it is a prefix of one of its fixed words.
  virtual void undecided(std::string_view piece) = 0;
};

/// Keeps the connections: puts their streams in order, finds out which protocol each speaks and hands the bytes to a
/// parser for it. Everything that reads event streams by protocol sits on this one.
class Demultiplexer {
 public:
  Demultiplexer(const Limits& limits, CaptureControl* control, ParserFactory& factory)
      : limits_(limits), control_(control), factory_(factory), closed_(remembered_closed) {}
  Demultiplexer(const Demultiplexer&) = delete;
  Demultiplexer& operator=(const Demultiplexer&) = delete;

  void on(const Event& event);
  void tick(Time now);
  void finish(Time now);

  [[nodiscard]] const Account& account() const { return account_; }
  [[nodiscard]] std::size_t connections() const { return entries_.size(); }
  [[nodiscard]] std::uint64_t forgotten() const { return forgotten_; }

 private:
  enum class Phase : std::uint8_t { looking, parsing, opaque };

  struct Entry {
    ConnectionContext context;
    Stream streams[2]{};
    bool begun[2]{};          ///< the first transfer was seen
    std::string prefix[2]{};  ///< undecided beginning
    bool mid_stream = false;
    Phase phase = Phase::looking;
    Drop opaque_why = Drop::not_recognised;
    std::size_t transfers_looked_at = 0;
    std::size_t bytes_looked_at = 0;
    Time last{};
    std::unique_ptr<ProtocolParser> parser{};
  };
  using Entries = std::unordered_map<ConnectionId, std::unique_ptr<Entry>>;

  static constexpr std::size_t remembered_closed = 1024;

  void on_body(const ConnectionOpened& opened, Time time);
  void on_body(const Transfer& transfer, Time time);
  void on_body(const ConnectionHalfClosed& half_closed, Time time);
  void on_body(const ConnectionClosed& closed, Time time);
  void on_body(const ProcessExited& exited, Time time);

  Entry* find(ConnectionId id);
  Entry& add(Connection connection, Time time);
  void erase(Entries::iterator it);
  void make_room(Time now);
  void expire(Time now);
  void close(Entry& entry, ProtocolParser::End end, Time now);

  void bytes(Entry& entry, Direction direction, std::string_view piece, bool fresh, std::uint64_t position);
  void hole(Entry& entry, Direction direction, std::uint64_t size, Gap::Reason reason, std::uint64_t position);
  void look(Entry& entry, Direction direction, std::string_view piece, bool fresh, std::uint64_t position);
  bool accept(Entry& entry, Direction direction, const Protocol& protocol, Recognition recognition);
  void give_up_prefix(Entry& entry, Direction direction);
  void count_unrecognised(Entry& entry, Direction direction, std::string_view piece, bool fresh);
  void make_opaque(Entry& entry, Drop why);
  void after_parser(Entry& entry);

  const Limits& limits_;
  CaptureControl* control_;
  ParserFactory& factory_;
  Account account_{};
  Entries entries_{};
  ConnectionId last_id_ = 0;
  Entry* last_entry_ = nullptr;
  Time next_expiry_{};
  std::vector<ConnectionId> closed_;  ///< some of the last ones, each at a place of its own by its number
  std::uint64_t found_ = 0;           ///< connections whose opening was not seen
  std::uint64_t forgotten_ = 0;
};

}  // namespace inferscope::assemble
