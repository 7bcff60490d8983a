// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "socket": every system call that moves bytes of a stream socket. The entry parks the arguments, the
 * return knows how much moved. Tracepoints of single system calls, so other calls pay nearly nothing. */
#include "lib/calls.h"
#include "lib/sample.h"
#include "lib/tls.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MMSG_READ 4
#define MMSG_COUNTED 64
#define EAGAIN 11

static __always_inline int enter(struct call *call) {
  struct wire_target *target = target_of(current_tgid());
  if (!target || target->state == WIRE_TARGET_IGNORED)
    return 0;
  if (target->state == WIRE_TARGET_SAMPLED && (call->direction == WIRE_SENT || target->sample_budget == 0))
    return 0;
  target->hits[WIRE_HIT_CALL]++;
  call->begin_ns = bpf_ktime_get_ns();
  park_call(call);
  return 0;
}

/* A unix socket has no state tracepoint: its end shows as a read of nothing. */
static __always_inline void end_of_stream(struct wire_conn *conn, struct call *call) {
  if (conn->family == AF_UNIX && call->direction == WIRE_RECEIVED)
    announce_half_close(conn, WIRE_RECEIVED);
}

/* Not static, so that the verifier looks at it once by itself, and not again for each message. */
__noinline int one_message(struct wire_conn *conn, struct call *call, __u64 length) {
  if (conn && call)
    transfer(conn, call, length);
  return 0;
}

/* The content of the first messages is read, the lengths of the others are counted. */
static __always_inline void many_messages(struct wire_conn *conn, struct call *call, long messages) {
  struct call single = *call;
  __u64 rest = 0;
  __u32 size;
  single.shape = CALL_MSGHDR;
  for (int i = 0; i < MMSG_COUNTED && i < messages; i++) {
    single.buffer = call->buffer + i * sizeof(struct user_mmsghdr);
    if (bpf_probe_read_user(&size, sizeof(size), (void *)single.buffer + offsetof(struct user_mmsghdr, size)))
      break;
    if (i >= MMSG_READ)
      rest += size;
    else if (size)
      one_message(conn, &single, size);
  }
  single.shape = CALL_OPAQUE;
  if (rest)
    one_message(conn, &single, rest);
}

static __always_inline void moved(struct wire_target *target, struct call *call, __s32 fd, long ret) {
  struct socket_ref ref;
  struct tls_call *tls;
  struct wire_conn *conn;
  if (!socket_of_fd(fd, &ref))
    return;
  target->hits[WIRE_HIT_TRANSFER]++;
  tls = tls_call_of(target);
  if (tls)
    forget_ciphertext(&ref);
  conn = conn_of(&ref, fd, WIRE_ROLE_UNKNOWN);
  if (!conn)
    return;
  if (conn->stalled_ns && call->direction == WIRE_SENT)
    end_stall(conn);
  if (tls)
    place_tls_call(tls, conn);
  else if (target->tls & WIRE_TLS_LIBRARY)
    note_client_hello(conn, call, ret);
  if (ret == 0)
    end_of_stream(conn, call);
  else if (conn->clear)
    return; /* the plaintext is told instead */
  else if (call->shape == CALL_MMSGHDR)
    many_messages(conn, call, ret);
  else
    transfer(conn, call, ret);
}

/* Who does not wait for room was told that there is none. */
static __always_inline void refused(struct call *call) {
  struct socket_ref ref;
  struct wire_conn *conn;
  if (!socket_of_fd(call->fd, &ref))
    return;
  conn = find_conn(ref.sk);
  if (conn && conn->inode == ref.inode && !conn->stalled_ns)
    conn->stalled_ns = call->begin_ns;
}

/* Shape and direction are told again, although they were parked, so that the compiler knows them. */
static __always_inline int leave(struct sys_exit_args *ctx, __u8 shape, __u8 direction) {
  struct wire_target *target;
  struct call call;
  if (!take_call(&call))
    return 0;
  if (ctx->ret < 0) {
    if (ctx->ret == -EAGAIN && direction == WIRE_SENT)
      refused(&call);
    return 0;
  }
  call.shape = shape;
  target = target_of(current_tgid());
  if (!target)
    return 0;
  if (target->state == WIRE_TARGET_SAMPLED && !sample(target, &call, ctx->ret))
    return 0;
  moved(target, &call, call.fd, ctx->ret);
  if (call.shape == CALL_SPLICE) {
    call.direction = WIRE_SENT;
    moved(target, &call, call.fd2, ctx->ret);
  }
  return 0;
}

#define CALL_AS(name, syscall, way, form, addr, elements, descriptor, descriptor2, unless)                          \
  SEC("tracepoint/syscalls/sys_enter_" #syscall) int enter_##name(struct sys_enter_args *ctx) {            \
    struct call call = {.buffer = (addr), .count = (elements), .fd = (descriptor), .fd2 = (descriptor2), \
                        .shape = (form), .direction = (way)};                                           \
    return (unless) ? 0 : enter(&call);                                                                 \
  }                                                                                                     \
  SEC("tracepoint/syscalls/sys_exit_" #syscall)                                                            \
  int exit_##name(struct sys_exit_args *ctx) { return leave(ctx, form, way); }

#define CALL(name, ...) CALL_AS(name, name, __VA_ARGS__)
#define ARG(n) (ctx->args[n])

CALL(read, WIRE_RECEIVED, CALL_BYTES, ARG(1), 0, ARG(0), -1, 0)
CALL(write, WIRE_SENT, CALL_BYTES, ARG(1), 0, ARG(0), -1, 0)
CALL(recvfrom, WIRE_RECEIVED, CALL_BYTES, ARG(1), 0, ARG(0), -1, ARG(3) & MSG_PEEK)
CALL(sendto, WIRE_SENT, CALL_BYTES, ARG(1), 0, ARG(0), -1, 0)
CALL(readv, WIRE_RECEIVED, CALL_IOVEC, ARG(1), ARG(2), ARG(0), -1, 0)
CALL(writev, WIRE_SENT, CALL_IOVEC, ARG(1), ARG(2), ARG(0), -1, 0)
CALL(recvmsg, WIRE_RECEIVED, CALL_MSGHDR, ARG(1), 0, ARG(0), -1, ARG(2) & MSG_PEEK)
CALL(sendmsg, WIRE_SENT, CALL_MSGHDR, ARG(1), 0, ARG(0), -1, 0)
CALL(recvmmsg, WIRE_RECEIVED, CALL_MMSGHDR, ARG(1), ARG(2), ARG(0), -1, ARG(3) & MSG_PEEK)
CALL(sendmmsg, WIRE_SENT, CALL_MMSGHDR, ARG(1), ARG(2), ARG(0), -1, 0)
CALL_AS(sendfile, sendfile64, WIRE_SENT, CALL_SENDFILE, 0, 0, ARG(0), -1, 0)
CALL(splice, WIRE_RECEIVED, CALL_SPLICE, 0, 0, ARG(0), ARG(2), 0)
