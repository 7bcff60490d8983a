/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How the current thread entered the kernel, and whether it is that thread who does what a tracepoint tells. */
#ifndef INFERSCOPE_ENTRY_H
#define INFERSCOPE_ENTRY_H

#include "lib/caller.h"

#define ENOSYS 38
#define USER_CODE_32_BIT 0x23 /* whose system calls have other numbers */

/* The end of struct pt_regs, from ax on. */
struct entry_registers {
  __u64 ax, cx, dx, si, di, orig_ax, ip, cs;
};
_Static_assert(__builtin_offsetof(struct pt_regs, rax) + sizeof(struct entry_registers) ==
                   __builtin_offsetof(struct pt_regs, eflags),
               "one piece");

/* Whether it is in a system call. Its entry puts ENOSYS where the result will be; a fault and an interrupt leave the
 * thread's own value there. */
static __always_inline int read_entry(struct entry_registers *registers) {
  if (bpf_probe_read_kernel(registers, sizeof(*registers),
                            (void *)(user_registers() + offsetof(struct pt_regs, rax))))
    return 0;
  return registers->ax == (__u64)-ENOSYS && registers->orig_ax < 0x7fffffff;
}

/* Whether the current thread does this, in a system call of its own, and not an interrupt on its time. The arguments of
 * a raw tracepoint lie on the stack that the kernel runs on: of interrupts that is another, unless they came while the
 * thread was outside of the kernel. (The counter that tells more directly is no symbol on every kernel.) */
static __always_inline int is_done_by_thread(void *ctx) {
  struct task_struct *task = (struct task_struct *)bpf_get_current_task();
  struct entry_registers registers;
  void *volatile slot = ctx;
  __u64 address = 0;
  bpf_probe_read_kernel(&address, sizeof(address), (void *)&slot);
  return address - (__u64)BPF_CORE_READ(task, stack) < KERNEL_STACK_SIZE && read_entry(&registers);
}

#endif
