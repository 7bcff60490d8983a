// SPDX-License-Identifier: Apache-2.0
#include "discover/code/instructions.h"

#include <algorithm>
#include <array>

namespace inferscope::discover {
namespace {

constexpr std::array<std::uint8_t, endbr64_size> endbr64{0xf3, 0x0f, 0x1e, 0xfa};

}  // namespace

bool starts_with_endbr64(std::span<const std::byte> code) {
  return code.size() >= endbr64.size() && std::equal(endbr64.begin(), endbr64.end(), code.begin(), [](auto a, auto b) {
           return a == std::to_integer<std::uint8_t>(b);
         });
}

Instructions::Instructions() {
  if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle_) != CS_ERR_OK) return;
  cs_option(handle_, CS_OPT_DETAIL, CS_OPT_ON);
  instruction_ = cs_malloc(handle_);
}

Instructions::~Instructions() {
  if (instruction_ != nullptr) cs_free(instruction_, 1);
  if (handle_ != 0) cs_close(&handle_);
}

bool Instructions::decode(std::span<const std::byte> code, std::uint64_t address,
                          const std::function<void(const cs_insn&)>& visit) const {
  if (instruction_ == nullptr) return false;
  const auto* at = reinterpret_cast<const std::uint8_t*>(code.data());
  std::size_t left = code.size();
  while (left > 0) {
    if (starts_with_endbr64(code.last(left))) {
      cs_detail* detail = instruction_->detail;
      *detail = {};
      *instruction_ = {};
      instruction_->id = X86_INS_NOP;
      instruction_->address = address;
      instruction_->size = endbr64.size();
      instruction_->detail = detail;
      std::copy(endbr64.begin(), endbr64.end(), instruction_->bytes);
      at += endbr64.size();
      left -= endbr64.size();
      address += endbr64.size();
    } else if (!cs_disasm_iter(handle_, &at, &left, &address, instruction_)) {
      return false;
    }
    visit(*instruction_);
  }
  return true;
}

}  // namespace inferscope::discover
