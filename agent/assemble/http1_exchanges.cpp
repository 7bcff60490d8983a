// SPDX-License-Identifier: Apache-2.0
#include "assemble/http1_exchanges.h"

#include <utility>
#include <vector>

#include "assemble/body.h"
#include "assemble/body_hash.h"
#include "assemble/http1_session.h"

namespace inferscope::assemble::http1 {
namespace {

using Kind = ExchangeUpdate::Kind;

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
  struct Open;

  struct Sink final : BodySink {
    Sink(Exchanges& the_owner, Open& the_open, Side the_side) : owner(the_owner), open(the_open), side(the_side) {}
    void body_piece(std::string_view data) override {
      owner.emit(side == Side::request ? Kind::request_body : Kind::response_body, open, data);
    }
    void body_message(std::string_view name, std::string_view data) override {
      owner.emit(Kind::response_message, open, data, name);
    }
    void body_undecodable(std::uint64_t bytes, ContentDecoder::Status why, bool first) override {
      const auto reason = why == ContentDecoder::Status::limit ? Gap::Reason::limit : Gap::Reason::malformed;
      if (first) owner.add_gap(open, side, reason, bytes);
      owner.emit_hole(side, open, bytes);
    }
    void body_oversized() override { owner.add_gap(open, side, Gap::Reason::limit, 0); }

    Exchanges& owner;
    Open& open;
    Side side;
  };

  /// One exchange from its request's first byte on.
  struct Open {
    explicit Open(Exchanges& owner)
        : request_sink(owner, *this, Side::request),
          response_sink(owner, *this, Side::response),
          request_body(request_sink),
          response_body(response_sink) {}

    Exchange exchange{};
    bool request_hole = false;
    BodyHash hash{};
    Sink request_sink;
    Sink response_sink;
    Body request_body;
    Body response_body;
  };

  void message_begin(Side side) override;
  void on_part(Side /*side*/, Part /*part*/, std::string_view /*range*/) override {}
  void on_request_line(const RequestLine& line) override;
  void on_status_line(const StatusLine& line) override;
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

  [[nodiscard]] Open* answered() const { return open_.empty() ? nullptr : open_.front().get(); }
  [[nodiscard]] Open* newest() const { return open_.empty() ? nullptr : open_.back().get(); }
  std::unique_ptr<Open> make_open();
  void emit(Kind kind, const Open& open, std::string_view data = {}, std::string_view name = {},
            std::uint64_t missing = 0) const {
    (*output_.emit)(ExchangeUpdate{.kind = kind,
                                   .exchange = open.exchange,
                                   .time = context().moment.time,
                                   .data = data,
                                   .name = name,
                                   .missing = missing});
  }
  void emit_hole(Side side, const Open& open, std::uint64_t bytes) const {
    emit(side == Side::request ? Kind::request_hole : Kind::response_hole, open, {}, {}, bytes);
  }
  void add_gap(Open& open, Side side, Gap::Reason reason, std::uint64_t bytes) const;

  ExchangeOutput& output_;
  std::uint64_t next_sequence_;
  std::unique_ptr<Open> incoming_{};           ///< its request's head is being read
  std::vector<std::unique_ptr<Open>> open_{};  ///< oldest first
  std::unique_ptr<Open> spare_{};              ///< kept for its memory
  FieldList request_fields_{};
  FieldList response_fields_{};
  std::optional<Time> response_begin_{};
  int status_ = 0;
};

std::unique_ptr<Exchanges::Open> Exchanges::make_open() {
  std::unique_ptr<Open> open = spare_ ? std::move(spare_) : std::make_unique<Open>(*this);
  Exchange& exchange = open->exchange;
  exchange.connection = context().connection;
  exchange.role = context().role;
  exchange.pid = context().moment.pid;
  exchange.tid = context().moment.tid;
  exchange.protocol = "http";
  exchange.request.begin = context().moment.time;
  return open;
}

void Exchanges::message_begin(Side side) {
  if (side == Side::request) {
    incoming_ = make_open();
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

void Exchanges::on_status_line(const StatusLine& line) {
  status_ = line.status;
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
  Open& open = *open_.emplace_back(std::move(incoming_));
  Exchange& exchange = open.exchange;
  exchange.sequence = next_sequence_++;
  exchange.request.head_end = context().moment.time;
  exchange.request.head_bytes = head.bytes;
  request_fields_.move_to(exchange.request.headers);
  if (head.truncated) add_gap(open, Side::request, Gap::Reason::limit, 0);
  open.request_body.begin(find_header(exchange.request.headers, "content-encoding"), {}, false, context().limits);
  emit(Kind::request_head, open);
}

void Exchanges::request_body(std::string_view bytes) {
  Open* open = newest();
  if (!open) return;
  open->exchange.request.body_bytes += bytes.size();
  if (!open->request_hole) open->hash.add(bytes);
  open->request_body.bytes(bytes);
}

void Exchanges::request_hole(std::uint64_t bytes, Gap::Reason reason) {
  Open* open = newest();
  if (!open) return;
  open->request_hole = true;
  open->exchange.request.body_bytes += bytes;
  open->request_body.hole();
  add_gap(*open, Side::request, reason, bytes);
  emit_hole(Side::request, *open, bytes);
}

void Exchanges::request_ended(bool known) {
  Open* open = newest();
  if (!open) return;
  open->request_body.end();
  if (known) {
    open->exchange.request.end = context().moment.time;
    if (!open->request_hole) open->exchange.request.body_hash = open->hash.value();
  }
  emit(Kind::request_end, *open);
}

void Exchanges::response_opened(const Head& head, bool informational) {
  Open* open = answered();
  if (!open) return;
  Exchange::Response& response = open->exchange.response;
  if (informational) {
    ++response.informational;
    return;
  }
  response.begin = response_begin_;
  response.head_end = context().moment.time;
  response.status = status_;
  response.head_bytes = head.bytes;
  response_fields_.move_to(response.headers);
  if (head.truncated) add_gap(*open, Side::response, Gap::Reason::limit, 0);
  open->response_body.begin(find_header(response.headers, "content-encoding"),
                            find_header(response.headers, "content-type"), true, context().limits);
  emit(Kind::response_head, *open);
}

void Exchanges::response_body(std::string_view bytes) {
  Open* open = answered();
  if (!open) return;
  Exchange::Response& response = open->exchange.response;
  if (!response.first_body) response.first_body = context().moment.time;
  response.body_bytes += bytes.size();
  open->response_body.bytes(bytes);
}

void Exchanges::response_hole(std::uint64_t bytes, Gap::Reason reason) {
  Open* open = answered();
  if (!open) return;
  Exchange::Response& response = open->exchange.response;
  if (!response.first_body) response.first_body = context().moment.time;
  response.body_bytes += bytes;
  open->response_body.hole();
  add_gap(*open, Side::response, reason, bytes);
  emit_hole(Side::response, *open, bytes);
}

void Exchanges::response_ended() {
  Open* open = answered();
  if (!open) return;
  open->response_body.end();
  open->exchange.response.end = context().moment.time;
  emit(Kind::response_end, *open);
}

void Exchanges::gap(Side side, Gap::Reason reason, std::uint64_t bytes) {
  Open* open = side == Side::request ? newest() : answered();
  if (open) add_gap(*open, side, reason, bytes);
}

void Exchanges::add_gap(Open& open, Side side, Gap::Reason reason, std::uint64_t bytes) const {
  const Direction direction = direction_of(side);
  const std::uint64_t position = reader(side).position();
  std::vector<Gap>& gaps = open.exchange.gaps;
  if (!gaps.empty() && bytes > 0) {
    Gap& last = gaps.back();
    if (last.direction == direction && last.reason == reason && last.position + last.bytes == position) {
      last.bytes += bytes;
      return;
    }
  }
  ++open.exchange.gaps_total;
  if (gaps.size() < context().limits.gaps)
    gaps.push_back(Gap{.direction = direction, .reason = reason, .position = position, .bytes = bytes});
}

void Exchanges::close_oldest(Closing how) {
  static constexpr Exchange::Ending endings[] = {Exchange::Ending::complete,       Exchange::Ending::upgraded,
                                                 Exchange::Ending::client_closed,  Exchange::Ending::server_closed,
                                                 Exchange::Ending::process_exited, Exchange::Ending::lost_track,
                                                 Exchange::Ending::shut_down};
  std::unique_ptr<Open> open = std::move(open_.front());
  open_.erase(open_.begin());
  open->exchange.ending = endings[static_cast<std::size_t>(how)];
  emit(Kind::closed, *open);
  open->request_body.end_without_rest();
  open->response_body.end_without_rest();
  // As new, but for the memory of what is assigned anew.
  Exchange& exchange = open->exchange;
  exchange.request.body_bytes = exchange.request.body_hash = 0;
  exchange.request.end.reset();
  Headers kept = std::move(exchange.response.headers);
  kept.clear();
  exchange.response = Exchange::Response{};
  exchange.response.headers = std::move(kept);
  exchange.gaps.clear();
  exchange.gaps_total = 0;
  exchange.ending = Exchange::Ending::open;
  open->request_hole = false;
  open->hash = BodyHash{};
  spare_ = std::move(open);
}

}  // namespace

std::unique_ptr<ProtocolParser> make_exchanges(ConnectionContext& context, ExchangeOutput& output) {
  return std::make_unique<Exchanges>(context, output);
}

}  // namespace inferscope::assemble::http1
