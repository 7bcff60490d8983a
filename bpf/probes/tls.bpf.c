// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "tls": plaintext at the functions of TLS libraries. Attached to each watched process that maps one
 * (agent/discover/tls_watch.cpp says where); nobody else's copy of the library has a breakpoint. */
#include "lib/tls.h"

#include <linux/ptrace.h>

#include "lib/transfer.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The stack pointer as it was at the function's entry. The loader says how far it is off where it put the probe; kernels
 * that have no such number get probes on entries and returns only. */
static __always_inline __u64 entry_stack(struct pt_regs *ctx, __u64 usual) {
  if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
    return PT_REGS_SP(ctx) + bpf_get_attach_cookie(ctx);
  return PT_REGS_SP(ctx) + usual;
}

static __always_inline int enter(struct pt_regs *ctx, __u64 direction, int has_content, int ex) {
  __u64 thread = bpf_get_current_pid_tgid();
  struct tls_call call = {
      .session = PT_REGS_PARM1(ctx),
      .stack = entry_stack(ctx, 0),
      .begin_ns = bpf_ktime_get_ns(),
      .direction = direction,
  };
  struct tls_call *outer = bpf_map_lookup_elem(&tls_calls, &thread);
  if (outer && call.stack < outer->stack)
    return 0; /* the outer one tells what moved */
  if (!is_watched(target_of(current_tgid())))
    return 0;
  if (has_content)
    call.buffer = PT_REGS_PARM2(ctx);
  if (ex)
    call.moved = PT_REGS_PARM4(ctx);
  if (bpf_map_update_elem(&tls_calls, &thread, &call, BPF_ANY))
    count(WIRE_COUNT_CALLS_FULL);
  return 0;
}

/* Bytes of plaintext that were moved. The libraries return an int, or a success with the size elsewhere. */
static __always_inline __u64 moved_by(struct pt_regs *ctx, struct tls_call *call) {
  __s32 ret = (__s32)PT_REGS_RC(ctx);
  __u64 size = 0;
  if (ret <= 0 || !call->buffer)
    return 0;
  if (!call->moved)
    return ret;
  if (bpf_probe_read_user(&size, sizeof(size), (void *)call->moved))
    count(WIRE_COUNT_CONTENT_FAULTS);
  return size;
}

static __always_inline void take_hello(struct tls_place *place) {
  __u64 thread = bpf_get_current_pid_tgid();
  struct tls_place *hello = bpf_map_lookup_elem(&tls_hellos, &thread);
  if (!hello)
    return;
  if (hello->conn)
    *place = *hello;
  bpf_map_delete_elem(&tls_hellos, &thread);
}

/* The connection that was used inside, or the one that the session used before, or the one that waits for a session. */
static __always_inline struct wire_conn *conn_of_call(struct tls_call *call) {
  struct tls_session session = {.session = call->session, .tgid = current_tgid()};
  struct tls_place place = {.conn_key = call->conn_key, .conn = call->conn};
  struct tls_place *known = bpf_map_lookup_elem(&tls_sessions, &session);
  struct wire_conn *conn;
  if (!place.conn_key && known)
    place = *known;
  else if (!place.conn_key)
    take_hello(&place);
  if (place.conn_key && (!known || known->conn != place.conn))
    bpf_map_update_elem(&tls_sessions, &session, &place, BPF_ANY);
  conn = bpf_map_lookup_elem(&conns, &place.conn_key);
  return conn && conn->id == place.conn ? conn : 0;
}

SEC("uprobe")
int enter_tls_inner(struct pt_regs *ctx) { return enter(ctx, WIRE_RECEIVED, 0, 0); }
SEC("uprobe")
int enter_tls_read(struct pt_regs *ctx) { return enter(ctx, WIRE_RECEIVED, 1, 0); }
SEC("uprobe")
int enter_tls_write(struct pt_regs *ctx) { return enter(ctx, WIRE_SENT, 1, 0); }
SEC("uprobe")
int enter_tls_readx(struct pt_regs *ctx) { return enter(ctx, WIRE_RECEIVED, 1, 1); }
SEC("uprobe")
int enter_tls_writx(struct pt_regs *ctx) { return enter(ctx, WIRE_SENT, 1, 1); }

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
  __u64 thread = bpf_get_current_pid_tgid();
  struct tls_call *parked = bpf_map_lookup_elem(&tls_calls, &thread);
  struct tls_call call;
  struct wire_conn *conn;
  __u64 length;
  if (!parked || parked->stack != entry_stack(ctx, -sizeof(__u64)))
    return 0;
  call = *parked;
  bpf_map_delete_elem(&tls_calls, &thread);
  conn = conn_of_call(&call);
  length = moved_by(ctx, &call);
  if (!length)
    return 0;
  if (conn) {
    struct call plain = {
        .begin_ns = call.begin_ns, .buffer = call.buffer, .shape = CALL_BYTES, .direction = call.direction & 1};
    transfer(conn, &plain, length);
  } else {
    count(WIRE_COUNT_TLS_UNPLACED);
  }
  return 0;
}
