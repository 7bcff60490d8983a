// SPDX-License-Identifier: Apache-2.0
#include "assemble/http2/mask.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "assemble/content/content_mask.h"
#include "assemble/http1/head_mask.h"
#include "assemble/http2/session.h"

namespace inferscope::assemble::http2 {
namespace {

/// A header block of any size that says nothing: it empties the table and gives it its usual size again (RFC 7541 6.3),
/// then "accept-charset" without a value as often as fits, which is one byte.
char blank_block(std::size_t at, std::size_t size) {
  constexpr std::array<char, 4> sizes{'\x20', '\x3f', '\xe1', '\x1f'};
  return at < sizes.size() && size >= sizes.size() ? sizes[at] : '\x8f';
}

class Mask final : public Session {
 public:
  Mask(ConnectionContext& context, MaskOutput& output) : Session(context), output_(output) {}

  void half_closed(Direction /*direction*/) override {}
  void closed(End /*end*/) override { streams_.clear(); }
  [[nodiscard]] bool busy() const override { return !streams_.empty(); }

 private:
  struct Message {
    ContentMask content{};
    std::string content_type{};
    std::string content_encoding{};
    bool informational = false;
    bool opened = false;  ///< its final head was read
    bool ended = false;
  };
  struct Stream {
    Message messages[2]{};
  };
  using Streams = std::map<StreamId, Stream>;

  void on_part(Side side, Part part, std::string_view range) override {
    switch (part) {
      case Part::structure:
        return output_.keep(range);
      case Part::payload:  // the others may hold text
        if (frames_[index_of(side)].type < static_cast<std::uint8_t>(FrameType::goaway)) output_.keep(range);
        return;
      case Part::block:
        for (std::size_t i = 0; i < range.size(); ++i)
          output_.put(range.data() + i, blank_block(block_bytes_[index_of(side)]++, frames_[index_of(side)].length));
        return;
      case Part::data:
      case Part::padding:
        return;
    }
  }
  void on_frame(Side side, const FrameHeader& header) override {
    frames_[index_of(side)] = header;
    if (!header.is(FrameType::continuation)) block_bytes_[index_of(side)] = 0;
  }

  void headers_begin(std::string_view block) override {
    block_ = block;
    read_ = Message{};
    output_.keep(block);
  }
  void on_field(const HpackField& field, bool in_piece) override {
    if (field.name == ":status") read_.informational = field.value.starts_with('1');
    if (field.name == "content-type" && read_.content_type.empty()) read_.content_type = field.value;
    if (field.name == "content-encoding" && read_.content_encoding.empty()) read_.content_encoding = field.value;
    if (!in_piece || !field.wire_value) return;
    const WireString& wire = *field.wire_value;
    const std::size_t kept = kept_bytes(field);
    if (kept > 0 && kept < field.value.size() && !wire.huffman) {
      for (std::size_t i = kept; i < wire.bytes.size(); ++i) output_.put(wire.bytes.data() + i, MaskOutput::mask);
    } else if (kept < field.value.size()) {
      mask_string(wire, field.value.size(),
                  [&](std::size_t i, char byte) { output_.put(wire.bytes.data() + i, byte); });
    }
  }
  // Which streams there are, as in http2_exchanges.cpp.
  void headers_end(Side side, StreamId stream, bool good) override {
    if (!good)
      for (std::size_t i = 0; i < block_.size(); ++i) output_.put(block_.data() + i, blank_block(i, block_.size()));
    block_ = {};
    if (side == Side::request && stream % 2 == 1 && stream > newest_) {
      newest_ = stream;
      if (streams_.size() >= context().limits.open_streams) streams_.erase(streams_.begin());
      streams_.try_emplace(stream);
    }
    const auto found = streams_.find(stream);
    if (found == streams_.end() || (side == Side::response && read_.informational)) return;
    Message& message = found->second.messages[index_of(side)];
    if (message.opened) return;
    message = std::move(read_);
    message.opened = true;
    message.content.begin(message.content_type, message.content_encoding);
  }
  void on_data(Side side, StreamId stream, std::string_view bytes) override {
    if (Message* message = opened(side, stream)) message->content.feed(bytes, output_);
  }
  void on_data_hole(Side side, StreamId stream, std::uint64_t /*bytes*/, Gap::Reason /*reason*/) override {
    if (Message* message = opened(side, stream)) message->content.hole();
  }
  void on_end(Side side, StreamId stream) override {
    if (const auto found = streams_.find(stream); found != streams_.end()) ended(found, side);
  }
  void on_reset(Side /*side*/, StreamId stream) override { streams_.erase(stream); }
  void frames_lost(Side side, Gap::Reason /*reason*/, std::uint64_t /*bytes*/) override {
    for (auto it = streams_.begin(); it != streams_.end();) {
      const auto at = it++;
      if (side == Side::request) {
        ended(at, side);
      } else if (at->second.messages[1].opened) {
        streams_.erase(at);
      }
    }
  }
  void given_up() override { streams_.clear(); }

  void ended(Streams::iterator stream, Side side) {
    auto& messages = stream->second.messages;
    messages[index_of(side)].ended = true;
    if (messages[0].ended && messages[1].ended) streams_.erase(stream);
  }

  Message* opened(Side side, StreamId stream) {
    const auto found = streams_.find(stream);
    if (found == streams_.end() || !found->second.messages[index_of(side)].opened) return nullptr;
    return &found->second.messages[index_of(side)];
  }

  /// How much of the value's beginning may be told.
  static std::size_t kept_bytes(const HpackField& field) {
    const std::size_t all = field.value.size();
    if (field.name == ":path") return std::min(field.value.find('?'), all);
    if (field.name.starts_with(':')) return all;
    switch (http1::HeadMask::treatment_of(field.name)) {
      case http1::HeadMask::Value::kept:
        return all;
      case http1::HeadMask::Value::number:
        return field.value.find_first_not_of("0123456789.") == std::string_view::npos ? all : 0;
      case http1::HeadMask::Value::masked:
        break;
    }
    return 0;
  }

  MaskOutput& output_;
  Streams streams_{};
  StreamId newest_ = 0;
  FrameHeader frames_[2]{};
  std::size_t block_bytes_[2]{};
  std::string_view block_{};
  Message read_{};
};

}  // namespace

std::unique_ptr<ProtocolParser> make_mask(ConnectionContext& context, MaskOutput& output) {
  return std::make_unique<Mask>(context, output);
}

}  // namespace inferscope::assemble::http2
