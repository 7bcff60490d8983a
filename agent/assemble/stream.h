// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "assemble/account.h"
#include "model/event.h"

namespace inferscope::assemble {

/// One direction of a connection: turns transfers with positions into pieces and holes that follow each other
/// without overlap. Copies nothing.
class Stream {
 public:
  [[nodiscard]] std::uint64_t position() const { return position_; }
  /// Where the stream begins for us; nothing before it is missed.
  void begin_at(std::uint64_t position) { position_ = position; }

  /// Calls bytes(piece, fresh, position) and hole(size, reason, position) for what the transfer brings and for what
  /// is missing before it. `fresh`: the piece is the beginning of the transfer.
  template <class Bytes, class Hole>
  void take(const Transfer& transfer, Account& account, Bytes&& bytes, Hole&& hole) {
    constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t end = transfer.position + std::min(transfer.length, largest - transfer.position);
    if (end <= position_) {
      account.in += end - transfer.position;
      account.drop(Drop::duplicate, end - transfer.position);
      return;
    }
    expect(transfer.position, account, hole);
    account.in += end - transfer.position;
    account.drop(Drop::duplicate, position_ - transfer.position);
    const std::uint64_t head_end =
        transfer.position + std::min<std::uint64_t>(transfer.head.size(), end - transfer.position);
    const std::uint64_t tail_begin = end - std::min<std::uint64_t>(transfer.tail.size(), end - head_end);
    piece(transfer.head.substr(0, head_end - transfer.position), transfer.position, transfer.position, bytes);
    if (position_ < tail_begin) {
      const std::uint64_t size = tail_begin - position_;
      const std::uint64_t from = position_;
      position_ = tail_begin;
      hole(size, reason_of(transfer.cut), from);
    }
    piece(transfer.tail.substr(transfer.tail.size() - (end - tail_begin)), tail_begin, transfer.position, bytes);
  }

  /// The stream is known to go on at `position`: what lies before it was lost.
  template <class Hole>
  void expect(std::uint64_t position, Account& account, Hole&& hole) {
    if (position <= position_) return;
    const std::uint64_t size = position - position_;
    const std::uint64_t from = position_;
    account.in += size;
    position_ = position;
    hole(size, Gap::Reason::lost, from);
  }

 private:
  template <class Bytes>
  void piece(std::string_view content, std::uint64_t begin, std::uint64_t transfer_begin, Bytes&& bytes) {
    if (begin + content.size() <= position_) return;
    content.remove_prefix(position_ - begin);
    const std::uint64_t from = position_;
    position_ += content.size();
    bytes(content, from == transfer_begin, from);
  }

  static constexpr Gap::Reason reason_of(Transfer::Cut cut) {
    return cut == Transfer::Cut::unreadable || cut == Transfer::Cut::fault ? Gap::Reason::unreadable
                                                                           : Gap::Reason::not_captured;
  }

  std::uint64_t position_ = 0;
};

}  // namespace inferscope::assemble
