/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every map, in one place. Each object that includes this file gets the same maps: the loader creates them with the
 * first object and hands them to the others. Sizes that depend on the host are set by the loader. */
#ifndef INFERSCOPE_MAPS_H
#define INFERSCOPE_MAPS_H

#include "abi/wire.h"
#include "lib/core_types.h"

/* Where the bytes of a call are. From CALL_SENDFILE on they never are in user memory, or we do not look there. */
enum call_shape { CALL_NONE, CALL_BYTES, CALL_IOVEC, CALL_MSGHDR, CALL_MMSGHDR, CALL_SENDFILE, CALL_SPLICE, CALL_OPAQUE };

/* A system call in progress, from its entry to its return. */
struct call {
  __u64 begin_ns;
  __u64 buffer; /* user address: bytes, an iovec array, a msghdr or an mmsghdr array */
  __u32 count;  /* elements of an array */
  __s32 fd;
  __s32 fd2;    /* sendfile, splice: the other descriptor */
  __u8 shape;   /* enum call_shape */
  __u8 direction;
  __u8 peek;
  __u8 state;   /* of the target, enum wire_target_state */
};

/* tgid -> what we do with the process. Absent: nothing. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, __u32);
  __type(value, struct wire_target);
} targets SEC(".maps");

/* thread -> its call in progress, see calls.h. The hash is preallocated: allocating in a tracing program is not safe
 * before 6.1. */
struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct call);
} calls_by_task SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct call);
} calls_by_thread SEC(".maps");

/* struct sock address -> connection. The inode in the value tells a reused address. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct wire_conn);
} conns SEC(".maps");

/* Same key -> what a later stage asked for on that connection. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct wire_wish);
} wishes SEC(".maps");

/* Transfers. Sized by the loader. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 8 << 20);
} events SEC(".maps");

/* Processes, connections: few and small, and not lost before payload is. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} controls SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WIRE_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct wire_settings);
} settings SEC(".maps");

/* Beginnings of request paths that mark an inference request. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WIRE_PATHS_MAX);
  __type(key, __u32);
  __type(value, struct wire_path);
} paths SEC(".maps");

/* Next connection number of each processor. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} conn_numbers SEC(".maps");

/* Where a record is put together. Twice the head: an element may begin anywhere below WIRE_HEAD_MAX. */
struct scratch {
  struct wire_transfer transfer;
  __u8 content[2 * WIRE_HEAD_MAX + WIRE_TAIL_MAX];
  /* while the elements of an iovec array are gathered */
  __u64 left;
  __u64 last_end;
  __u64 last_size;
};
/* One for each processor; not a per-cpu map, since the values of those are limited to 32 KiB. The loader sets the
 * number of processors. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline void count(__u32 counter) {
  __u64 *value = bpf_map_lookup_elem(&counters, &counter);
  if (value)
    __sync_fetch_and_add(value, 1); /* a program in an interrupt may count on the same processor */
}

static __always_inline struct wire_settings *get_settings(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&settings, &zero);
}

#endif
