/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Turns a finished call into a transfer record: how much of its content is wanted, and gathering it. */
#ifndef INFERSCOPE_TRANSFER_H
#define INFERSCOPE_TRANSFER_H

#include "lib/connection.h"

#define IOVECS_READ 64 /* gRPC hands over each field of a head by itself */

/* A power of two above every record's size. The compiler must not see that the mask changes nothing: the verifier
 * needs it. */
#define RECORD_BOUND 32768
#define hide(value) asm volatile("" : "+r"(value))
_Static_assert(sizeof(struct wire_transfer) + WIRE_HEAD_MAX + WIRE_TAIL_MAX < RECORD_BOUND, "records fit");
_Static_assert(RECORD_BOUND <= sizeof(struct scratch), "the verifier sees no overrun");

struct want {
  __u64 head;
  __u64 tail;
  __u8 cut;
};

/* What moves inside the kernel never was in user memory. */
static __always_inline int is_readable(__u8 shape) { return shape < CALL_SENDFILE; }

/* Wishes are looked up now and then, and always where they can make a difference at once. */
#define WISH_INTERVAL 16

static __always_inline void heed_wish(struct wire_conn *conn, struct wire_stream *stream, __u8 direction) {
  __u64 key = conn->key;
  struct wire_wish *wish = bpf_map_lookup_elem(&wishes, &key);
  if (!wish || wish->conn != conn->id)
    return;
  conn->no_payload = wish->no_payload != 0;
  stream->capture_from = wish->capture_from[direction & 1];
}

/* Limits per transfer and per connection. A change of direction begins a new message and a new budget, and so does each
 * second of a long one. */
static __always_inline void decide_capture(struct wire_conn *conn, struct call *call, __u64 length,
                                           struct want *want) {
  __u8 direction = call->direction & 1;
  struct wire_stream *stream = &conn->streams[direction];
  struct wire_settings *set = get_settings();
  __u64 end = stream->position + length;
  int exhausted;
  want->head = 0;
  want->tail = 0;
  if (conn->last_direction != direction || call->begin_ns - stream->window_ns > WIRE_WINDOW_NS) {
    conn->last_direction = direction;
    stream->captured = 0;
    stream->window_ns = call->begin_ns;
  }
  if (!is_readable(call->shape)) {
    want->cut = WIRE_CUT_UNREADABLE;
    return;
  }
  exhausted = set && stream->captured >= set->message_budget;
  if (exhausted || stream->sequence % WISH_INTERVAL == WISH_INTERVAL - 1)
    heed_wish(conn, stream, direction);
  if (!set || conn->no_payload) {
    want->cut = WIRE_CUT_SWITCHED_OFF;
    return;
  }
  if (exhausted && !(stream->capture_from && end > stream->capture_from)) {
    want->cut = WIRE_CUT_CONNECTION_LIMIT;
    return;
  }
  want->cut = WIRE_CUT_NONE;
  if (length <= set->head_limit) {
    want->head = length;
  } else {
    want->cut = WIRE_CUT_TRANSFER_LIMIT;
    want->head = set->head_limit;
    want->tail = set->tail_limit;
    if (length - want->head < want->tail)
      want->tail = length - want->head;
  }
  stream->captured += want->head + want->tail;
}

/* Copies `size` bytes of user memory behind what the record holds already. Returns how much the record holds then. */
static __always_inline __u64 append(struct scratch *scratch, __u64 filled, __u64 address, __u64 size) {
  hide(filled);
  hide(size);
  if (filled >= WIRE_HEAD_MAX || size == 0 || size > WIRE_HEAD_MAX)
    return filled;
  if (bpf_probe_read_user(scratch->content + filled, size, (void *)address)) {
    count(WIRE_COUNT_CONTENT_FAULTS);
    scratch->transfer.cut = WIRE_CUT_FAULT;
    return filled;
  }
  return filled + size;
}

static __always_inline void gather_tail(struct scratch *scratch, __u64 end_address, __u64 size) {
  __u64 filled = scratch->transfer.head_size;
  hide(filled);
  hide(size);
  if (filled > WIRE_HEAD_MAX || size == 0 || size > WIRE_TAIL_MAX)
    return;
  if (bpf_probe_read_user(scratch->content + filled, size, (void *)(end_address - size))) {
    count(WIRE_COUNT_CONTENT_FAULTS);
    return;
  }
  scratch->transfer.tail_size = size;
}

/* One element of an iovec array. What is carried from one to the next lives in the scratch, not in registers: so each
 * round looks the same to the verifier, which otherwise would follow every combination of sizes. Returns 1 to go on. */
static __always_inline int gather_element(struct scratch *scratch, __u64 address, __u64 wanted) {
  struct user_iovec element;
  __u64 size, filled = scratch->transfer.head_size;
  if (scratch->left == 0)
    return 0;
  if (bpf_probe_read_user(&element, sizeof(element), (void *)address)) {
    count(WIRE_COUNT_CONTENT_FAULTS);
    return 0;
  }
  size = element.size < scratch->left ? element.size : scratch->left;
  scratch->left -= size;
  scratch->last_end = element.base + size;
  scratch->last_size = size;
  if (filled >= wanted)
    return 1;
  if (size > wanted - filled)
    size = wanted - filled;
  scratch->transfer.head_size = append(scratch, filled, element.base, size);
  return 1;
}

static __always_inline void gather_iovecs(struct scratch *scratch, __u64 iov, __u64 iovs, __u64 length,
                                          struct want *want) {
  __u64 tail;
  scratch->left = length;
  for (__u64 i = 0; i < IOVECS_READ; i++)
    if (i >= iovs || !gather_element(scratch, iov + i * sizeof(struct user_iovec), want->head))
      break;
  if (scratch->transfer.head_size < want->head && scratch->transfer.cut == WIRE_CUT_NONE)
    scratch->transfer.cut = WIRE_CUT_TRANSFER_LIMIT;
  tail = want->tail < scratch->last_size ? want->tail : scratch->last_size;
  if (scratch->left == 0 && tail)
    gather_tail(scratch, scratch->last_end, tail);
}

static __always_inline void gather(struct scratch *scratch, struct call *call, __u64 length, struct want *want) {
  struct user_msghdr header = {.iov = call->buffer, .iov_count = call->count};
  if (call->shape == CALL_BYTES) {
    scratch->transfer.head_size = append(scratch, 0, call->buffer, want->head);
    gather_tail(scratch, call->buffer + length, want->tail);
    return;
  }
  if (call->shape == CALL_MSGHDR && bpf_probe_read_user(&header, sizeof(header), (void *)call->buffer)) {
    count(WIRE_COUNT_CONTENT_FAULTS);
    scratch->transfer.cut = WIRE_CUT_FAULT;
    return;
  }
  if (call->shape == CALL_IOVEC || call->shape == CALL_MSGHDR)
    gather_iovecs(scratch, header.iov, header.iov_count, length, want);
}

static __always_inline void advance(struct wire_stream *stream, __u64 length) {
  __sync_fetch_and_add(&stream->position, length);
  __sync_fetch_and_add(&stream->sequence, 1);
}

/* One transfer on one connection: recorded, or at least counted. Inlined, so that each program carries the code of its
 * own call_shape only. */
static __always_inline void transfer(struct wire_conn *conn, struct call *call, __u64 length) {
  struct wire_stream *stream = &conn->streams[call->direction & 1];
  __u64 pid_tgid = bpf_get_current_pid_tgid();
  __u64 size;
  __u32 processor = bpf_get_smp_processor_id();
  struct scratch *scratch = bpf_map_lookup_elem(&scratches, &processor);
  struct want want;
  count(WIRE_COUNT_TRANSFERS);
  if (!scratch)
    return;
  decide_capture(conn, call, length, &want);
  scratch->transfer.conn = conn->id;
  scratch->transfer.begin_ns = call->begin_ns;
  scratch->transfer.position = stream->position;
  scratch->transfer.sequence = stream->sequence;
  scratch->transfer.length = length;
  scratch->transfer.tgid = pid_tgid >> 32;
  scratch->transfer.tid = (__u32)pid_tgid;
  scratch->transfer.head_size = 0;
  scratch->transfer.tail_size = 0;
  scratch->transfer.direction = call->direction;
  scratch->transfer.cut = want.cut;
  scratch->transfer.clear = conn->clear;
  advance(stream, length);
  if (want.head)
    gather(scratch, call, length, &want);
  size = sizeof(struct wire_transfer) + scratch->transfer.head_size + scratch->transfer.tail_size;
  fill_header(&scratch->transfer.header, WIRE_TRANSFER, size, bpf_ktime_get_ns());
  hide(size);
  emit_event(scratch, size & (RECORD_BOUND - 1));
}

#endif
