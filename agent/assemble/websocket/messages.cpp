// SPDX-License-Identifier: Apache-2.0
#include "assemble/websocket/messages.h"

#include <zlib.h>

#include <array>

namespace inferscope::assemble::websocket {
namespace {

constexpr std::size_t output_size = 16 * 1024;
constexpr std::size_t largest_step = 1 << 20;  // zlib counts in 32 bits
constexpr int raw_window = -15;
/// What a sender leaves out at the end of each message (RFC 7692 7.2.1).
constexpr std::string_view end_of_message("\x00\x00\xff\xff", 4);

/// Undoes permessage-deflate (RFC 7692), within Limits::decoded and Limits::decoded_ratio for each message.
class Inflater {
 public:
  enum class Status : std::uint8_t { ok, limit, malformed };

  explicit Inflater(const Limits& limits) : limits_(limits) {
    if (inflateInit2(&stream_, raw_window) != Z_OK) status_ = Status::malformed;
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  /// Forgets the messages before the next one.
  void forget() { status_ = inflateReset(&stream_) == Z_OK ? Status::ok : Status::malformed; }
  void begin_message() { encoded_ = decoded_ = 0; }

  /// Calls use(bytes) for what becomes of `compressed`. Anything but ok stays until forget().
  template <class Use>
  Status feed(std::string_view compressed, Use use) {
    bool more = true;
    while (more && status_ == Status::ok) {
      const std::string_view input = compressed.substr(0, largest_step);
      stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(input.data()));  // zlib does not write to it
      stream_.avail_in = static_cast<uInt>(input.size());
      stream_.next_out = reinterpret_cast<Bytef*>(output_.data());
      stream_.avail_out = output_size;
      const int result = inflate(&stream_, Z_SYNC_FLUSH);
      const std::size_t taken = input.size() - stream_.avail_in;
      const std::size_t made = output_size - stream_.avail_out;
      compressed.remove_prefix(taken);
      encoded_ += taken;
      decoded_ += made;
      if (limits_.exceeded(encoded_, decoded_)) {
        status_ = Status::limit;
        break;
      }
      if (made > 0) use(std::string_view(output_.data(), made));
      // The RFC allows a last block within a message; that no known sender makes one is not worth a second window.
      if (result == Z_STREAM_END) status_ = Status::limit;
      if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END) status_ = Status::malformed;
      more = !compressed.empty() || stream_.avail_out == 0;
    }
    return status_;
  }

 private:
  const Limits& limits_;
  Status status_ = Status::ok;
  std::uint64_t encoded_ = 0;
  std::uint64_t decoded_ = 0;
  z_stream stream_{};
  std::array<char, output_size> output_;
};

}  // namespace

struct Messages::Incoming {
  bool open = false;  ///< a message whose beginning was read
  bool text = false;
  bool compressed = false;
  bool torn = false;  ///< some of it is missing
  bool failed = false;
  Gap::Reason why = Gap::Reason::limit;  ///< failed
  std::uint64_t bytes = 0;               ///< on the wire
  std::string data{};
  std::unique_ptr<Inflater> inflater{};
  bool context_lost = false;
};

Messages::Messages(const Extensions& extensions, const Limits& limits, MessageSink& sink)
    : extensions_(extensions),
      limits_(limits),
      sink_(sink),
      incoming_{std::make_unique<Incoming>(), std::make_unique<Incoming>()} {}
Messages::~Messages() = default;

void Messages::on_frame(Side side, const Frame& frame) {
  if (!frame.control() && frame.opcode != Opcode::continuation) begin(side, frame);
}

void Messages::begin(Side side, const Frame& frame) {
  Incoming& message = incoming(side);
  message.open = true;
  message.text = frame.opcode == Opcode::text;
  message.compressed = frame.compressed;
  message.torn = message.failed = false;
  message.bytes = 0;
  message.data.clear();
  if (!message.compressed) return;
  if (!message.inflater) message.inflater = std::make_unique<Inflater>(limits_);
  if (extensions_.no_context_takeover[index_of(side)]) {
    message.inflater->forget();
    message.context_lost = false;
  }
  message.inflater->begin_message();
  if (message.context_lost) fail(message, Gap::Reason::limit);
}

void Messages::on_payload(Side side, const Frame& frame, std::string_view wire, std::uint64_t offset) {
  sink_.payload(side, wire.size());
  Incoming& message = incoming(side);
  if (frame.control() || !message.open) return;
  message.bytes += wire.size();
  if (message.torn || (message.compressed ? message.context_lost : !message.text)) return;
  if (frame.masked) {
    unmasked_.assign(wire);
    for (char& c : unmasked_) c = static_cast<char>(c ^ frame.key_at(offset++));
    wire = unmasked_;
  }
  if (message.compressed) {
    decompress(message, wire);
  } else {
    append(message, wire);
  }
}

void Messages::decompress(Incoming& message, std::string_view compressed) {
  const auto status = message.inflater->feed(compressed, [&](std::string_view decoded) { append(message, decoded); });
  if (status == Inflater::Status::ok) return;
  message.context_lost = true;
  fail(message, status == Inflater::Status::limit ? Gap::Reason::limit : Gap::Reason::malformed);
}

/// What is too long is still decompressed: the next message may refer to it.
void Messages::append(Incoming& message, std::string_view bytes) const {
  if (!message.text || message.failed) return;
  if (bytes.size() > limits_.message - message.data.size()) return fail(message, Gap::Reason::limit);
  message.data.append(bytes);
}

void Messages::fail(Incoming& message, Gap::Reason why) {
  if (message.failed) return;
  message.failed = true;
  message.why = why;
  message.data.clear();
}

void Messages::on_payload_hole(Side side, const Frame& frame, std::uint64_t bytes, Gap::Reason reason) {
  sink_.missing(side, bytes, reason);
  if (frame.control()) return;
  Incoming& message = incoming(side);
  message.torn = true;
  message.context_lost = message.context_lost || message.compressed;
}

void Messages::on_frame_end(Side side, const Frame& frame) {
  if (frame.opcode == Opcode::close) sink_.closed(side);
  if (!frame.control() && frame.final && incoming(side).open) end(side);
}

void Messages::end(Side side) {
  Incoming& message = incoming(side);
  message.open = false;
  if (message.torn) return;  // which has been told
  if (message.compressed && !message.context_lost) decompress(message, end_of_message);
  if (message.failed) return sink_.unreadable(side, message.bytes, message.why);
  if (message.text) sink_.text(side, message.data);
}

void Messages::on_lost(Side side, std::uint64_t bytes, Gap::Reason reason) {
  Incoming& message = incoming(side);
  message.open = false;
  message.context_lost = true;
  sink_.missing(side, bytes, reason);
}

}  // namespace inferscope::assemble::websocket
