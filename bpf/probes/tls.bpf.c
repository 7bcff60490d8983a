// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "tls": plaintext at the functions of TLS libraries. Attached to each watched process that maps one
 * (agent/discover/tls/tls_watch.cpp says where); nobody else's copy of the library has a breakpoint. */
#include "lib/tls_arguments.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* `buffer`: its user address. `moved`: where the function tells how much it moved; 0: it returns that. */
static __always_inline int enter(struct pt_regs *ctx, __u64 direction, __u64 buffer, __u64 moved) {
  __u64 number = number_of(ctx, AT_ENTRY);
  struct wire_caller caller = current_thread();
  struct tls_call call = {
      .session = PT_REGS_PARM1(ctx),
      .stack = entry_stack(ctx, number),
      .begin_ns = bpf_ktime_get_ns(),
      .direction = direction,
      .buffer = buffer,
      .moved = moved,
  };
  return begin_tls_call(target_hit(number), &caller, &call);
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
  __u64 number = number_of(ctx, AT_RETURN), moved;
  struct wire_target *target = target_hit(number);
  struct wire_caller caller = current_thread();
  struct tls_call call;
  if (!take_tls_call(&caller, entry_stack(ctx, number), &call))
    return 0;
  moved = moved_by(ctx, &call);
  if (target && moved)
    target->hits[WIRE_HIT_TRANSFER]++;
  end_tls_call(&call, moved, 1);
  return 0;
}

static __always_inline int enter_go(struct pt_regs *ctx, __u64 direction, int has_content) {
  struct wire_target *target = target_hit(number_of(ctx, AT_ENTRY));
  struct tls_call call = {.begin_ns = bpf_ktime_get_ns(), .direction = direction};
  struct wire_caller caller;
  if (!target)
    return 0;
  caller = current_go_caller(target->tls);
  call.session = go_word(ctx, target->tls, ctx->rax, 8);
  call.stack = go_depth(ctx, &caller);
  if (has_content)
    call.buffer = go_word(ctx, target->tls, ctx->rbx, 16);
  return begin_tls_call(target, &caller, &call);
}

SEC("uprobe")
int enter_go_inner(struct pt_regs *ctx) { return enter_go(ctx, WIRE_RECEIVED, 0); }
SEC("uprobe")
int enter_go_read(struct pt_regs *ctx) { return enter_go(ctx, WIRE_RECEIVED, 1); }
SEC("uprobe")
int enter_go_write(struct pt_regs *ctx) { return enter_go(ctx, WIRE_SENT, 1); }

SEC("uprobe")
int exit_go(struct pt_regs *ctx) {
  struct wire_target *target = target_hit(number_of(ctx, AT_ENTRY));
  struct tls_call call;
  struct wire_caller caller;
  __s64 moved;
  if (!target)
    return 0;
  caller = current_go_caller(target->tls);
  if (!take_tls_call(&caller, go_depth(ctx, &caller), &call))
    return 0;
  moved = call.buffer ? go_word(ctx, target->tls, ctx->rax, 40) : 0;
  if (moved > 0)
    target->hits[WIRE_HIT_TRANSFER]++;
  end_tls_call(&call, moved > 0 ? moved : 0, 0);
  return 0;
}
