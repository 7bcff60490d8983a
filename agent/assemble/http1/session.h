// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "assemble/http1/reader.h"
#include "assemble/protocol.h"

namespace inferscope::assemble::http1 {

/// Both directions of an HTTP/1 connection: which response is whose, and what is still certain after a hole. What is
/// made of the messages (exchanges, or a redacted copy) is for the derived class.
///
/// Requests wait in order for their responses. A request whose head was read is "opened"; each opened one is "closed"
/// exactly once, the oldest first except where several have to be given up together. One that becomes a WebSocket stays
/// open as long as that does; its response ends with the server's close frame. Behind an upgrade to HTTP/2, a parser of
/// that goes on with it.
class Session : public ProtocolParser, protected ReaderSink {
 public:
  Session(ConnectionContext& context, bool wants_parts);

  void bytes(Direction direction, std::string_view piece, bool fresh, std::uint64_t position) override;
  void hole(Direction direction, std::uint64_t bytes, Gap::Reason reason, std::uint64_t position) override;
  void half_closed(Direction direction) override;
  void closed(End end) override;
  [[nodiscard]] bool busy() const override { return http2_ ? http2_->busy() : !pending_.empty(); }
  [[nodiscard]] Drop finished() const override { return http2_ ? http2_->finished() : finished_; }

 protected:
  enum class Closing : std::uint8_t {
    complete,
    upgraded,
    client_closed,
    server_closed,
    process_exited,
    lost_track,
    shut_down
  };

  // Derived classes implement these, on_part, on_request_line, on_status_line, on_field, on_folded and these:
  /// First byte of a head, also of a response that answers nothing (orphan()).
  virtual void message_begin(Side side) = 0;
  virtual void request_opened(const Head& head) = 0;
  virtual void request_body(std::string_view bytes) = 0;
  virtual void request_hole(std::uint64_t bytes, Gap::Reason reason) = 0;
  /// `known`: its end was seen; otherwise its framing was lost.
  virtual void request_ended(bool known) = 0;
  /// A head that is not followed by the final one counts as informational.
  virtual void response_opened(const Head& head, bool informational) = 0;
  virtual void response_body(std::string_view bytes) = 0;
  virtual void response_hole(std::uint64_t bytes, Gap::Reason reason) = 0;
  virtual void response_ended() = 0;
  /// A hole in any body, also of a message that belongs to no exchange.
  virtual void content_hole(Side side) = 0;
  /// A hole outside of a body that touches the oldest (response) or newest (request) open exchange.
  virtual void gap(Side side, Gap::Reason reason, std::uint64_t bytes) = 0;
  /// The oldest open exchange is over.
  virtual void close_oldest(Closing how) = 0;
  /// The only open exchange becomes a WebSocket; answers who takes its frames, for as long as this session lives.
  virtual websocket::FrameSink& websocket_opened(const websocket::Extensions& extensions) = 0;
  /// The only open exchange is answered over HTTP/2, as its stream 1, by who is returned.
  virtual std::unique_ptr<ProtocolParser> http2_opened() = 0;

  [[nodiscard]] ConnectionContext& context() const { return context_; }
  [[nodiscard]] Direction direction_of(Side side) const { return context_.direction_of(side); }
  [[nodiscard]] const Reader& reader(Side side) const { return side == Side::request ? request_ : response_; }
  /// Where the stream is read.
  [[nodiscard]] std::uint64_t position(Side side) const {
    return websocket_ ? websocket_->reader(side).position() : reader(side).position();
  }
  /// The response being read answers no request that was seen.
  [[nodiscard]] bool orphan() const { return orphan_; }

 private:
  struct Pending {
    bool head_method = false;
    bool connect_method = false;
    bool request_done = false;
    bool response_done = false;
    bool response_open = false;  ///< its final head was read
  };
  /// What the connection is behind an upgrade to it.
  struct WebSocket {
    websocket::FrameReader request;
    websocket::FrameReader response;

    WebSocket(bool in_sync, const websocket::Extensions& extensions, Account& account, websocket::FrameSink& sink)
        : request(Side::request, in_sync, extensions, account, sink),
          response(Side::response, true, extensions, account, sink) {}
    [[nodiscard]] const websocket::FrameReader& reader(Side side) const {
      return side == Side::request ? request : response;
    }
  };

  void on_begin(Side side) final;
  BodyKind on_head(const Head& head) final;
  void on_body(Side side, std::string_view bytes) final;
  void on_body_hole(Side side, std::uint64_t bytes, Gap::Reason reason) final;
  void on_end(Side side) final;
  void on_lost(Side side, Gap::Reason reason, std::uint64_t bytes, bool in_body) final;

  BodyKind request_head(const Head& head);
  BodyKind response_head(const Head& head);
  void ask_for_tail(const Head& head);
  void request_lost(Gap::Reason reason, std::uint64_t bytes, bool in_body);
  void response_lost(Gap::Reason reason, std::uint64_t bytes, bool in_body);
  void finish_request(bool known);
  void finish_response();
  void settle();
  void give_up_all(Closing how);
  [[nodiscard]] bool can_switch() const { return !orphan_ && pending_.size() == 1 && pending_.front().request_done; }
  void open_websocket(const websocket::Extensions& extensions);
  void websocket_bytes(Side side, std::string_view piece, bool fresh, std::uint64_t position);
  Closing leave_websocket(Closing how);
  void pop(Closing how);
  void note_malformed(Gap::Reason reason);
  void check_progress();

  ConnectionContext& context_;
  Reader request_;
  Reader response_;
  std::unique_ptr<WebSocket> websocket_{};
  std::unique_ptr<ProtocolParser> http2_{};  ///< reads the connection behind an upgrade to it
  std::vector<Pending> pending_{};
  std::optional<Side> last_side_{};  ///< of the last transfer
  bool orphan_ = false;
  bool informational_ = false;
  bool upgraded_ = false;
  bool request_resynced_ = false;
  bool peer_ended_ = false;  ///< the peer half-closed
  std::size_t malformed_in_a_row_ = 0;
  Drop finished_ = Drop::count;
};

}  // namespace inferscope::assemble::http1
