/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The system call that a thread is in, from its entry to its return. It lies in the thread's own storage, which costs
 * half of what inserting into and deleting from a hash does; kernels before 5.13 have the hash. */
#ifndef INFERSCOPE_CALLS_H
#define INFERSCOPE_CALLS_H

#include "lib/maps.h"

/* Task storage in tracepoints is older than this helper, but not by much, and the helper can be asked for. The loader
 * (bpf_objects.cpp) asks the same, and makes only the map that is used. */
static __always_inline int has_task_storage(void) {
  return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_for_each_map_elem);
}

static __always_inline void park_call(struct call *call) {
  __u64 thread = bpf_get_current_pid_tgid();
  struct call *slot;
  if (!has_task_storage()) {
    if (bpf_map_update_elem(&calls_by_thread, &thread, call, BPF_ANY))
      count(WIRE_COUNT_CALLS_FULL);
    return;
  }
  slot = bpf_task_storage_get(&calls_by_task, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (slot)
    *slot = *call;
  else
    count(WIRE_COUNT_CALLS_FULL);
}

/* Takes the call out; 0 if the thread is in none that we follow. */
static __always_inline int take_call(struct call *call) {
  __u64 thread = bpf_get_current_pid_tgid();
  struct call *slot;
  if (has_task_storage())
    slot = bpf_task_storage_get(&calls_by_task, bpf_get_current_task_btf(), 0, 0);
  else
    slot = bpf_map_lookup_elem(&calls_by_thread, &thread);
  if (!slot || slot->shape == CALL_NONE)
    return 0;
  *call = *slot;
  if (has_task_storage())
    slot->shape = CALL_NONE;
  else
    bpf_map_delete_elem(&calls_by_thread, &thread);
  return 1;
}

/* User address of the first bytes that it moved; 0 where they are not in one place that we know. */
static __always_inline __u64 first_bytes_of(struct call *call) {
  struct user_msghdr header;
  struct user_iovec element;
  __u64 iov = call->buffer;
  if (call->shape == CALL_BYTES)
    return call->buffer;
  if (call->shape == CALL_MSGHDR) {
    if (bpf_probe_read_user(&header, sizeof(header), (void *)call->buffer))
      return 0;
    iov = header.iov;
  } else if (call->shape != CALL_IOVEC) {
    return 0;
  }
  if (bpf_probe_read_user(&element, sizeof(element), (void *)iov))
    return 0;
  return element.base;
}

#endif
