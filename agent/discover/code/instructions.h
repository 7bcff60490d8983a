// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <capstone/capstone.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace inferscope::discover {

/// Newer than the library, for which it does nothing.
bool starts_with_endbr64(std::span<const std::byte> code);
constexpr std::size_t endbr64_size = 4;

/// Decodes code of x86-64.
class Instructions {
 public:
  Instructions();
  Instructions(const Instructions&) = delete;
  Instructions& operator=(const Instructions&) = delete;
  ~Instructions();

  /// Each instruction of `code`, which lies at `address`, with its operands. False if any of it is no instruction: then
  /// those before it were visited.
  bool decode(std::span<const std::byte> code, std::uint64_t address,
              const std::function<void(const cs_insn&)>& visit) const;
  /// For capstone's functions about an instruction that was visited.
  [[nodiscard]] csh handle() const { return handle_; }

 private:
  csh handle_ = 0;
  cs_insn* instruction_ = nullptr;
};

}  // namespace inferscope::discover
