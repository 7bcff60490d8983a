// stage: assemble
// SPDX-License-Identifier: Apache-2.0
// Transfers at any positions: what comes out goes on without overlap, is what was in the stream there, and adds up.
#include <string>

#include "assemble/stream.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;
using namespace inferscope::assemble;

namespace {

/// The byte of the stream at a position.
char byte_at(std::uint64_t position) {
  return static_cast<char>('a' + position * 7 % 26);
}

std::string content(std::uint64_t position, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = byte_at(position + i);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(data, size);
  Stream stream;
  Account account;
  std::uint64_t expected = 0;
  while (!input.empty()) {
    const std::uint8_t how = input.byte();
    std::uint64_t position = input.byte();
    if (how & 1) position += expected;
    if (how & 2) position = ~std::uint64_t{0} - position;
    const std::uint64_t length = how & 4 ? ~std::uint64_t{0} - input.byte() : input.byte();
    const std::size_t head = std::min<std::uint64_t>(length, input.byte());
    const std::size_t tail = std::min<std::uint64_t>(length - head, input.byte());
    const std::uint64_t end = position + std::min(length, ~std::uint64_t{0} - position);
    const std::string head_bytes = content(position, head);
    // Where a length was cut at the end of what positions can say, the tail is not where it says.
    const std::string tail_bytes = end - position == length ? content(end - tail, tail) : std::string();
    const Transfer transfer{.position = position, .length = length, .head = head_bytes, .tail = tail_bytes};
    stream.take(
        transfer, account,
        [&](std::string_view piece, bool fresh, std::uint64_t at) {
          test::require(at == expected && !piece.empty());
          test::require(!fresh || at == position);
          for (std::size_t i = 0; i < piece.size(); ++i) test::require(piece[i] == byte_at(at + i));
          expected += piece.size();
          account.out += piece.size();
        },
        [&](std::uint64_t bytes, Gap::Reason reason, std::uint64_t at) {
          test::require(at == expected && bytes > 0);
          expected += bytes;
          account.drop(drop_of(reason), bytes);
        });
    test::require(stream.position() == expected);
    test::require(account.stats().balanced());
  }
  return 0;
}
