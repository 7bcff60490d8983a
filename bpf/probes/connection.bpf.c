// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "connection": how connections begin and end. Without it they are still found at their first transfer,
 * but as connections of unknown role that may have begun earlier. */
#include "lib/calls.h"
#include "lib/connection.h"
#include "lib/target.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EINPROGRESS 115

/* A process that accepts connections and that nobody decided about is sampled from now on. */
static __always_inline void found_listener(__u32 tgid) {
  struct wire_settings *set = get_settings();
  struct wire_found found = {.tgid = tgid};
  if (!set || set->path_count == 0)
    return;
  set_target(tgid, WIRE_TARGET_SAMPLED, set->sample_budget, BPF_NOEXIST);
  fill_header(&found.header, WIRE_LISTENER_FOUND, sizeof(found), bpf_ktime_get_ns());
  emit_control(&found, sizeof(found));
}

static __always_inline int accepted(struct sys_exit_args *ctx) {
  __u32 tgid = current_tgid();
  struct wire_target *target = target_of(tgid);
  struct socket_ref ref;
  if (ctx->ret < 0)
    return 0;
  if (!target)
    found_listener(tgid);
  else if (is_watched(target) && socket_of_fd(ctx->ret, &ref))
    conn_of(&ref, ctx->ret, WIRE_ROLE_SERVER);
  return 0;
}

SEC("tracepoint/syscalls/sys_exit_accept") int exit_accept(struct sys_exit_args *ctx) { return accepted(ctx); }
SEC("tracepoint/syscalls/sys_exit_accept4") int exit_accept4(struct sys_exit_args *ctx) { return accepted(ctx); }

SEC("tracepoint/syscalls/sys_enter_connect")
int enter_connect(struct sys_enter_args *ctx) {
  struct call call = {.fd = ctx->args[0], .shape = CALL_OPAQUE};
  if (is_watched(target_of(current_tgid())))
    park_call(&call);
  return 0;
}

SEC("tracepoint/syscalls/sys_exit_connect")
int exit_connect(struct sys_exit_args *ctx) {
  struct socket_ref ref;
  struct call call;
  if (take_call(&call) && (ctx->ret == 0 || ctx->ret == -EINPROGRESS) && socket_of_fd(call.fd, &ref))
    conn_of(&ref, call.fd, WIRE_ROLE_CLIENT);
  return 0;
}

static __always_inline struct wire_conn *known_conn(__s32 fd, struct socket_ref *ref) {
  struct wire_conn *conn;
  if (!is_watched(target_of(current_tgid())) || !socket_of_fd(fd, ref))
    return 0;
  conn = find_conn(ref->sk);
  return conn && conn->inode == ref->inode ? conn : 0;
}

SEC("tracepoint/syscalls/sys_enter_close")
int enter_close(struct sys_enter_args *ctx) {
  struct socket_ref ref;
  struct wire_conn *conn = known_conn(ctx->args[0], &ref);
  if (conn && is_last_reference(ref.file))
    end_conn(conn, WIRE_CLOSE_CLOSED);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_shutdown")
int enter_shutdown(struct sys_enter_args *ctx) {
  struct socket_ref ref;
  struct wire_conn *conn = known_conn(ctx->args[0], &ref);
  if (conn && ctx->args[1] >= 1) /* SHUT_WR, SHUT_RDWR */
    announce_half_close(conn, WIRE_SENT);
  return 0;
}

SEC("raw_tp/inet_sock_set_state")
int on_tcp_state(struct bpf_raw_tracepoint_args *ctx) {
  struct wire_conn *conn = find_conn((struct sock *)ctx->args[0]);
  int old_state = ctx->args[1], new_state = ctx->args[2];
  if (!conn)
    return 0;
  if (new_state == TCP_CLOSE_WAIT) {
    announce_half_close(conn, WIRE_RECEIVED);
  } else if (new_state == TCP_CLOSE && (old_state < TCP_FIN_WAIT1 || old_state == TCP_CLOSE_WAIT)) {
    conn->reset = 1; /* neither side closed in order; what was received before can still be read */
    announce_half_close(conn, WIRE_RECEIVED);
  }
  return 0;
}

/* The last word on a TCP socket, also when a process ends without closing it. */
SEC("raw_tp/tcp_destroy_sock")
int on_tcp_destroy(struct bpf_raw_tracepoint_args *ctx) {
  struct wire_conn *conn = find_conn((struct sock *)ctx->args[0]);
  if (conn)
    end_conn(conn, WIRE_CLOSE_CLOSED);
  return 0;
}
