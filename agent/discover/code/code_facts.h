// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace inferscope::discover {

/// Arguments are in registers, in this order (psABI).
constexpr std::size_t arguments_tracked = 6;

/// What a register holds, whatever way the code came to it.
struct Tracked {
  enum class Is : std::uint8_t { unknown, argument, zero, stack };
  Is is = Is::unknown;
  std::int64_t value = 0;  ///< which of the function's own arguments, from 0 on; of an address on the stack, its
                           ///< distance from where the return address is

  bool operator==(const Tracked&) const = default;
};
using Passed = std::array<Tracked, arguments_tracked>;

/// What decoding a piece of code tells of it.
struct CodeFacts {
  /// A number or an address that a register is set to.
  struct Constant {
    std::optional<std::uint8_t> argument{};  ///< the register, if arguments are passed in it
    std::uint64_t value = 0;
  };
  /// A call, or a jump out of the piece, to an address that is told.
  struct Transfer {
    std::uint64_t to = 0;
    bool call = false;         ///< otherwise a jump
    bool conditional = false;  ///< a jump that may not be taken
    bool first = false;        ///< no jump and no call is before it
    Passed passed{};
  };

  std::vector<Constant> constants{};
  std::vector<Transfer> transfers{};
  std::vector<Passed> handed_on{};  ///< by calls, and jumps with nothing on the stack, to addresses that are not told
  bool third_is_int = false;        ///< of the third argument, what is used first is its lower half
  bool counts_in_first = false;     ///< memory at the first argument is changed atomically before anything is called
};

/// Nothing if any of it is no instruction. `address`: of its first byte. What is passed is told only of code whose ways
/// are all known, and that is entered at its beginning only. Stores elsewhere than on the stack are taken not to change
/// what the compiler put there for itself.
std::optional<CodeFacts> read_code(std::span<const std::byte> code, std::uint64_t address);

}  // namespace inferscope::discover
