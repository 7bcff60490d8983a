/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Hands records to the agent. Nothing else writes to a ring, and each record that a ring refuses is counted. */
#ifndef INFERSCOPE_EMIT_H
#define INFERSCOPE_EMIT_H

#include "lib/maps.h"

static __always_inline void fill_header(struct wire_header *header, __u16 kind, __u32 size, __u64 time_ns) {
  header->kind = kind;
  header->version = WIRE_VERSION;
  header->size = size;
  header->time_ns = time_ns;
}

/* The agent polls its rings some hundred times a second; it is woken only when a ring fills faster than that, since a
 * wake-up for each token would cost more than everything else we do. */
static __always_inline __u64 wake_flags(void *ring) {
  struct wire_settings *set = get_settings();
  if (set && bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) > set->wake_bytes)
    return BPF_RB_FORCE_WAKEUP;
  return BPF_RB_NO_WAKEUP;
}

static __always_inline int emit_control(void *record, __u32 size) {
  if (bpf_ringbuf_output(&controls, record, size, BPF_RB_NO_WAKEUP)) {
    count(WIRE_COUNT_CONTROLS_LOST);
    return -1;
  }
  count(WIRE_COUNT_CONTROLS_PASSED);
  return 0;
}

/* A control record that is too large for the stack is put together in the ring itself. Whoever gets none counts it as
 * lost: a second test of the same pointer is more than the verifier of older kernels follows. */
static __always_inline void *reserve_control(__u32 size) { return bpf_ringbuf_reserve(&controls, size, 0); }

static __always_inline void submit_control(void *record) {
  bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
  count(WIRE_COUNT_CONTROLS_PASSED);
}

static __always_inline int emit_event(void *record, __u32 size) {
  if (bpf_ringbuf_output(&events, record, size, wake_flags(&events))) {
    count(WIRE_COUNT_TRANSFERS_LOST);
    return -1;
  }
  count(WIRE_COUNT_TRANSFERS_PASSED);
  return 0;
}

/* For records that can wait and be summed up: the second half of the ring is the transfers'. */
static __always_inline int has_room_for_details(void) {
  struct wire_settings *set = get_settings();
  return set && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < 2 * set->wake_bytes;
}

/* What is told beside the transfers. Whoever cannot sum up counts what was refused as lost. */
static __always_inline int emit_detail(void *record, __u32 size) {
  if (bpf_ringbuf_output(&events, record, size, wake_flags(&events)))
    return -1;
  count(WIRE_COUNT_DETAILS_PASSED);
  return 0;
}

static __always_inline void emit_detail_once(void *record, __u32 size) {
  if (!has_room_for_details() || emit_detail(record, size))
    count(WIRE_COUNT_DETAILS_LOST);
}

#endif
