// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "discover/code/code_facts.h"

namespace inferscope::discover {

/// A general register: those of arguments first, in their order.
using RegisterNumber = std::uint8_t;
constexpr std::size_t registers = 16;
constexpr RegisterNumber frame_pointer = 8, stack_pointer = 9;

/// An address in memory: a register and a number.
struct MemoryPlace {
  RegisterNumber base = 0;
  std::int64_t displacement = 0;
};

/// What an instruction does, as far as it matters to where arguments are.
struct TrackedStep {
  enum class Flow : std::uint8_t { on, jump_if, jump, call, ret };
  enum class Does : std::uint8_t { other, copy, zero, load, store, address, push, push_other, pop, leave, add };

  std::uint64_t address = 0;
  Flow flow = Flow::on;
  std::optional<std::uint64_t> target{};  ///< of jumps and calls; nothing: it is not told
  Does does = Does::other;
  bool is_padding = false;
  bool is_atomic = false;
  RegisterNumber into = 0;              ///< copy, zero, load, address, pop, add
  RegisterNumber from = 0;              ///< copy, store, push
  std::int64_t number = 0;              ///< add
  std::optional<MemoryPlace> memory{};  ///< load, store, address, or what an atomic one changes
  std::uint8_t written_bytes = 0;       ///< in memory
  std::uint16_t written_registers = 0;  ///< a bit for each
};

/// What registers and places on the stack hold.
class TrackedState {
 public:
  /// At a function's entry.
  TrackedState();
  void apply(const TrackedStep& step);
  /// Keeps what is the same in both; tells whether that is less than it was.
  bool join(const TrackedState& other);
  [[nodiscard]] const Tracked& value_of(RegisterNumber number) const { return values_[number]; }
  [[nodiscard]] Passed arguments() const;

 private:
  [[nodiscard]] std::optional<std::int64_t> on_stack(const MemoryPlace& place) const;
  [[nodiscard]] Tracked load(std::optional<std::int64_t> place) const;
  void keep(std::int64_t place, const Tracked& value);
  void forget(std::optional<std::int64_t> place, std::uint8_t bytes);

  std::array<Tracked, registers> values_{};
  std::map<std::int64_t, Tracked> stack_{};  ///< words whose value is known, by their distance from
                                             ///< the return address
};

/// Follows all ways through a piece of code, and tells `facts` what is passed, and what is counted. Nothing of code
/// that may go on in ways which are not told.
void track(const std::vector<TrackedStep>& steps, CodeFacts& facts);

}  // namespace inferscope::discover
