/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who calls a function of the process: a thread, or in Go a goroutine, which may begin a call on one thread and end it
 * on another. */
#ifndef INFERSCOPE_CALLER_H
#define INFERSCOPE_CALLER_H

#include <linux/ptrace.h>

#include "lib/target.h"

/* Of x86-64 without KASAN. Only for kernels without a helper for it (before 5.15). */
#define KERNEL_STACK_SIZE 16384

/* Address of the registers as they were when the thread entered the kernel. */
static __always_inline __u64 user_registers(void) {
  struct task_struct *task;
  if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
    return bpf_task_pt_regs(bpf_get_current_task_btf());
  task = (struct task_struct *)bpf_get_current_task();
  return (__u64)BPF_CORE_READ(task, stack) + KERNEL_STACK_SIZE - sizeof(struct pt_regs);
}

/* Go keeps the running goroutine in r14, before 1.17 in the thread's storage at fs:-8
 * (cmd/compile/abi-internal.md, runtime/asm_amd64.s). */
static __always_inline __u64 current_goroutine(__u32 tls) {
  struct task_struct *task;
  __u64 g = 0;
  if (!(tls & WIRE_TLS_GO_STACK)) {
    bpf_probe_read_kernel(&g, sizeof(g), (void *)(user_registers() + offsetof(struct pt_regs, r14)));
    return g;
  }
  task = (struct task_struct *)bpf_get_current_task();
  bpf_probe_read_user(&g, sizeof(g), (void *)(BPF_CORE_READ(task, thread.fsbase) - sizeof(g)));
  return g;
}

static __always_inline struct wire_caller current_thread(void) {
  struct wire_caller caller = {.self = bpf_get_current_pid_tgid(), .tgid = current_tgid()};
  return caller;
}

static __always_inline struct wire_caller current_go_caller(__u32 tls) {
  struct wire_caller caller = {.self = current_goroutine(tls), .tgid = current_tgid()};
  return caller;
}

#endif
