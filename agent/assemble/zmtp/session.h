// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "assemble/zmtp/reader.h"

namespace inferscope::assemble::zmtp {

/// Both directions of a connection, which speak alike: what is found in each goes to its own sink.
class Session final : public ProtocolParser {
 public:
  Session(ConnectionContext& context, std::unique_ptr<FrameSink> received, std::unique_ptr<FrameSink> sent);

  void bytes(Direction direction, std::string_view piece, bool fresh, std::uint64_t position) override;
  void hole(Direction direction, std::uint64_t bytes, Gap::Reason reason, std::uint64_t position) override;
  void half_closed(Direction /*direction*/) override {}
  void closed(End /*end*/) override {}  // no message of which the end is missing is told
  [[nodiscard]] bool busy() const override { return false; }
  [[nodiscard]] Drop finished() const override { return finished_; }

 private:
  FrameReader& reader(Direction direction) { return direction == Direction::received ? received_ : sent_; }

  const Limits& limits_;
  std::unique_ptr<FrameSink> received_sink_;
  std::unique_ptr<FrameSink> sent_sink_;
  FrameReader received_;
  FrameReader sent_;
  Drop finished_ = Drop::count;
};

/// Tells each message of the connection (ExchangeOutput::messages); there are no exchanges on it.
std::unique_ptr<ProtocolParser> make_messages(ConnectionContext& context, ExchangeOutput& output);
/// Says which bytes of the connection are structure: the greeting and the headers of frames. All bodies are content,
/// those of commands, too, among which are passwords.
std::unique_ptr<ProtocolParser> make_mask(ConnectionContext& context, MaskOutput& output);

}  // namespace inferscope::assemble::zmtp
