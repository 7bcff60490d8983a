// SPDX-License-Identifier: Apache-2.0
#include "discover/code_facts.h"

#include <algorithm>
#include <utility>

#include "discover/instructions.h"

namespace inferscope::discover {
namespace {

/// A general register, and how much of it.
struct Register {
  std::uint8_t number = 0;  ///< those of arguments first, in their order
  std::uint8_t bytes = 0;
};
constexpr std::size_t registers = 16;
constexpr std::uint8_t third = 2;

constexpr std::array<std::array<x86_reg, 5>, registers> names{{
    {X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL, X86_REG_INVALID},
    {X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL, X86_REG_INVALID},
    {X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH},
    {X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH},
    {X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B, X86_REG_INVALID},
    {X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B, X86_REG_INVALID},
    {X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH},
    {X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH},
    {X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL, X86_REG_INVALID},
    {X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL, X86_REG_INVALID},
    {X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B, X86_REG_INVALID},
    {X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B, X86_REG_INVALID},
    {X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B, X86_REG_INVALID},
    {X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B, X86_REG_INVALID},
    {X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B, X86_REG_INVALID},
    {X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B, X86_REG_INVALID},
}};
constexpr std::array<std::uint8_t, 5> widths{8, 4, 2, 1, 1};

std::optional<Register> register_of(unsigned name) {
  for (std::size_t number = 0; number < registers; ++number)
    for (std::size_t i = 0; i < widths.size(); ++i)
      if (names[number][i] != X86_REG_INVALID && static_cast<unsigned>(names[number][i]) == name)
        return Register{static_cast<std::uint8_t>(number), widths[i]};
  return std::nullopt;
}

class Reader {
 public:
  Reader(std::uint64_t begin, std::uint64_t end) : begin_(begin), end_(end) {
    for (std::uint8_t i = 0; i < arguments_tracked; ++i) values_[i] = {Tracked::Is::argument, i};
  }

  std::optional<CodeFacts> read(std::span<const std::byte> code) {
    if (!instructions_.decode(code, begin_, [this](const cs_insn& one) { visit(one); })) return std::nullopt;
    return std::move(facts_);
  }

 private:
  void visit(const cs_insn& instruction) {
    const cs_x86& x86 = instruction.detail->x86;
    note_constant(instruction, x86);
    note_transfer(instruction, x86);
    cs_regs read, written;
    std::uint8_t reads = 0, writes = 0;
    if (cs_regs_access(instructions_.handle(), &instruction, read, &reads, written, &writes) != CS_ERR_OK) {
      lose_track();
      return;
    }
    note_third(std::span(read, reads), std::span(written, writes));
    if (!called_ && x86.prefix[0] == X86_PREFIX_LOCK) note_count(x86);
    track(instruction, x86, std::span(written, writes));
    if (instruction.id == X86_INS_CALL || instruction.id == X86_INS_JMP || is_return(instruction)) lose_track();
  }

  /// What comes next is come to from elsewhere, or by way of a function that may have changed all.
  void lose_track() {
    third_open_ = false;
    values_ = {};
  }

  bool is_return(const cs_insn& instruction) const {
    return cs_insn_group(instructions_.handle(), &instruction, X86_GRP_RET);
  }

  void note_constant(const cs_insn& instruction, const cs_x86& x86) {
    if (x86.op_count != 2 || x86.operands[0].type != X86_OP_REG) return;
    const auto into = register_of(x86.operands[0].reg);
    if (!into) return;
    const cs_x86_op& from = x86.operands[1];
    CodeFacts::Constant constant;
    if (into->number < arguments_tracked) constant.argument = into->number;
    if (instruction.id == X86_INS_LEA && from.mem.base == X86_REG_RIP && from.mem.index == X86_REG_INVALID)
      constant.value = instruction.address + instruction.size + static_cast<std::uint64_t>(from.mem.disp);
    else if ((instruction.id == X86_INS_MOV || instruction.id == X86_INS_MOVABS) && from.type == X86_OP_IMM)
      constant.value = into->bytes == 4 ? static_cast<std::uint32_t>(from.imm) : static_cast<std::uint64_t>(from.imm);
    else
      return;
    facts_.constants.push_back(constant);
  }

  void note_transfer(const cs_insn& instruction, const cs_x86& x86) {
    const bool call = instruction.id == X86_INS_CALL;
    const csh handle = instructions_.handle();
    if (!call && !cs_insn_group(handle, &instruction, X86_GRP_JUMP)) return;
    if (x86.op_count == 1 && x86.operands[0].type == X86_OP_IMM) {
      CodeFacts::Transfer transfer{.from = instruction.address,
                                   .to = static_cast<std::uint64_t>(x86.operands[0].imm),
                                   .call = call,
                                   .first = !branched_};
      std::copy_n(values_.begin(), arguments_tracked, transfer.passed.begin());
      if (call || transfer.to < begin_ || transfer.to >= end_) facts_.transfers.push_back(transfer);
    }
    branched_ = true;
    called_ = called_ || call;
  }

  void note_third(std::span<const std::uint16_t> read, std::span<const std::uint16_t> written) {
    if (!third_open_) return;
    for (const std::uint16_t name : read) {
      const auto one = register_of(name);
      if (!one || one->number != third) continue;
      facts_.third_is_int = one->bytes == 4;
      third_open_ = false;
    }
    for (const std::uint16_t name : written)
      if (const auto one = register_of(name); one && one->number == third) third_open_ = false;
  }

  void note_count(const cs_x86& x86) {
    for (std::uint8_t i = 0; i < x86.op_count; ++i) {
      if (x86.operands[i].type != X86_OP_MEM) continue;
      const auto base = register_of(x86.operands[i].mem.base);
      constexpr Tracked first{Tracked::Is::argument, 0};
      if (base && values_[base->number] == first) facts_.counts_in_first = true;
    }
  }

  void track(const cs_insn& instruction, const cs_x86& x86, std::span<const std::uint16_t> written) {
    std::optional<std::pair<std::uint8_t, Tracked>> known;
    if (x86.op_count == 2 && x86.operands[0].type == X86_OP_REG && x86.operands[1].type == X86_OP_REG) {
      const auto into = register_of(x86.operands[0].reg), from = register_of(x86.operands[1].reg);
      if (into && from && instruction.id == X86_INS_MOV && into->bytes == 8)
        known.emplace(into->number, values_[from->number]);
      if (into && from && instruction.id == X86_INS_XOR && into->bytes >= 4 && into->number == from->number)
        known.emplace(into->number, Tracked{Tracked::Is::zero, 0});
    }
    for (const std::uint16_t name : written)
      if (const auto one = register_of(name)) values_[one->number] = {};
    if (known) values_[known->first] = known->second;
  }

  std::uint64_t begin_, end_;
  Instructions instructions_{};
  CodeFacts facts_{};
  std::array<Tracked, registers> values_{};
  bool branched_ = false;   ///< a jump or a call was read
  bool called_ = false;     ///< a call was read
  bool third_open_ = true;  ///< the third argument was not used so far
};

}  // namespace

std::optional<CodeFacts> read_code(std::span<const std::byte> code, std::uint64_t address) {
  return Reader(address, address + code.size()).read(code);
}

}  // namespace inferscope::discover
