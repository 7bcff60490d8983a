// SPDX-License-Identifier: Apache-2.0
#include "discover/code/probe_placement.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "discover/code/instructions.h"

namespace inferscope::discover {
namespace {

constexpr std::int64_t guard_displacement = 0x28;  // of the stack protector's value in the thread's segment (psABI)
constexpr std::int64_t word = 8;
/// Of Go's runtime (cmd/compile/abi-internal.md, runtime/runtime2.go): where a goroutine keeps the end of its stack,
/// and where a thread keeps its goroutine, if not in r14.
constexpr std::int64_t stack_guard_of_goroutine = 0x10;
constexpr std::int64_t goroutine_of_thread = -8;

enum class Flow : std::uint8_t { on, jump_if, jump, call, ret, elsewhere };

struct Step {
  std::uint64_t offset = 0;
  Flow flow = Flow::on;
  bool emulated = false;
  bool checks_guard = false;      ///< compares with the stack protector's value
  bool checks_stack = false;      ///< compares with the end of a goroutine's stack
  bool goroutine_in_r14 = false;  ///< and that is the goroutine's place
  bool loads_goroutine = false;   ///< from the thread's storage
  bool writes_argument = false;   ///< one of those that probes read: the first, second, fourth and fifth
  bool writes_result = false;
  bool drops_negative = false;             ///< that is all it does to the result
  std::optional<std::int64_t> pushed = 0;  ///< bytes put on the stack; nullopt: not known
  std::optional<std::uint64_t> target{};   ///< of a relative jump
  std::optional<std::int64_t> callee{};    ///< of a relative call
};

class Decoder {
 public:
  /// Empty if any of it is no instruction.
  std::vector<Step> decode(std::span<const std::byte> code) {
    std::vector<Step> steps;
    const bool whole =
        instructions_.decode(code, 0, [&](const cs_insn& instruction) { steps.push_back(read(instruction)); });
    if (!whole) steps.clear();
    return steps;
  }

 private:
  Step read(const cs_insn& instruction) const {
    const cs_x86& x86 = instruction.detail->x86;
    Step step{.offset = instruction.address};
    step.flow = flow_of(instruction);
    step.emulated = is_emulated(instruction);
    if (step.flow == Flow::jump || step.flow == Flow::jump_if) {
      if (x86.op_count == 1 && x86.operands[0].type == X86_OP_IMM)
        step.target = static_cast<std::uint64_t>(x86.operands[0].imm);
      else
        step.flow = Flow::elsewhere;  // a table of jumps
    }
    for (std::uint8_t i = 0; i < x86.op_count; ++i) {
      const cs_x86_op& operand = x86.operands[i];
      step.checks_guard = step.checks_guard || (operand.type == X86_OP_MEM && operand.mem.segment == X86_REG_FS &&
                                                operand.mem.disp == guard_displacement);
    }
    note_goroutine(instruction, step);
    step.checks_guard = step.checks_guard && (instruction.id == X86_INS_SUB || instruction.id == X86_INS_XOR ||
                                              instruction.id == X86_INS_CMP);
    if (step.flow == Flow::call && x86.op_count == 1 && x86.operands[0].type == X86_OP_IMM)
      step.callee = x86.operands[0].imm;
    step.drops_negative = instruction.id == X86_INS_CMOVS;
    note_writes(instruction, step);
    return step;
  }

  static void note_goroutine(const cs_insn& instruction, Step& step) {
    const cs_x86& x86 = instruction.detail->x86;
    for (std::uint8_t i = 0; i < x86.op_count; ++i) {
      const cs_x86_op& operand = x86.operands[i];
      if (operand.type != X86_OP_MEM || operand.mem.index != X86_REG_INVALID) continue;
      step.loads_goroutine =
          step.loads_goroutine || (instruction.id == X86_INS_MOV && i == 1 && operand.mem.segment == X86_REG_FS &&
                                   operand.mem.disp == goroutine_of_thread);
      if (instruction.id != X86_INS_CMP || operand.mem.disp != stack_guard_of_goroutine) continue;
      step.checks_stack = true;
      step.goroutine_in_r14 = operand.mem.base == X86_REG_R14;
    }
  }

  Flow flow_of(const cs_insn& instruction) const {
    if (cs_insn_group(instructions_.handle(), &instruction, X86_GRP_RET) ||
        cs_insn_group(instructions_.handle(), &instruction, X86_GRP_IRET))
      return Flow::ret;
    if (cs_insn_group(instructions_.handle(), &instruction, X86_GRP_CALL)) return Flow::call;
    if (instruction.id == X86_INS_JMP) return Flow::jump;
    if (instruction.id == X86_INS_LJMP) return Flow::elsewhere;
    return cs_insn_group(instructions_.handle(), &instruction, X86_GRP_JUMP) ? Flow::jump_if : Flow::on;
  }

  /// As the kernel tells by the bytes; forms with prefixes it does not know.
  static bool is_emulated(const cs_insn& instruction) {
    const std::uint8_t* bytes = instruction.bytes;
    const auto within = [](std::uint8_t byte, int low, int high) { return byte >= low && byte <= high; };
    if (within(bytes[0], 0x50, 0x57) || (bytes[0] == 0x41 && within(bytes[1], 0x50, 0x57))) return true;  // push
    if (bytes[0] == 0xe8 || bytes[0] == 0xe9 || bytes[0] == 0xeb || within(bytes[0], 0x70, 0x7f)) return true;
    return bytes[0] == 0x0f && within(bytes[1], 0x80, 0x8f);
  }

  void note_writes(const cs_insn& instruction, Step& step) const {
    cs_regs read, written;
    std::uint8_t reads = 0, writes = 0;
    if (cs_regs_access(instructions_.handle(), &instruction, read, &reads, written, &writes) != CS_ERR_OK) {
      step.pushed.reset();
      step.writes_argument = step.writes_result = true;
      return;
    }
    bool writes_stack_pointer = false;
    for (std::uint8_t i = 0; i < writes; ++i) {
      switch (written[i]) {
        case X86_REG_RDI:
        case X86_REG_EDI:
        case X86_REG_DI:
        case X86_REG_DIL:
        case X86_REG_RSI:
        case X86_REG_ESI:
        case X86_REG_SI:
        case X86_REG_SIL:
        case X86_REG_RCX:
        case X86_REG_ECX:
        case X86_REG_CX:
        case X86_REG_CL:
        case X86_REG_CH:
        case X86_REG_R8:
        case X86_REG_R8D:
        case X86_REG_R8W:
        case X86_REG_R8B:
          step.writes_argument = true;
          break;
        case X86_REG_RAX:
        case X86_REG_EAX:
        case X86_REG_AX:
        case X86_REG_AL:
        case X86_REG_AH:
          step.writes_result = true;
          break;
        case X86_REG_RSP:
        case X86_REG_ESP:
        case X86_REG_SP:
        case X86_REG_SPL:
          writes_stack_pointer = true;
          break;
        default:
          break;
      }
    }
    if (writes_stack_pointer) step.pushed = pushed_by(instruction);
  }

  static std::optional<std::int64_t> pushed_by(const cs_insn& instruction) {
    const cs_x86& x86 = instruction.detail->x86;
    const auto is_register = [&](std::uint8_t i) { return x86.operands[i].type == X86_OP_REG; };
    switch (instruction.id) {
      case X86_INS_PUSH:
        if (x86.op_count == 1 && is_register(0) && x86.operands[0].size == word) return word;
        return std::nullopt;
      case X86_INS_POP:
        if (x86.op_count == 1 && is_register(0) && x86.operands[0].size == word && x86.operands[0].reg != X86_REG_RSP)
          return -word;
        return std::nullopt;
      case X86_INS_SUB:
      case X86_INS_ADD:
        if (x86.op_count != 2 || !is_register(0) || x86.operands[0].reg != X86_REG_RSP ||
            x86.operands[1].type != X86_OP_IMM)
          return std::nullopt;
        return instruction.id == X86_INS_SUB ? x86.operands[1].imm : -x86.operands[1].imm;
      case X86_INS_CALL:
      case X86_INS_RET:
        return 0;  // back to where it was, when it goes on
      default:
        return std::nullopt;
    }
  }

  Instructions instructions_{};
};

using Targets = std::set<std::uint64_t>;

/// Before the function's first jump or call, where nothing but its caller comes.
void place_in_beginning(const std::vector<Step>& steps, const Targets& targets, Placement& placement) {
  std::int64_t stack = 0;
  bool arguments = true;
  bool entry_placed = false, return_placed = false;
  for (const Step& step : steps) {
    if (step.offset > 0 && targets.contains(step.offset)) return;
    if (step.emulated && arguments && !std::exchange(entry_placed, true)) {
      placement.entry = {step.offset, stack};
      placement.entry_emulated = true;
    }
    if (step.emulated && stack == 0 && !std::exchange(return_placed, true)) placement.return_address = step.offset;
    if (step.flow != Flow::on || !step.pushed) return;
    stack += *step.pushed;
    arguments = arguments && !step.writes_argument;
    if ((entry_placed || !arguments) && (return_placed || stack != 0)) return;
  }
}

/// The jump behind the stack protector's comparison, if nothing but it leads to this return, and nothing behind it
/// changes the result.
std::optional<CodePlace> place_before(const std::vector<Step>& steps, std::size_t ret, const Targets& targets) {
  std::int64_t stack = 0;
  for (std::size_t i = ret; i > 1; --i) {
    if (targets.contains(steps[i].offset)) return std::nullopt;
    const Step& before = steps[i - 1];
    if (before.flow == Flow::jump_if && steps[i - 2].checks_guard && before.emulated &&
        !targets.contains(before.offset))
      return CodePlace{before.offset, stack};
    if (before.flow != Flow::on || before.writes_result || !before.pushed) return std::nullopt;
    stack -= *before.pushed;
  }
  return std::nullopt;
}

/// A function without any jumps that calls one other: with its own arguments, and returns what that returned.
std::optional<std::int64_t> handed_on(const std::vector<Step>& steps) {
  std::optional<std::int64_t> callee;
  bool called = false, returned = false;
  for (const Step& step : steps) {
    if (returned) return std::nullopt;
    if (step.flow == Flow::call) {
      if (std::exchange(called, true) || !step.callee) return std::nullopt;
      callee = step.callee;
    } else if (step.flow == Flow::ret) {
      returned = true;
    } else if (step.flow != Flow::on || !step.pushed) {
      return std::nullopt;
    } else if (called ? step.writes_result && !step.drops_negative : step.writes_argument) {
      return std::nullopt;
    }
  }
  return returned ? callee : std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> place_on_beginning(std::span<const std::byte> beginning) {
  std::uint64_t at = starts_with_endbr64(beginning) ? endbr64_size : 0;
  const auto byte = [&](std::uint64_t i) { return i < beginning.size() ? std::to_integer<int>(beginning[i]) : 0; };
  const int operation = byte(at) == 0x41 ? byte(at + 1) : byte(at);
  if (operation < 0x50 || operation > 0x57) return std::nullopt;  // push
  return at;
}

Placement place_probes(std::span<const std::byte> code) {
  Placement placement;
  if (code.empty() || code.size() > longest_function) return placement;
  const auto steps = Decoder().decode(code);
  if (steps.empty()) return placement;
  Targets targets;
  bool stays_inside = true;
  for (const Step& step : steps) {
    if (step.target) targets.insert(*step.target);
    stays_inside = stays_inside && step.flow != Flow::elsewhere && (!step.target || *step.target < code.size());
  }
  const bool targets_known =
      std::none_of(steps.begin(), steps.end(), [](const Step& step) { return step.flow == Flow::elsewhere; });
  if (!targets_known) return placement;
  placement.hands_on_to = handed_on(steps);
  for (const Step& step : steps)
    if (step.callee) placement.callees.push_back(*step.callee);
  place_in_beginning(steps, targets, placement);
  if (!stays_inside) return placement;  // who goes on in another function returns there
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].flow != Flow::ret) continue;
    const auto exit = place_before(steps, i, targets);
    if (!exit) {
      placement.exits.clear();
      break;
    }
    placement.exits.push_back(*exit);
  }
  return placement;
}

std::optional<GoPlacement> place_go_probes(std::span<const std::byte> code) {
  constexpr std::size_t longest_test = 4;  // instructions, with the jump
  if (code.size() > longest_function) return std::nullopt;
  const auto steps = Decoder().decode(code);
  GoPlacement placement;
  bool loaded = false, tested = false, entry_placed = false;
  for (std::size_t i = 0; i < std::min(steps.size(), longest_test) && !entry_placed; ++i) {
    const Step& step = steps[i];
    if (tested && step.flow == Flow::jump_if) {
      placement.entry = {step.offset, 0};
      entry_placed = true;
    } else if (step.flow != Flow::on || step.pushed != 0) {
      return std::nullopt;
    }
    loaded = loaded || step.loads_goroutine;
    if (!step.checks_stack) continue;
    if (!step.goroutine_in_r14 && !loaded) return std::nullopt;
    tested = true;
    placement.stack_arguments = !step.goroutine_in_r14;
  }
  if (!entry_placed) return std::nullopt;
  for (const Step& step : steps)
    if (step.flow == Flow::ret) placement.exits.push_back({step.offset, 0});
  if (placement.exits.empty()) return std::nullopt;
  return placement;
}

}  // namespace inferscope::discover
