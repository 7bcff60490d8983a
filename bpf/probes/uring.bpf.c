// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "uring": what io_uring moved over stream sockets, as far as tracepoints tell: length, time and
 * connection, no content. So positions stay right and the loss is marked instead of silent. */
#include "lib/target.h"
#include "lib/transfer.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* enum io_uring_op of the user interface */
static __always_inline int direction_of(__u8 opcode) {
  switch (opcode) {
    case 1:  /* READV */
    case 4:  /* READ_FIXED */
    case 10: /* RECVMSG */
    case 22: /* READ */
    case 27: /* RECV */
      return WIRE_RECEIVED;
    case 2:  /* WRITEV */
    case 5:  /* WRITE_FIXED */
    case 9:  /* SENDMSG */
    case 23: /* WRITE */
    case 26: /* SEND */
    case 47: /* SEND_ZC */
    case 48: /* SENDMSG_ZC */
      return WIRE_SENT;
    default:
      return -1;
  }
}

SEC("tracepoint/io_uring/io_uring_complete")
int on_uring_done(struct trace_event_raw_io_uring_complete *ctx) {
  struct call call = {.shape = CALL_OPAQUE, .begin_ns = bpf_ktime_get_ns()};
  struct socket_ref ref;
  struct io_kiocb *request;
  struct wire_conn *conn;
  int direction, moved;
  if (!is_watched(target_of(current_tgid())))
    return 0;
  /* Before 5.19 the request is not told. The kernel refuses the program then, so the capability shows as off. */
  request = (struct io_kiocb *)BPF_CORE_READ(ctx, req);
  moved = BPF_CORE_READ(ctx, res);
  direction = request ? direction_of(BPF_CORE_READ(request, opcode)) : -1;
  if (direction < 0 || moved <= 0 || !socket_of_file(BPF_CORE_READ(request, file), &ref))
    return 0;
  conn = conn_of(&ref, -1, WIRE_ROLE_UNKNOWN);
  if (!conn)
    return 0;
  call.direction = direction;
  transfer(conn, &call, moved);
  count(WIRE_COUNT_URING_TRANSFERS);
  return 0;
}
