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

/// What is in a register.
struct Tracked {
  enum class Is : std::uint8_t { unknown, argument, zero };
  Is is = Is::unknown;
  std::uint8_t argument = 0;  ///< which one of the function's own, from 0 on

  bool operator==(const Tracked&) const = default;
};

/// What decoding a piece of code tells of it.
struct CodeFacts {
  /// A number or an address that a register is set to.
  struct Constant {
    std::optional<std::uint8_t> argument{};  ///< the register, if arguments are passed in it
    std::uint64_t value = 0;
  };
  /// A call, or a jump out of the piece, to an address that is told.
  struct Transfer {
    std::uint64_t from = 0;  ///< the address of the instruction
    std::uint64_t to = 0;
    bool call = false;                                ///< otherwise a jump
    bool first = false;                               ///< every way through the piece begins with it
    std::array<Tracked, arguments_tracked> passed{};  ///< if it is come to in the order of addresses
  };

  std::vector<Constant> constants{};
  std::vector<Transfer> transfers{};
  bool third_is_int = false;     ///< of the third argument, what is used first is its lower half
  bool counts_in_first = false;  ///< before anything is called, memory at the first argument is changed atomically
};

/// Nothing if any of it is no instruction. `address`: of its first byte.
std::optional<CodeFacts> read_code(std::span<const std::byte> code, std::uint64_t address);

}  // namespace inferscope::discover
