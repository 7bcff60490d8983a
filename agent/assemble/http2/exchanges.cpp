// SPDX-License-Identifier: Apache-2.0
#include "assemble/http2/exchanges.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <string>
#include <utility>

#include "assemble/http2/session.h"

namespace inferscope::assemble::http2 {
namespace {

using Ending = Exchange::Ending;

/// The fields of a message's head while they are read.
struct Fields {
  std::string method{};
  std::string path{};
  std::string authority{};
  int status = 0;
  Headers headers{};
  std::size_t bytes = 0;   ///< of names and values
  bool truncated = false;  ///< fields beyond a limit were left out
  bool unknown = false;    ///< some were in a part of the table that nobody here has seen
};

class Exchanges final : public Session {
 public:
  Exchanges(ConnectionContext& context, ExchangeOutput& output)
      : Session(context), output_(output), first_sequence_(context.first_sequence) {}

  void add_first(std::unique_ptr<OpenExchange> open) {
    newest_ = 1;
    first_sequence_ = open->exchange.sequence;
    open->read_by([this](Side side) { return reader(side).position(); });
    open->exchange.version = "2";
    streams_.emplace(newest_, Stream{.open = std::move(open), .request_done = true});
  }

  void half_closed(Direction direction) override { peer_ended_ = peer_ended_ || direction == Direction::received; }
  void closed(End end) override;
  [[nodiscard]] bool busy() const override { return !streams_.empty(); }

 private:
  struct Stream {
    std::unique_ptr<OpenExchange> open{};
    bool request_done = false;
    bool response_open = false;  ///< its final head was read
    bool response_done = false;
    bool doubtful = false;  ///< its response's head may have been in what was lost
  };
  using Streams = std::map<StreamId, Stream>;

  void on_part(Side /*side*/, Part /*part*/, std::string_view /*range*/) override {}
  void on_frame(Side side, const FrameHeader& header) override {
    if (header.is(FrameType::headers)) begun_[index_of(side)] = context().moment;
  }
  void headers_begin(std::string_view block) override;
  void on_field(const HpackField& field, bool in_piece) override;
  void headers_end(Side side, StreamId stream, bool good) override;
  void on_data(Side side, StreamId stream, std::string_view bytes) override;
  void on_data_hole(Side side, StreamId stream, std::uint64_t bytes, Gap::Reason reason) override;
  void on_end(Side side, StreamId stream) override;
  void on_reset(Side side, StreamId stream) override;
  void frames_lost(Side side, Gap::Reason reason, std::uint64_t bytes) override;
  void given_up() override { close_all(Ending::lost_track); }

  void request_head(StreamId stream, bool good);
  void response_head(Stream& stream, bool good);
  void note_incomplete(Stream& stream, Side side, bool good);
  [[nodiscard]] Stream* receiver(Side side, StreamId stream);
  std::unique_ptr<OpenExchange> make_open();
  void close(Streams::iterator stream, Ending ending);
  void close_all(Ending ending);

  ExchangeOutput& output_;
  std::uint64_t first_sequence_;  ///< of stream 1
  Streams streams_{};
  std::unique_ptr<OpenExchange> spare_{};  ///< kept for its memory
  StreamId newest_ = 0;                    ///< of the client's streams
  Fields fields_{};
  std::size_t head_bytes_ = 0;
  Moment begun_[2]{};  ///< of the newest head, by side
  bool peer_ended_ = false;
};

std::unique_ptr<OpenExchange> Exchanges::make_open() {
  if (spare_) return std::move(spare_);
  return std::make_unique<OpenExchange>(context(), output_, [this](Side side) { return reader(side).position(); });
}

void Exchanges::headers_begin(std::string_view block) {
  fields_ = Fields{};
  head_bytes_ = block.size();
}

void Exchanges::on_field(const HpackField& field, bool /*in_piece*/) {
  fields_.unknown = fields_.unknown || !field.known;
  if (field.name.empty()) return;
  fields_.bytes += field.name.size() + field.value.size();
  if (fields_.bytes > context().limits.head || fields_.headers.size() >= context().limits.headers) {
    fields_.truncated = true;
  } else if (field.name == ":method") {
    fields_.method = field.value;
  } else if (field.name == ":path") {
    fields_.path = field.value;
  } else if (field.name == ":authority") {
    fields_.authority = field.value;
  } else if (field.name == ":status") {
    std::from_chars(field.value.data(), field.value.data() + field.value.size(), fields_.status);
  } else if (!field.name.starts_with(':')) {
    fields_.headers.push_back({std::string(field.name), std::string(field.value)});
  }
}

void Exchanges::headers_end(Side side, StreamId stream, bool good) {
  const auto found = streams_.find(stream);
  if (side == Side::response) {
    if (found != streams_.end()) response_head(found->second, good);
  } else if (found == streams_.end()) {
    request_head(stream, good);  // of one that is known these are trailers
  }
}

void Exchanges::note_incomplete(Stream& stream, Side side, bool good) {
  if (fields_.truncated) stream.open->add_gap(side, Gap::Reason::limit, 0);
  if (fields_.unknown) stream.open->add_gap(side, Gap::Reason::mid_stream, 0);
  if (!good) stream.open->add_gap(side, Gap::Reason::malformed, 0);
}

void Exchanges::request_head(StreamId stream, bool good) {
  if (stream % 2 == 0 || stream <= newest_) return;  // a client's streams are odd and begin in order (RFC 9113 5.1.1)
  newest_ = stream;
  if (streams_.size() >= context().limits.open_streams) {
    streams_.begin()->second.open->add_gap(Side::request, Gap::Reason::limit, 0);
    close(streams_.begin(), Ending::lost_track);
  }
  Stream& made = streams_.emplace(stream, Stream{.open = make_open()}).first->second;
  made.open->begin(begun_[index_of(Side::request)]);
  Exchange& exchange = made.open->exchange;
  exchange.version = "2";
  exchange.sequence = first_sequence_ + (stream - 1) / 2;
  exchange.request.method = std::move(fields_.method);
  exchange.request.target = std::move(fields_.path);
  exchange.request.headers = std::move(fields_.headers);
  exchange.request.head_bytes = head_bytes_;
  if (!fields_.authority.empty() && find_header(exchange.request.headers, "host").empty())
    exchange.request.headers.push_back({"host", std::move(fields_.authority)});
  note_incomplete(made, Side::request, good);
  made.open->request_opened();
}

void Exchanges::response_head(Stream& stream, bool good) {
  Exchange::Response& response = stream.open->exchange.response;
  if (stream.response_open) {  // trailers
    if (response.headers.size() + fields_.headers.size() > context().limits.headers)
      return stream.open->add_gap(Side::response, Gap::Reason::limit, 0);
    response.headers.insert(response.headers.end(), std::make_move_iterator(fields_.headers.begin()),
                            std::make_move_iterator(fields_.headers.end()));
    return note_incomplete(stream, Side::response, good);
  }
  if (fields_.status >= 100 && fields_.status < 200) {
    ++response.informational;
    return;
  }
  stream.response_open = true;
  response.begin = begun_[index_of(Side::response)].time;
  response.status = fields_.status;
  response.head_bytes = head_bytes_;
  response.headers = std::move(fields_.headers);
  note_incomplete(stream, Side::response, good);
  stream.open->response_opened();
}

/// Null for what belongs to no open exchange, or to a response whose head was missed.
Exchanges::Stream* Exchanges::receiver(Side side, StreamId stream) {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return nullptr;
  Stream& to = found->second;
  const bool receives = side == Side::request ? !to.request_done : to.response_open && !to.response_done;
  return receives ? &to : nullptr;
}

void Exchanges::on_data(Side side, StreamId stream, std::string_view bytes) {
  if (Stream* to = receiver(side, stream)) to->open->body(side, bytes);
}

void Exchanges::on_data_hole(Side side, StreamId stream, std::uint64_t bytes, Gap::Reason reason) {
  if (Stream* to = receiver(side, stream)) to->open->hole(side, bytes, reason);
}

void Exchanges::on_end(Side side, StreamId stream) {
  Stream* to = receiver(side, stream);
  if (!to) return;
  if (side == Side::request) {
    to->request_done = true;
    to->open->request_ended(true);
  } else {
    to->response_done = true;
    to->open->response_ended();
  }
  if (!to->request_done || !to->response_done) return;
  close(streams_.find(stream), Ending::complete);
  // Where a later request was answered, what is not has been missed.
  for (auto it = streams_.begin(); it != streams_.end() && it->first < stream;) {
    const auto at = it++;
    if (at->second.doubtful && !at->second.response_open) close(at, Ending::lost_track);
  }
}

void Exchanges::on_reset(Side side, StreamId stream) {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  // One who has answered may say that no more of the request is needed.
  const Ending broken = side == Side::request ? Ending::client_closed : Ending::server_closed;
  close(found, found->second.response_done ? Ending::complete : broken);
}

/// Which streams went on, or ended, cannot be known: a response that has begun would stay open for ever. One that has
/// not may yet come.
void Exchanges::frames_lost(Side side, Gap::Reason reason, std::uint64_t bytes) {
  for (auto it = streams_.begin(); it != streams_.end();) {
    const auto at = it++;
    Stream& stream = at->second;
    if (side == Side::response ? stream.response_done : stream.request_done) continue;
    stream.open->add_gap(side, reason, bytes);
    if (side == Side::response && !stream.response_open) {
      stream.doubtful = true;
    } else if (side == Side::response) {
      close(at, Ending::lost_track);
    } else {
      stream.request_done = true;
      stream.open->request_ended(false);
      if (stream.response_done) close(at, Ending::complete);
    }
  }
}

void Exchanges::closed(End end) {
  close_all(end == End::process_exited                     ? Ending::process_exited
            : end == End::shut_down                        ? Ending::shut_down
            : end == End::lost_track                       ? Ending::lost_track
            : ended_by_server(context(), end, peer_ended_) ? Ending::server_closed
                                                           : Ending::client_closed);
}

void Exchanges::close_all(Ending ending) {
  while (!streams_.empty()) {
    const bool whole = streams_.begin()->second.response_done && ending != Ending::lost_track;
    close(streams_.begin(), whole ? Ending::complete : ending);
  }
}

void Exchanges::close(Streams::iterator stream, Ending ending) {
  std::unique_ptr<OpenExchange> open = std::move(stream->second.open);
  streams_.erase(stream);
  open->close(ending);
  spare_ = std::move(open);
}

}  // namespace

std::unique_ptr<ProtocolParser> make_exchanges(ConnectionContext& context, ExchangeOutput& output) {
  return std::make_unique<Exchanges>(context, output);
}

std::unique_ptr<ProtocolParser> go_on_with(ConnectionContext& context, ExchangeOutput& output,
                                           std::unique_ptr<OpenExchange> first) {
  auto exchanges = std::make_unique<Exchanges>(context, output);
  exchanges->add_first(std::move(first));
  return exchanges;
}

}  // namespace inferscope::assemble::http2
