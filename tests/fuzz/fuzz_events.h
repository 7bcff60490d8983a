// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "tests/support/script.h"

namespace inferscope::test {

/// Ends the run where the input broke a promise.
inline void require(bool condition) {
  if (!condition) std::abort();
}

/// Takes numbers and bytes off the front of a fuzz input; zeros when there are no more.
class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view bytes(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() { return bytes(rest_.size()); }

 private:
  std::string_view rest_;
};

/// Events from records of an action, a size in two bytes (little endian) and, for most, so many bytes of content:
///   < received   > sent   [ received, middle cut out   ] sent, likewise   l, L lost (received, sent)
///   h, H half-closed   x closed   r reset   e process exited   o opened   m opened in mid-stream   i implausible
inline Script fuzz_script(FuzzInput input) {
  Script script;
  std::vector<Script::Stream> streams{script.open({.role = static_cast<Role>(input.byte() % 3)})};
  while (!input.empty()) {
    const std::uint8_t action = input.byte();
    const std::size_t size = input.byte() | static_cast<std::size_t>(input.byte()) << 8;
    Script::Stream& stream = streams[streams.size() > 1 && size % 7 == 3 ? 0 : streams.size() - 1];
    switch (action) {
      case '[':
      case ']': {
        const std::string_view content = input.bytes(size);
        const std::size_t third = content.size() / 3;
        stream.cut(action == '[' ? Direction::received : Direction::sent, content.substr(0, third), content.size(),
                   content.substr(content.size() - third), static_cast<Transfer::Cut>(1 + size % 5));
        break;
      }
      case 'l':
      case 'L':
        stream.lose(action == 'l' ? Direction::received : Direction::sent, size);
        break;
      case 'h':
      case 'H':
        stream.half_closed(action == 'h' ? Direction::received : Direction::sent);
        break;
      case 'x':
        stream.closed();
        break;
      case 'r':
        stream.closed(ConnectionClosed::Reason::reset);
        break;
      case 'e':
        script.exited(100);
        break;
      case 'o':
      case 'm':
        if (streams.size() < 8)
          streams.push_back(script.open({.role = static_cast<Role>(size % 3), .mid_stream = action == 'm'}));
        break;
      case 'i': {
        const std::string_view content = input.bytes(size % 64);
        script.put(Transfer{.connection = size % 5,
                            .direction = size & 32 ? Direction::sent : Direction::received,
                            .position = size & 64 ? ~std::uint64_t{0} - size : size,
                            .length = size & 128 ? ~std::uint64_t{0} : size,
                            .begin = script.now(),
                            .end = script.now(),
                            .head = content,
                            .tail = content});
        break;
      }
      default:
        stream.transfer(action == '<' || action % 2 == 0 ? Direction::received : Direction::sent, input.bytes(size));
    }
  }
  return script;
}

}  // namespace inferscope::test
