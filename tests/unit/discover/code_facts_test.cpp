// SPDX-License-Identifier: Apache-2.0
#include "discover/code/code_facts.h"

#include <gtest/gtest.h>

// Functions that nobody runs, between NAME_begin and NAME_end.
#define CODE(name, text)                                   \
  extern "C" const std::byte name##_begin[], name##_end[]; \
  asm(".pushsection .rodata\n" #name "_begin:\n" text "\n" #name "_end:\n.popsection\n")

CODE(handing, R"(
  endbr64
  sub $0x18, %rsp
  mov %rcx, %r8
  xor %ecx, %ecx
  call handing_end)");
CODE(keeping, R"(
  push %rbx
  push %r12
  sub $0x18, %rsp
  mov %rdi, %rbx
  mov %rsi, 0x8(%rsp)
  mov %rdx, %r12
  test %rcx, %rcx
  je 1f
  mov %rcx, (%rsp)
  xor %esi, %esi
  call keeping_end
  mov 0x8(%rsp), %rsi
  mov (%rsp), %rcx
  mov %r12, %rdx
  mov %rbx, %rdi
  call *0x38(%rax)
1:
  add $0x18, %rsp
  pop %r12
  pop %rbx
  ret)");
CODE(replacing, R"(
  push %rbp
  mov %rsp, %rbp
  sub $0x10, %rsp
  mov %rsi, -0x8(%rbp)
  mov 0x10(%rdi), %rax
  mov -0x8(%rbp), %rsi
  leave
  jmp *%rax)");
CODE(overwriting, R"(
  mov %rsi, -0x8(%rsp)
  movl $0x1, -0x4(%rsp)
  mov -0x8(%rsp), %rsi
  call *%rax
  ret)");
CODE(one_of_two, R"(
  mov %rdi, %rax
  test %rcx, %rcx
  je 1f
  mov %rsi, %rdi
1:
  call *0x8(%rax)
  ret)");
CODE(looping, R"(
  push %rbx
1:
  mov %rdi, %rbx
  call *(%rax)
  mov %rax, %rdi
  test %rax, %rax
  jne 1b
  pop %rbx
  ret)");
CODE(by_table, R"(
  push %rbx
  jmp *%rax
  mov %rbx, %rax
1:
  call handing_begin
  pop %rbx
  ret)");
CODE(counting, R"(
  mov %rdi, %rbx
  lock decl 0x20(%rbx)
  ret)");
CODE(counting_after, R"(
  push %rbx
  mov %rdi, %rbx
  call handing_begin
  lock decl 0x20(%rbx)
  pop %rbx
  ret)");
CODE(taking_int, "test %edx, %edx\nret");
CODE(taking_size, "mov %rdx, %rax\ntest %edx, %edx\nret");
CODE(taking_none, "xor %eax, %eax\ncall handing_begin\ntest %edx, %edx\nret");
CODE(nonsense, "nop\n.byte 0x06, 0x06");

namespace inferscope::discover {
namespace {

constexpr std::uint64_t somewhere = 0x10000;

#define FACTS(name) read_code(std::span(name##_begin, static_cast<std::size_t>(name##_end - name##_begin)), somewhere)

Tracked argument(int number) {
  return {Tracked::Is::argument, number};
}
constexpr Tracked zero{Tracked::Is::zero, 0};
constexpr Tracked unknown{};

TEST(CodeFacts, WhatIsHandedOn) {
  const auto facts = FACTS(handing);
  ASSERT_TRUE(facts);
  ASSERT_EQ(facts->transfers.size(), 1u);
  EXPECT_TRUE(facts->transfers[0].first && facts->transfers[0].call);
  EXPECT_EQ(facts->transfers[0].passed,
            (Passed{argument(0), argument(1), argument(2), zero, argument(3), argument(5)}));
}

TEST(CodeFacts, ArgumentsAreKeptInRegistersAndOnTheStack) {
  const auto keeping = FACTS(keeping);
  ASSERT_TRUE(keeping);
  ASSERT_EQ(keeping->transfers.size(), 1u);
  EXPECT_FALSE(keeping->transfers[0].first);
  EXPECT_EQ(keeping->transfers[0].passed[1], zero);
  EXPECT_EQ(keeping->handed_on,
            (std::vector{Passed{argument(0), argument(1), argument(2), argument(3), unknown, unknown}}));
  const auto replacing = FACTS(replacing);
  ASSERT_TRUE(replacing);
  ASSERT_EQ(replacing->handed_on.size(), 1u) << "by a jump behind which nothing of it is on the stack";
  EXPECT_EQ(replacing->handed_on[0][1], argument(1));
  const auto overwriting = FACTS(overwriting);
  ASSERT_TRUE(overwriting);
  EXPECT_EQ(overwriting->handed_on.at(0)[1], unknown) << "a part of it was written to";
}

TEST(CodeFacts, OnlyWhatEachWayLeavesIsKnown) {
  const auto two = FACTS(one_of_two);
  ASSERT_TRUE(two);
  EXPECT_EQ(two->handed_on.at(0)[0], unknown);
  EXPECT_EQ(two->handed_on.at(0)[1], argument(1));
  const auto loop = FACTS(looping);
  ASSERT_TRUE(loop);
  EXPECT_EQ(loop->handed_on.at(0), Passed{}) << "the second time it is something else";
  const auto table = FACTS(by_table);
  ASSERT_TRUE(table);
  ASSERT_EQ(table->transfers.size(), 1u);
  EXPECT_EQ(table->transfers[0].passed, Passed{});
  EXPECT_TRUE(table->handed_on.empty());
}

TEST(CodeFacts, CountingAndTheThirdArgument) {
  EXPECT_TRUE(FACTS(counting)->counts_in_first);
  EXPECT_FALSE(FACTS(counting_after)->counts_in_first);
  EXPECT_TRUE(FACTS(taking_int)->third_is_int);
  EXPECT_FALSE(FACTS(taking_size)->third_is_int);
  EXPECT_FALSE(FACTS(taking_none)->third_is_int);
  EXPECT_FALSE(FACTS(nonsense));
}

}  // namespace
}  // namespace inferscope::discover
