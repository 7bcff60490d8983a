// SPDX-License-Identifier: Apache-2.0
#include "discover/code/code_facts.h"

#include <algorithm>
#include <utility>

#include "discover/code/instructions.h"
#include "discover/code/register_tracking.h"

namespace inferscope::discover {
namespace {

/// A register, and how much of it.
struct Register {
  RegisterNumber number = 0;
  std::uint8_t bytes = 0;
};
constexpr RegisterNumber third = 2;

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
        return Register{static_cast<RegisterNumber>(number), widths[i]};
  return std::nullopt;
}

class Reader {
 public:
  explicit Reader(std::uint64_t begin) : begin_(begin) {}

  std::optional<CodeFacts> read(std::span<const std::byte> code) {
    if (!instructions_.decode(code, begin_, [this](const cs_insn& one) { visit(one); })) return std::nullopt;
    track(steps_, facts_);
    return std::move(facts_);
  }

 private:
  void visit(const cs_insn& instruction) {
    const cs_x86& x86 = instruction.detail->x86;
    note_constant(instruction, x86);
    TrackedStep step{.address = instruction.address, .is_padding = instruction.id == X86_INS_NOP};
    step.is_padding =
        step.is_padding || (instruction.id == X86_INS_XCHG && is_same(x86)) || instruction.id == X86_INS_INT3;
    read_flow(instruction, x86, step);
    read_registers(instruction, step);
    read_memory(x86, step);
    read_kind(instruction, x86, step);
    if (step.flow != TrackedStep::Flow::on && step.flow != TrackedStep::Flow::jump_if) third_open_ = false;
    steps_.push_back(step);
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

  void read_flow(const cs_insn& instruction, const cs_x86& x86, TrackedStep& step) const {
    const csh handle = instructions_.handle();
    if (instruction.id == X86_INS_CALL)
      step.flow = TrackedStep::Flow::call;
    else if (instruction.id == X86_INS_JMP || instruction.id == X86_INS_LJMP)
      step.flow = TrackedStep::Flow::jump;
    else if (cs_insn_group(handle, &instruction, X86_GRP_JUMP))
      step.flow = TrackedStep::Flow::jump_if;
    else if (cs_insn_group(handle, &instruction, X86_GRP_RET))
      step.flow = TrackedStep::Flow::ret;
    if (step.flow != TrackedStep::Flow::on && x86.op_count == 1 && x86.operands[0].type == X86_OP_IMM)
      step.target = static_cast<std::uint64_t>(x86.operands[0].imm);
  }

  /// What cannot be told may write to all.
  void read_registers(const cs_insn& instruction, TrackedStep& step) {
    cs_regs read, written;
    std::uint8_t reads = 0, writes = 0;
    if (cs_regs_access(instructions_.handle(), &instruction, read, &reads, written, &writes) != CS_ERR_OK) {
      step.written_registers = 0xffff;
      third_open_ = false;
      return;
    }
    for (const std::uint16_t name : std::span(read, reads)) {
      const auto one = register_of(name);
      if (!third_open_ || !one || one->number != third) continue;
      facts_.third_is_int = one->bytes == sizeof(int);
      third_open_ = false;
    }
    for (const std::uint16_t name : std::span(written, writes)) {
      const auto one = register_of(name);
      if (!one) continue;
      step.written_registers = static_cast<std::uint16_t>(step.written_registers | 1u << one->number);
      third_open_ = third_open_ && one->number != third;
    }
  }

  static std::optional<MemoryPlace> place_of(const cs_x86_op& operand) {
    if (operand.type != X86_OP_MEM || operand.mem.index != X86_REG_INVALID || operand.mem.segment != X86_REG_INVALID)
      return std::nullopt;
    const auto base = register_of(operand.mem.base);
    if (!base || base->bytes != 8) return std::nullopt;
    return MemoryPlace{base->number, operand.mem.disp};
  }

  static void read_memory(const cs_x86& x86, TrackedStep& step) {
    step.is_atomic = x86.prefix[0] == X86_PREFIX_LOCK;
    for (const cs_x86_op& operand : std::span(x86.operands, x86.op_count)) {
      if (operand.type != X86_OP_MEM) continue;
      step.memory = place_of(operand);
      if ((operand.access & CS_AC_WRITE) != 0) step.written_bytes = operand.size;
    }
  }

  static bool is_same(const cs_x86& x86) {
    return x86.op_count == 2 && x86.operands[0].type == X86_OP_REG && x86.operands[1].type == X86_OP_REG &&
           x86.operands[0].reg == x86.operands[1].reg;
  }

  /// A whole register, if it is one.
  static std::optional<RegisterNumber> whole(const cs_x86_op& operand) {
    if (operand.type != X86_OP_REG) return std::nullopt;
    const auto one = register_of(operand.reg);
    if (!one || one->bytes != 8) return std::nullopt;
    return one->number;
  }

  static void read_kind(const cs_insn& instruction, const cs_x86& x86, TrackedStep& step) {
    using Does = TrackedStep::Does;
    const auto first = x86.op_count > 0 ? whole(x86.operands[0]) : std::nullopt;
    const auto second = x86.op_count > 1 ? whole(x86.operands[1]) : std::nullopt;
    const bool number = x86.op_count == 2 && x86.operands[1].type == X86_OP_IMM;
    const auto is = [&](Does does, std::optional<RegisterNumber> into, std::optional<RegisterNumber> from) {
      step.does = does;
      step.into = into.value_or(0);
      step.from = from.value_or(0);
    };
    switch (instruction.id) {
      case X86_INS_MOV:
        if (first && second)
          is(Does::copy, first, second);
        else if (first && step.memory)
          is(Does::load, first, {});
        else if (second && step.memory)
          is(Does::store, {}, second);
        break;
      case X86_INS_XOR:
        if (is_same(x86)) {
          const auto one = register_of(x86.operands[0].reg);
          if (one && one->bytes >= 4) is(Does::zero, one->number, {});
        }
        break;
      case X86_INS_LEA:
        if (first && step.memory) is(Does::address, first, {});
        break;
      case X86_INS_ADD:
      case X86_INS_SUB:
        if (first && number) {
          is(Does::add, first, {});
          step.number = instruction.id == X86_INS_ADD ? x86.operands[1].imm : -x86.operands[1].imm;
        }
        break;
      case X86_INS_PUSH:
        // Another value than that of a whole register is not known, but is put there likewise.
        is(first ? Does::push : Does::push_other, {}, first);
        break;
      case X86_INS_POP:
        if (first) is(Does::pop, first, {});
        break;
      case X86_INS_LEAVE:
        is(Does::leave, {}, {});
        break;
      default:
        break;
    }
  }

  std::uint64_t begin_;
  Instructions instructions_{};
  CodeFacts facts_{};
  std::vector<TrackedStep> steps_{};
  bool third_open_ = true;  ///< the third argument was not used so far
};

}  // namespace

std::optional<CodeFacts> read_code(std::span<const std::byte> code, std::uint64_t address) {
  return Reader(address).read(code);
}

}  // namespace inferscope::discover
