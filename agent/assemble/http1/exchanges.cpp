// SPDX-License-Identifier: Apache-2.0
#include "assemble/http1/exchanges.h"

#include <utility>
#include <vector>

#include "assemble/http1/session.h"
#include "assemble/http2/exchanges.h"
#include "assemble/open_exchange.h"
#include "assemble/websocket/messages.h"

namespace inferscope::assemble::http1 {
namespace {

/// The fields of a head while it is read. Keeps the memory of the last one: heads resemble each other.
class FieldList {
 public:
  void clear() { used_ = 0; }
  void add(const Field& field) {
    if (used_ == fields_.size()) fields_.emplace_back();
    Header& header = fields_[used_++];
    header.name.resize(field.name.size());
    for (std::size_t i = 0; i < field.name.size(); ++i) header.name[i] = lower(field.name[i]);
    header.value.assign(field.value);
  }
  void fold(std::string_view value) {
    if (used_ == 0) return;
    fields_[used_ - 1].value.append(1, ' ').append(value);
  }
  /// Hands the fields over and takes the memory of the list that they replace.
  void move_to(Headers& headers) {
    fields_.resize(used_);
    headers.swap(fields_);
    used_ = 0;
  }

 private:
  Headers fields_{};
  std::size_t used_ = 0;
};

class Exchanges final : public Session {
 public:
  Exchanges(ConnectionContext& context, ExchangeOutput& output)
      : Session(context, false), output_(output), next_sequence_(context.first_sequence) {}

 private:
  /// What the messages of a WebSocket are to its exchange.
  struct Conversation final : websocket::MessageSink {
    explicit Conversation(Exchanges& the_owner) : owner(the_owner) {}
    void payload(Side side, std::uint64_t bytes) override;
    void text(Side side, std::string_view data) override;
    void missing(Side side, std::uint64_t bytes, Gap::Reason reason) override;
    void unreadable(Side side, std::uint64_t bytes, Gap::Reason reason) override;
    void closed(Side side) override;

    Exchanges& owner;
  };

  void message_begin(Side side) override;
  void on_part(Side /*side*/, Part /*part*/, std::string_view /*range*/) override {}
  void on_request_line(const RequestLine& line) override;
  void on_status_line(const StatusLine& line) override { status_ = line.status; }
  void on_field(Side side, const Field& field) override;
  void on_folded(Side side, std::string_view value) override;
  void request_opened(const Head& head) override;
  void request_body(std::string_view bytes) override;
  void request_hole(std::uint64_t bytes, Gap::Reason reason) override;
  void request_ended(bool known) override;
  void response_opened(const Head& head, bool informational) override;
  void response_body(std::string_view bytes) override;
  void response_hole(std::uint64_t bytes, Gap::Reason reason) override;
  void response_ended() override;
  void content_hole(Side /*side*/) override {}
  void gap(Side side, Gap::Reason reason, std::uint64_t bytes) override;
  void close_oldest(Closing how) override;
  websocket::FrameSink& websocket_opened(const websocket::Extensions& extensions) override;
  std::unique_ptr<ProtocolParser> http2_opened() override;

  [[nodiscard]] OpenExchange* answered() const { return open_.empty() ? nullptr : open_.front().get(); }
  [[nodiscard]] OpenExchange* newest() const { return open_.empty() ? nullptr : open_.back().get(); }
  std::unique_ptr<OpenExchange> make_open();

  ExchangeOutput& output_;
  std::uint64_t next_sequence_;
  std::unique_ptr<OpenExchange> incoming_{};           ///< its request's head is being read
  std::vector<std::unique_ptr<OpenExchange>> open_{};  ///< oldest first
  std::unique_ptr<OpenExchange> spare_{};              ///< kept for its memory
  FieldList request_fields_{};
  FieldList response_fields_{};
  Conversation conversation_{*this};
  std::unique_ptr<websocket::Messages> messages_{};  ///< once the connection is a WebSocket
  std::optional<Time> response_begin_{};
  int status_ = 0;
};

std::unique_ptr<OpenExchange> Exchanges::make_open() {
  if (spare_) return std::move(spare_);
  return std::make_unique<OpenExchange>(context(), output_, [this](Side side) { return position(side); });
}

void Exchanges::message_begin(Side side) {
  if (side == Side::request) {
    incoming_ = make_open();
    incoming_->begin(context().moment);
    request_fields_.clear();
  } else {
    response_begin_ = context().moment.time;
    response_fields_.clear();
  }
}

void Exchanges::on_request_line(const RequestLine& line) {
  Exchange& exchange = incoming_->exchange;
  exchange.version.assign(line.version);
  exchange.request.method.assign(line.method);
  exchange.request.target.assign(line.target);
}

void Exchanges::on_field(Side side, const Field& field) {
  if (side == Side::request) {
    request_fields_.add(field);
  } else if (!orphan()) {
    response_fields_.add(field);
  }
}

void Exchanges::on_folded(Side side, std::string_view value) {
  if (side == Side::request) {
    request_fields_.fold(value);
  } else if (!orphan()) {
    response_fields_.fold(value);
  }
}

void Exchanges::request_opened(const Head& head) {
  OpenExchange& open = *open_.emplace_back(std::move(incoming_));
  Exchange& exchange = open.exchange;
  exchange.sequence = next_sequence_++;
  exchange.request.head_bytes = head.bytes;
  request_fields_.move_to(exchange.request.headers);
  if (head.truncated) open.add_gap(Side::request, Gap::Reason::limit, 0);
  open.request_opened();
}

void Exchanges::request_body(std::string_view bytes) {
  if (OpenExchange* open = newest()) open->body(Side::request, bytes);
}

void Exchanges::request_hole(std::uint64_t bytes, Gap::Reason reason) {
  if (OpenExchange* open = newest()) open->hole(Side::request, bytes, reason);
}

void Exchanges::request_ended(bool known) {
  if (OpenExchange* open = newest()) open->request_ended(known);
}

void Exchanges::response_opened(const Head& head, bool informational) {
  OpenExchange* open = answered();
  if (!open) return;
  Exchange::Response& response = open->exchange.response;
  if (informational) {
    ++response.informational;
    return;
  }
  response.begin = response_begin_;
  response.status = status_;
  response.head_bytes = head.bytes;
  response_fields_.move_to(response.headers);
  if (head.truncated) open->add_gap(Side::response, Gap::Reason::limit, 0);
  open->response_opened();
}

void Exchanges::response_body(std::string_view bytes) {
  if (OpenExchange* open = answered()) open->body(Side::response, bytes);
}

void Exchanges::response_hole(std::uint64_t bytes, Gap::Reason reason) {
  if (OpenExchange* open = answered()) open->hole(Side::response, bytes, reason);
}

void Exchanges::response_ended() {
  if (OpenExchange* open = answered()) open->response_ended();
}

void Exchanges::gap(Side side, Gap::Reason reason, std::uint64_t bytes) {
  if (OpenExchange* open = side == Side::request ? newest() : answered()) open->add_gap(side, reason, bytes);
}

websocket::FrameSink& Exchanges::websocket_opened(const websocket::Extensions& extensions) {
  messages_ = std::make_unique<websocket::Messages>(extensions, context().limits, conversation_);
  return *messages_;
}

std::unique_ptr<ProtocolParser> Exchanges::http2_opened() {
  std::unique_ptr<OpenExchange> first = std::move(open_.front());
  open_.clear();
  return http2::go_on_with(context(), output_, std::move(first));
}

void Exchanges::Conversation::payload(Side side, std::uint64_t bytes) {
  if (OpenExchange* open = owner.answered()) open->count(side, bytes);
}

void Exchanges::Conversation::text(Side side, std::string_view data) {
  if (const OpenExchange* open = owner.answered()) open->message(side, data);
}

void Exchanges::Conversation::missing(Side side, std::uint64_t bytes, Gap::Reason reason) {
  payload(side, bytes);
  OpenExchange* open = owner.answered();
  if (!open) return;
  open->add_gap(side, reason, bytes);
  open->message_hole(side, bytes);
}

void Exchanges::Conversation::unreadable(Side side, std::uint64_t bytes, Gap::Reason reason) {
  OpenExchange* open = owner.answered();
  if (!open) return;
  open->add_gap(side, reason, 0);  // its bytes were there
  open->message_hole(side, bytes);
}

void Exchanges::Conversation::closed(Side side) {
  if (side == Side::response) owner.response_ended();
}

void Exchanges::close_oldest(Closing how) {
  static constexpr Exchange::Ending endings[] = {Exchange::Ending::complete,       Exchange::Ending::upgraded,
                                                 Exchange::Ending::client_closed,  Exchange::Ending::server_closed,
                                                 Exchange::Ending::process_exited, Exchange::Ending::lost_track,
                                                 Exchange::Ending::shut_down};
  std::unique_ptr<OpenExchange> open = std::move(open_.front());
  open_.erase(open_.begin());
  open->close(endings[static_cast<std::size_t>(how)]);
  spare_ = std::move(open);
}

}  // namespace

std::unique_ptr<ProtocolParser> make_exchanges(ConnectionContext& context, ExchangeOutput& output) {
  return std::make_unique<Exchanges>(context, output);
}

}  // namespace inferscope::assemble::http1
