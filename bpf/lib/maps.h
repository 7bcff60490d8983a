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

enum thread_state { THREAD_RUNNING, THREAD_READY, THREAD_ASLEEP };

/* A thread of a watched process, and what it did since it was told of. */
struct thread {
  __u64 since_ns;  /* in this state */
  __u64 told_ns;   /* end of what was told last */
  __u64 waking_ns; /* somebody last tried to wake it, and who did */
  __u32 waker_tgid;
  __u32 waker_tid;
  __u32 processor;
  __u8 state;     /* enum thread_state */
  __u8 next_wait; /* what it sleeps for */
  __u8 open;      /* run holds something that was not told yet */
  __u8 reserved;
  __u64 minor_faults; /* when run began */
  __u64 major_faults;
  struct wire_thread_run run;
};

/* tid -> thread. Preallocated, like all hashes here: its entries are made where the scheduler is in the middle of things. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32768);
  __type(key, __u32);
  __type(value, struct thread);
} threads SEC(".maps");

/* What each processor does: who has it, and had it before. */
#define PROCESSOR_USERS 8
struct processor_user {
  __u64 since_ns;
  __u32 tgid; /* 0: nobody */
  __u8 name[WIRE_NAME_MAX];
};
struct processor {
  __u32 runs_watched; /* a thread of a watched process: when others leave it, nothing is looked up */
  __u32 user;         /* how many there have been; the last ones are kept */
  struct processor_user users[PROCESSOR_USERS];
};
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct processor);
} processors SEC(".maps");

/* Memory that a thread reclaims, or has reclaimed in short pieces. */
struct reclaim {
  __u64 begin_ns; /* 0: it does not */
  __u64 end_ns;   /* of the last */
  __u64 spent_ns; /* in what was not told yet */
  __u64 pages;
};
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8192);
  __type(key, __u32);
  __type(value, struct reclaim);
} reclaims SEC(".maps");

/* struct request address -> whose it is, and since when the driver has it. */
struct disk_request {
  __u32 tgid;
  __u32 reserved;
  __u64 issued_ns;
};
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8192);
  __type(key, __u64);
  __type(value, struct disk_request);
} disk_requests SEC(".maps");

/* tgid -> what disks have done for it. The agent reads it, and takes out who ended. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, struct wire_disk_use);
} disk_uses SEC(".maps");

/* Transfers, and what threads did. Sized by the loader. */
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
