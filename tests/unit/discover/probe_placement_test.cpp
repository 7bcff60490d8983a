// SPDX-License-Identifier: Apache-2.0
#include "discover/code/probe_placement.h"

#include <gtest/gtest.h>

// Functions that nobody runs, between NAME_begin and NAME_end.
#define CODE(name, text)                                   \
  extern "C" const std::byte name##_begin[], name##_end[]; \
  asm(".pushsection .rodata\n" #name "_begin:\n" text "\n" #name "_end:\n.popsection\n")

// What compilers make of a function with a protected stack: arguments are tested first, the result is made, the guard
// is compared, and one path returns.
CODE(guarded, R"(
  endbr64
  sub $0x18, %rsp
  mov %fs:0x28, %rax
  mov %rax, 0x8(%rsp)
  xor %eax, %eax
  test %edx, %edx
  js 2f
  mov %rsp, %rcx
  call guarded_begin
1:
  mov 0x8(%rsp), %rdx
  sub %fs:0x28, %rdx
guarded_check:
  jne 3f
  add $0x18, %rsp
  xor %edi, %edi
  ret
2:
  mov $0xffffffff, %eax
  jmp 1b
3:
  call guarded_end)");
CODE(saving, R"(
  endbr64
  push %rbx
  push %r12
  sub $0x10, %rsp
  test %rdi, %rdi
  je 1f
  call saving_begin
1:
  mov 0x8(%rsp), %rdx
  xor %fs:0x28, %rdx
saving_check:
  jne 2f
  add $0x10, %rsp
  pop %r12
  pop %rbx
  ret
2:
  call saving_end)");
CODE(handing_on, R"(
  endbr64
  mov %rcx, %r8
  xor %ecx, %ecx
handing_on_jump:
  jmp guarded_begin)");
CODE(calling, R"(
  sub $0x8, %rsp
calling_call:
  call guarded_begin
  add $0x8, %rsp
  ret)");
CODE(handing_on_all, R"(
  sub $0x8, %rsp
  call handing_on_all_end
  xor %edx, %edx
  test %eax, %eax
  cmovs %edx, %eax
  add $0x8, %rsp
  ret)");
CODE(own_result, R"(
  sub $0x8, %rsp
  call own_result_end
  xor %eax, %eax
  add $0x8, %rsp
  ret)");
CODE(looping, R"(
  sub $0x8, %rsp
1:
  test %rdi, %rdi
  je 1b
  add $0x8, %rsp
  ret)");
CODE(changing, R"(
  push %rbx
  sub %fs:0x28, %rdx
  jne 1f
  xor %eax, %eax
  pop %rbx
  ret
1:
  call changing_end)");
CODE(bypassing, R"(
  push %rbx
  test %rdi, %rdi
  je 2f
  sub %fs:0x28, %rdx
  jne 1f
2:
  pop %rbx
  ret
1:
  call bypassing_end)");
CODE(by_table, R"(
  push %rbx
  jmp *%rdi)");
CODE(any_jump, R"(
  push %rbx
  cmp $0x28, %rdx
  jne 1f
  pop %rbx
  ret
1:
  call any_jump_end)");
CODE(two_returns, R"(
  push %rbx
  test %rdi, %rdi
  je 2f
  sub %fs:0x28, %rdx
  jne 1f
  pop %rbx
  ret
1:
  call two_returns_end
2:
  pop %rbx
  ret)");
extern "C" const std::byte guarded_check[], saving_check[], handing_on_jump[], calling_call[];

namespace inferscope::discover {
namespace {

#define PLACED(name) place_probes(std::span(name##_begin, name##_end))
#define OFFSET(name, place) static_cast<std::uint64_t>(place - name##_begin)

TEST(ProbePlacement, OnTheJumpsOfAFunctionWithAProtectedStack) {
  const auto placement = PLACED(guarded);
  EXPECT_GT(placement.entry.offset, 4u);
  EXPECT_EQ(placement.entry.stack, 0x18);
  EXPECT_EQ(std::to_integer<int>(guarded_begin[placement.entry.offset]), 0x78) << "js";
  EXPECT_EQ(placement.return_address, 0u) << "nothing emulated comes while the return address is on top";
  ASSERT_EQ(placement.exits.size(), 1u);
  EXPECT_EQ(placement.exits[0], (CodePlace{OFFSET(guarded, guarded_check), 0x18}));
}

TEST(ProbePlacement, OnTheFirstPush) {
  const auto placement = PLACED(saving);
  EXPECT_EQ(placement.entry, (CodePlace{4, 0}));
  EXPECT_EQ(placement.return_address, 4u);
  ASSERT_EQ(placement.exits.size(), 1u);
  EXPECT_EQ(placement.exits[0], (CodePlace{OFFSET(saving, saving_check), 0x20}));
}

TEST(ProbePlacement, OfAFunctionThatHandsOnOnlyTheReturnIsCheap) {
  const auto placement = PLACED(handing_on);
  EXPECT_EQ(placement.entry, CodePlace{}) << "an argument is gone before the jump";
  EXPECT_EQ(placement.return_address, OFFSET(handing_on, handing_on_jump));
  EXPECT_TRUE(placement.exits.empty());
}

TEST(ProbePlacement, OnACallThatTheArgumentsArePassedOnTo) {
  const auto placement = PLACED(calling);
  EXPECT_EQ(placement.entry, (CodePlace{OFFSET(calling, calling_call), 8}));
  EXPECT_EQ(placement.return_address, 0u);
  EXPECT_TRUE(placement.exits.empty()) << "no check";
}

TEST(ProbePlacement, WhatIsNotProvenStaysOnTheEntryAndTheReturnAddress) {
  EXPECT_EQ(PLACED(looping).entry, CodePlace{}) << "would be passed several times";
  EXPECT_TRUE(PLACED(changing).exits.empty()) << "the result is made behind the check";
  EXPECT_TRUE(PLACED(bypassing).exits.empty()) << "a path leads past the check";
  EXPECT_TRUE(PLACED(any_jump).exits.empty()) << "a jump that is no check may be passed without a return";
  EXPECT_TRUE(PLACED(two_returns).exits.empty()) << "one return has no check";
  const auto by_table = PLACED(by_table);
  EXPECT_EQ(by_table.entry, CodePlace{}) << "where the table leads is not known";
  EXPECT_TRUE(by_table.exits.empty());
}

TEST(ProbePlacement, AFunctionThatHandsOnAllItsArguments) {
  const auto placement = PLACED(handing_on_all);
  EXPECT_EQ(placement.hands_on_to, handing_on_all_end - handing_on_all_begin);
  EXPECT_EQ(placement.callees, (std::vector<std::int64_t>{handing_on_all_end - handing_on_all_begin}));
  EXPECT_FALSE(PLACED(handing_on).hands_on_to) << "an argument is gone";
  EXPECT_FALSE(PLACED(guarded).hands_on_to) << "more than one way through it";
  EXPECT_FALSE(PLACED(own_result).hands_on_to) << "the result is another";
  EXPECT_EQ(PLACED(guarded).callees.size(), 2u);
}

TEST(ProbePlacement, OnABeginningThatIsEmulated) {
  EXPECT_EQ(place_on_beginning(std::span(saving_begin, 8)), 4u) << "behind endbr64";
  EXPECT_EQ(place_on_beginning(std::span(changing_begin, 8)), 0u);
  EXPECT_FALSE(place_on_beginning(std::span(guarded_begin, 8)));
  EXPECT_FALSE(place_on_beginning(std::span(saving_begin, 4)));
  EXPECT_FALSE(place_on_beginning({}));
}

TEST(ProbePlacement, NoCode) {
  EXPECT_EQ(place_probes({}).entry, CodePlace{});
  const std::vector<std::byte> zeros(200'000);
  EXPECT_EQ(place_probes(zeros).entry, CodePlace{}) << "longer than any function that is looked at";
  const std::vector<std::byte> nonsense(64, std::byte{0xff});
  EXPECT_EQ(place_probes(nonsense).entry, CodePlace{});
  const auto cut = place_probes(std::span(guarded_begin, 6));
  EXPECT_EQ(cut.entry, CodePlace{}) << "in the middle of an instruction";
}

}  // namespace
}  // namespace inferscope::discover
