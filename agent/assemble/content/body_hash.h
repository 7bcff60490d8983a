// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace inferscope::assemble {

/// FNV-1a 64 over little-endian words of 8 bytes (byte by byte it would cost more than all other work on a long body),
/// the last word padded with zeros, then the length as one more word. The same for any division into pieces.
class BodyHash {
 public:
  void add(std::string_view bytes) {
    length_ += bytes.size();
    while (pending_ > 0 && !bytes.empty()) {
      push(bytes[0]);
      bytes.remove_prefix(1);
    }
    for (; bytes.size() >= word_size; bytes.remove_prefix(word_size)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), word_size);
      if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
      mix(word);
    }
    for (const char c : bytes) push(c);
  }
  /// Never 0.
  [[nodiscard]] std::uint64_t value() const {
    BodyHash copy = *this;
    if (pending_ > 0) copy.mix(word_);
    copy.mix(length_);
    return copy.hash_ == 0 ? 1 : copy.hash_;
  }

 private:
  static constexpr std::size_t word_size = 8;
  static constexpr std::uint64_t prime = 0x100000001b3;
  static constexpr std::uint64_t basis = 0xcbf29ce484222325;

  void mix(std::uint64_t word) {
    // Multiplying carries differences upwards only; the rotation brings them back down.
    hash_ = std::rotl((hash_ ^ word) * prime, 29);
  }
  void push(char c) {
    word_ |= std::uint64_t{static_cast<unsigned char>(c)} << (8 * pending_);
    if (++pending_ < word_size) return;
    mix(word_);
    word_ = 0;
    pending_ = 0;
  }

  std::uint64_t hash_ = basis;
  std::uint64_t word_ = 0;
  std::uint64_t length_ = 0;
  unsigned pending_ = 0;
};

}  // namespace inferscope::assemble
