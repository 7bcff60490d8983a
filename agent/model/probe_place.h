// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace inferscope {

/// An instruction, by its offset in the file.
struct ProbePlace {
  std::uint64_t offset = 0;
  std::int64_t stack = 0;  ///< add to the stack pointer there for what it was at the function's entry
};

/// Where the probes of a function go.
struct FunctionPlaces {
  std::uint64_t begin = 0;           ///< of the function, in the file
  ProbePlace entry{};                ///< all arguments are still in place
  bool entry_emulated = false;       ///< the kernel emulates the instruction there; else it single-steps it
  std::uint64_t return_address = 0;  ///< for a return probe: the return address is on top of the stack
  std::vector<ProbePlace> exits{};   ///< instead of a return probe, where they are known: the result is in place
};

}  // namespace inferscope
