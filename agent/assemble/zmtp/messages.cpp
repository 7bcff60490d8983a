// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <vector>

#include "assemble/zmtp/session.h"
#include "model/peer_message.h"

namespace inferscope::assemble::zmtp {
namespace {

constexpr std::size_t most_frames = 256;                       ///< of one message; a longer one is told as missed
constexpr std::size_t kept_capacity = std::size_t{64} * 1024;  ///< of memory for the next message

/// Puts the messages of one direction together.
class Messages final : public FrameSink {
 public:
  Messages(const ConnectionContext& context, ExchangeOutput& output, Direction direction)
      : context_(context), output_(output), direction_(direction) {
    if (const auto& unread = context.unread[index_of(direction)]) tell(*unread);
  }
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;
  ~Messages() override { output_.held -= body_.size(); }

 private:
  void on_structure(std::string_view /*range*/) override {}

  void on_frame(const Frame& frame) override {
    cut_ = frame.command || frames_.size() >= most_frames;
    if (frame.command) return;
    if (cut_) {
      too_many_ = true;
    } else {
      frames_.push_back({.length = frame.length});
      begins_.push_back(body_.size());
    }
  }

  void on_body(std::string_view bytes) override {
    if (cut_) return;
    const std::size_t room =
        std::min(context_.limits.peer_message - body_.size(), context_.limits.peer_messages - output_.held);
    cut_ = bytes.size() > room;
    bytes = bytes.substr(0, room);
    body_.append(bytes);
    output_.held += bytes.size();
  }
  /// What is behind it would not be where it seems to be.
  void on_body_hole(std::uint64_t /*bytes*/) override { cut_ = true; }

  void on_frame_end(const Frame& frame) override {
    if (frame.command || frame.more) return;
    if (too_many_) return tell_lost();
    for (std::size_t i = 0; i < frames_.size(); ++i) {
      const std::size_t end = i + 1 < begins_.size() ? begins_[i + 1] : body_.size();
      frames_[i].content = std::string_view(body_).substr(begins_[i], end - begins_[i]);
    }
    tell();
  }

  void on_lost() override { tell_lost(); }

  void tell_lost() {
    frames_.clear();
    tell();
  }

  void tell() { tell(context_.moment); }

  void tell(const Moment& moment) {
    if (output_.messages != nullptr && *output_.messages) {
      (*output_.messages)({.connection = context_.connection,
                           .direction = direction_,
                           .time = moment.time,
                           .pid = moment.pid,
                           .tid = moment.tid,
                           .frames = frames_});
    }
    frames_.clear();
    begins_.clear();
    output_.held -= body_.size();
    body_.clear();
    if (body_.capacity() > kept_capacity) body_.shrink_to_fit();
    too_many_ = false;
  }

  const ConnectionContext& context_;
  ExchangeOutput& output_;
  const Direction direction_;
  std::vector<PeerMessage::Frame> frames_{};
  std::vector<std::size_t> begins_{};  ///< of the frames in the body
  std::string body_{};
  bool cut_ = false;  ///< nothing more is taken of the frame
  bool too_many_ = false;
};

}  // namespace

std::unique_ptr<ProtocolParser> make_messages(ConnectionContext& context, ExchangeOutput& output) {
  return std::make_unique<Session>(context, std::make_unique<Messages>(context, output, Direction::received),
                                   std::make_unique<Messages>(context, output, Direction::sent));
}

}  // namespace inferscope::assemble::zmtp
