// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "tls": plaintext at the functions of TLS libraries. Attached to each watched process that maps one
 * (agent/discover/tls/tls_watch.cpp says where); nobody else's copy of the library has a breakpoint. */
#include "lib/tls.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The stack pointer as it was at the function's entry. The loader says how far it is off where it put the probe; kernels
 * that have no such number get probes on entries and returns only. */
static __always_inline __u64 entry_stack(struct pt_regs *ctx, __u64 usual) {
  if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
    return PT_REGS_SP(ctx) + bpf_get_attach_cookie(ctx);
  return PT_REGS_SP(ctx) + usual;
}

/* `buffer`: its user address. `moved`: where the function tells how much it moved; 0: it returns that. */
static __always_inline int enter(struct pt_regs *ctx, __u64 direction, __u64 buffer, __u64 moved) {
  struct wire_caller caller = current_thread();
  struct tls_call call = {
      .session = PT_REGS_PARM1(ctx),
      .stack = entry_stack(ctx, 0),
      .begin_ns = bpf_ktime_get_ns(),
      .direction = direction,
      .buffer = buffer,
      .moved = moved,
  };
  return begin_tls_call(&caller, &call);
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

#define BUFFER PT_REGS_PARM2(ctx)
SEC("uprobe")
int enter_tls_inner(struct pt_regs *ctx) { return enter(ctx, WIRE_RECEIVED, 0, 0); }
SEC("uprobe")
int enter_tls_read(struct pt_regs *ctx) { return enter(ctx, WIRE_RECEIVED, BUFFER, 0); }
SEC("uprobe")
int enter_tls_write(struct pt_regs *ctx) { return enter(ctx, WIRE_SENT, BUFFER, 0); }
SEC("uprobe")
int enter_tls_readx(struct pt_regs *ctx) { return enter(ctx, WIRE_RECEIVED, BUFFER, PT_REGS_PARM4(ctx)); }
SEC("uprobe")
int enter_tls_writx(struct pt_regs *ctx) { return enter(ctx, WIRE_SENT, BUFFER, PT_REGS_PARM4(ctx)); }
SEC("uprobe")
int enter_tls_writ2(struct pt_regs *ctx) { return enter(ctx, WIRE_SENT, BUFFER, PT_REGS_PARM5(ctx)); }
SEC("uprobe")
int enter_tls_file(struct pt_regs *ctx) { return enter(ctx, WIRE_SENT, TLS_NO_BUFFER, 0); }

/* Its address may be another session's next. */
SEC("uprobe")
int enter_tls_free(struct pt_regs *ctx) {
  struct tls_session session = {.session = PT_REGS_PARM1(ctx), .tgid = current_tgid()};
  bpf_map_delete_elem(&tls_sessions, &session);
  return 0;
}

/* Before the function returns, or after it has. */
SEC("uretprobe")
int exit_tls(struct pt_regs *ctx) {
  struct wire_caller caller = current_thread();
  struct tls_call call;
  if (take_tls_call(&caller, entry_stack(ctx, -sizeof(__u64)), &call))
    end_tls_call(&call, moved_by(ctx, &call), 1);
  return 0;
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

static __always_inline int enter_go(struct pt_regs *ctx, __u64 direction, int has_content) {
  struct wire_target *target = target_of(current_tgid());
  struct tls_call call = {.begin_ns = bpf_ktime_get_ns(), .direction = direction};
  struct wire_caller caller;
  if (!target)
    return 0;
  caller = current_go_caller(target->tls);
  call.session = go_word(ctx, target->tls, ctx->rax, 8);
  call.stack = go_depth(ctx, &caller);
  if (has_content)
    call.buffer = go_word(ctx, target->tls, ctx->rbx, 16);
  return begin_tls_call(&caller, &call);
}

SEC("uprobe")
int enter_go_inner(struct pt_regs *ctx) { return enter_go(ctx, WIRE_RECEIVED, 0); }
SEC("uprobe")
int enter_go_read(struct pt_regs *ctx) { return enter_go(ctx, WIRE_RECEIVED, 1); }
SEC("uprobe")
int enter_go_write(struct pt_regs *ctx) { return enter_go(ctx, WIRE_SENT, 1); }

SEC("uprobe")
int exit_go(struct pt_regs *ctx) {
  struct wire_target *target = target_of(current_tgid());
  struct tls_call call;
  struct wire_caller caller;
  __s64 moved;
  if (!target)
    return 0;
  caller = current_go_caller(target->tls);
  if (!take_tls_call(&caller, go_depth(ctx, &caller), &call))
    return 0;
  moved = call.buffer ? go_word(ctx, target->tls, ctx->rax, 40) : 0;
  end_tls_call(&call, moved > 0 ? moved : 0, 0);
  return 0;
}
