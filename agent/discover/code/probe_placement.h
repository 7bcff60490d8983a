// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace inferscope::discover {

/// Bytes of code; nothing is proven of more.
constexpr std::size_t longest_function = 64u << 10;

/// An instruction of a function, from whose beginning offsets count.
struct CodePlace {
  std::uint64_t offset = 0;
  /// Bytes that the function has put on the stack by then: the stack pointer plus this is what it was at the entry.
  std::int64_t stack = 0;

  bool operator==(const CodePlace&) const = default;
};

/// Where probes on a function cost least. The kernel emulates push, and relative jumps and calls; everything else it
/// single-steps, which costs several times as much (arch/x86/kernel/uprobes.c).
struct Placement {
  CodePlace entry{};  ///< passed once per call, with the arguments where they were
  bool entry_emulated = false;
  std::uint64_t return_address = 0;  ///< likewise, with the return address on top of the stack: for a return probe
  std::vector<CodePlace> exits{};    ///< one of them is passed once before each return, the result in place; empty: not
                                     ///< proven, so it takes a return probe
  /// The function that it hands all its arguments on to, and whose result is its own, if that is all that it does;
  /// negative results may become 0. From its own beginning on.
  std::optional<std::int64_t> hands_on_to{};
  std::vector<std::int64_t> callees{};  ///< all that it calls, likewise
};

/// Where the kernel emulates a function's first instruction, before which nothing was put on the stack: a cheap place
/// for a probe on its entry and one on its return. `beginning`: some bytes of it.
std::optional<std::uint64_t> place_on_beginning(std::span<const std::byte> beginning);

/// `code`: the whole function, of x86-64. What cannot be proven by decoding it stays at its beginning.
Placement place_probes(std::span<const std::byte> code);

/// Of a function of Go.
struct GoPlacement {
  CodePlace entry{};  ///< passed once per call, and again if the stack had to grow; arguments in place
  std::vector<CodePlace>
      exits{};                   ///< all its returns: a probe on the return address would confuse Go's own stack walks
  bool stack_arguments = false;  ///< they are on the stack, and the goroutine in the thread's storage: before Go 1.17
};

/// Nothing if the code does not begin as Go's functions do, with the test of how much stack is left, which also tells
/// by its registers how functions of this version are called; or if any of it is no instruction.
std::optional<GoPlacement> place_go_probes(std::span<const std::byte> code);

}  // namespace inferscope::discover
