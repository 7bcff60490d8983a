/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a probe in a TLS library finds where it was put: the stack as it was at the entry, arguments, results. */
#ifndef INFERSCOPE_TLS_ARGUMENTS_H
#define INFERSCOPE_TLS_ARGUMENTS_H

#include "lib/probe_number.h"
#include "lib/tls.h"

/* Kernels that hand no number to probes get some on entries and returns only. */
#define AT_ENTRY WIRE_HIT_EMULATED
#define AT_RETURN ((__u64)-8 << WIRE_TLS_STACK_SHIFT | WIRE_HIT_RETURN)

/* The stack pointer as it was at the function's entry. */
static __always_inline __u64 entry_stack(struct pt_regs *ctx, __u64 number) {
  return PT_REGS_SP(ctx) + ((__s64)number >> WIRE_TLS_STACK_SHIFT);
}

/* Whose probe this is. */
static __always_inline struct wire_target *target_hit(__u64 number) {
  struct wire_target *target = target_of(current_tgid());
  if (target)
    count_hit(target->hits, number & ((1 << WIRE_TLS_STACK_SHIFT) - 1));
  return target;
}

/* Bytes of plaintext that were moved. The libraries return an int, or a success with the size elsewhere; of files, a
 * count of 64 bits. */
static __always_inline __u64 moved_by(struct pt_regs *ctx, struct tls_call *call) {
  __s32 ret = (__s32)PT_REGS_RC(ctx);
  __u64 size = 0;
  if (call->buffer == TLS_NO_BUFFER)
    return (__s64)PT_REGS_RC(ctx) > 0 ? PT_REGS_RC(ctx) : 0;
  if (ret <= 0 || !call->buffer)
    return 0;
  if (!call->moved)
    return ret;
  if (bpf_probe_read_user(&size, sizeof(size), (void *)call->moved))
    count(WIRE_COUNT_CONTENT_FAULTS);
  return size;
}

/* Of Go, functions are called with (receiver, pointer, length, capacity) in registers of its own, or on the stack, and
 * return the count there, too. Probes are where the stack pointer is as at the entry. A goroutine's stack is moved when it
 * has to grow, so depths count from its end, which runtime.g tells: {stack.lo, stack.hi, …}. */
static __always_inline __u64 go_depth(struct pt_regs *ctx, struct wire_caller *caller) {
  __u64 end = 0;
  bpf_probe_read_user(&end, sizeof(end), (void *)(caller->self + sizeof(end)));
  return PT_REGS_SP(ctx) - end;
}

static __always_inline __u64 go_word(struct pt_regs *ctx, __u32 tls, __u64 in_register, __u32 on_stack) {
  __u64 word = 0;
  if (!(tls & WIRE_TLS_GO_STACK))
    return in_register;
  bpf_probe_read_user(&word, sizeof(word), (void *)(PT_REGS_SP(ctx) + on_stack));
  return word;
}

#endif
