/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the BPF side and the agent say to each other: ring records, map values and counters. Plain C for both sides.
 * A change of any layout raises WIRE_VERSION; both sides are built from one tree, so they always agree. */
#ifndef INFERSCOPE_WIRE_H
#define INFERSCOPE_WIRE_H

#include <linux/types.h>

#define WIRE_VERSION 1

/* Most content that one transfer record carries: its first bytes and its last. Both are powers of two, so that a mask
 * is a bound that every verifier understands. */
#define WIRE_HEAD_MAX 16384
#define WIRE_TAIL_MAX 4096
/* A new window of capture begins when a message does, and within a long one each second: a stream of tokens is captured
 * to its end, a bulk upload is bounded. */
#define WIRE_WINDOW_NS 1000000000ull
#define WIRE_UNIX_PATH_MAX 108
#define WIRE_SAMPLE_MAX 32
#define WIRE_PATHS_MAX 16
#define WIRE_PATH_MAX 24
#define WIRE_NAME_MAX 16

enum wire_kind {
  WIRE_PROCESS_FORK = 1,
  WIRE_PROCESS_EXEC,
  WIRE_PROCESS_EXIT,
  WIRE_TARGET_FOUND, /* a sampled process received an inference request: watched from now on */
  WIRE_LISTENER_FOUND, /* a process nobody knew accepts connections: sampled from now on */
  WIRE_CONN_OPEN,
  WIRE_CONN_HALF_CLOSED,
  WIRE_CONN_CLOSED,
  WIRE_TRANSFER,
  WIRE_THREAD_RUN,
  WIRE_SEND_STALL,
  WIRE_RETRANSMIT,
  WIRE_RECLAIM,
  WIRE_GPU_WORK,
  WIRE_GPU_CALL,
  WIRE_GPU_FAILURE,
  WIRE_GPU_NAME,
};

enum wire_direction { WIRE_RECEIVED = 0, WIRE_SENT = 1 };
enum wire_role { WIRE_ROLE_UNKNOWN = 0, WIRE_ROLE_CLIENT, WIRE_ROLE_SERVER };

/* Why head + tail of a transfer is shorter than its length. Same order as inferscope::Transfer::Cut. */
enum wire_cut {
  WIRE_CUT_NONE = 0,
  WIRE_CUT_TRANSFER_LIMIT,
  WIRE_CUT_CONNECTION_LIMIT,
  WIRE_CUT_SWITCHED_OFF,
  WIRE_CUT_UNREADABLE,
  WIRE_CUT_FAULT,
};

/* Same order as inferscope::ConnectionClosed::Reason. */
enum wire_close_reason { WIRE_CLOSE_CLOSED = 0, WIRE_CLOSE_RESET, WIRE_CLOSE_PROCESS_EXITED, WIRE_CLOSE_FORGOTTEN };

/* Same order as inferscope::ThreadRun::Wait. */
enum wire_wait {
  WIRE_WAIT_NONE = 0,
  WIRE_WAIT_FUTEX,
  WIRE_WAIT_POLL,
  WIRE_WAIT_RECEIVE,
  WIRE_WAIT_SEND,
  WIRE_WAIT_SLEEP,
  WIRE_WAIT_DEVICE,
  WIRE_WAIT_FILE,
  WIRE_WAIT_PAGE_FAULT,
  WIRE_WAIT_MEMORY,
  WIRE_WAIT_OTHER,
};

/* Same order as inferscope::ThreadRun::Ending. */
enum wire_run_ending { WIRE_RUN_SLEPT = 0, WIRE_RUN_WOKE, WIRE_RUN_PREEMPTED, WIRE_RUN_EXITED };

struct wire_header {
  __u16 kind;
  __u16 version;
  __u32 size; /* of the whole record */
  __u64 time_ns;
};

struct wire_process {
  struct wire_header header;
  __u32 tgid;
  __u32 parent; /* fork: the parent; otherwise 0 */
  __s32 status; /* exit: as wait(2) reports it */
  __u32 watched;
};

struct wire_found {
  struct wire_header header;
  __u32 tgid;
  __u32 sample_size;
  __u8 sample[WIRE_SAMPLE_MAX]; /* first bytes of the request */
};

struct wire_conn_open {
  struct wire_header header;
  __u64 conn;
  __u64 key; /* of the entry in the map conns */
  __u64 inode;
  __u64 peer_inode; /* unix sockets only */
  __u32 tgid;
  __u32 tid;
  __s32 fd;
  __u16 family; /* AF_INET, AF_INET6, AF_UNIX */
  __u8 role;
  __u8 mid_stream;
  __u8 local_address[16];
  __u8 remote_address[16];
  __u16 local_port; /* host byte order */
  __u16 remote_port;
  __u16 path_size; /* unix sockets: bytes used in path, a leading NUL for abstract names */
  __u8 path_is_local;
  __u8 reserved;
  __u8 path[WIRE_UNIX_PATH_MAX];
  __u32 reserved2;
};

struct wire_conn_half_closed {
  struct wire_header header;
  __u64 conn;
  __u32 direction;
  __u32 reserved;
};

struct wire_conn_closed {
  struct wire_header header;
  __u64 conn;
  __u64 bytes[2]; /* final positions, by wire_direction */
  __u64 transfers[2];
  __u32 reason;
  __u32 tgid;
};

struct wire_transfer {
  struct wire_header header; /* time_ns: the call returned */
  __u64 conn;
  __u64 begin_ns; /* the call was entered */
  __u64 position;
  __u64 sequence;
  __u64 length;
  __u32 tgid;
  __u32 tid;
  __u32 head_size;
  __u32 tail_size;
  __u8 direction;
  __u8 cut;
  __u8 clear; /* plaintext of a TLS library */
  __u8 reserved[5]; /* the content follows: head, then tail */
};

struct wire_thread_run {
  struct wire_header header; /* time_ns: it was told, which is after end_ns if it was held back until a sleep was long */
  __u32 tgid;
  __u32 tid;
  __u64 slept_ns;
  __u64 woken_ns;
  __u64 begin_ns;
  __u64 end_ns;
  __u64 ran_ns;
  __u64 delayed_ns;
  __u64 slept_between_ns;
  __u32 sleeps;
  __u32 preemptions;
  __u32 migrations;
  __u8 ending;
  __u8 wait;
  __u16 reserved;
  __u32 waker_tgid;
  __u32 waker_tid;
  __u64 minor_faults;
  __u64 major_faults;
  __u64 delay_begin_ns; /* the longest delay of note; 0: there was none */
  __u64 delay_end_ns;
  __u32 culprit;
  __u8 culprit_name[WIRE_NAME_MAX];
  __u32 reserved2;
};

struct wire_send_stall {
  struct wire_header header; /* time_ns: bytes were taken again, or the connection was closed */
  __u64 conn;
  __u64 begin_ns;
  __u32 tgid;
  __u32 reserved;
};

struct wire_retransmit {
  struct wire_header header;
  __u64 conn;
  __u32 tgid;
  __u32 reserved;
};

/* Of several short ones in a row, begin_ns is as if they had followed each other without a pause. */
struct wire_reclaim {
  struct wire_header header; /* time_ns: its end */
  __u64 begin_ns;
  __u64 pages;
  __u32 tgid;
  __u32 tid;
  __u32 of_cgroup;
  __u32 reserved;
};

/* ---- map values ---- */

enum wire_target_state {
  WIRE_TARGET_UNKNOWN = 0, /* zeroed memory watches nobody */
  WIRE_TARGET_WATCHED,
  WIRE_TARGET_SAMPLED, /* only the first bytes of what it reads are looked at, in the kernel */
  WIRE_TARGET_IGNORED,
};

/* What a probe costs whoever hits it depends on how the kernel goes on from there. */
enum wire_hit {
  WIRE_HIT_EMULATED = 0, /* a probe in a library, whose instruction is emulated */
  WIRE_HIT_STEPPED,      /* or single-stepped */
  WIRE_HIT_RETURN,       /* or the return of the function */
  WIRE_LIBRARY_HITS,
  WIRE_HIT_CALL = WIRE_LIBRARY_HITS, /* a system call that may move bytes of a socket */
  WIRE_HIT_TRANSFER,                 /* bytes that it moved, or a call of a TLS library */
  WIRE_HIT_TURN,                     /* a thread was woken, and got a processor */
  WIRE_HITS,
};

struct wire_target {
  __u32 state;
  __u32 sample_budget; /* reads still to be looked at while sampled */
  __u32 tls;           /* where probes see its plaintext: WIRE_TLS_* */
  __u32 runs;          /* runs of its threads told in the second that began at runs_ns */
  __u64 runs_ns;
  __u32 gpu;           /* 1 << api of each library that has probes; 1 << 31 for an inner one (WIRE_GPU_INNER_SHIFT), and
                          WIRE_GPU_NO_CALLS */
  __u32 no_threads;    /* what its threads do is not told */
  /* Of its probes, by enum wire_hit, but for those in libraries of GPUs. Two at once may be counted as one, which costs
   * less than to be exact. */
  __u64 hits[WIRE_HITS];
};

/* Its single calls of libraries of GPUs are not told. */
#define WIRE_GPU_NO_CALLS (1u << 30)

/* Functions of libraries, whose calls threads make; Go's own, whose calls goroutines make; and Go's of before 1.17, when
 * arguments were on the stack. */
#define WIRE_TLS_LIBRARY 1
#define WIRE_TLS_GO 2
#define WIRE_TLS_GO_STACK 4

struct wire_stream {
  __u64 position;
  __u64 sequence;
  __u64 captured;     /* bytes captured in the current window */
  __u64 window_ns;    /* when that began: the conversation turned, or WIRE_WINDOW_NS went by */
  __u64 capture_from; /* captured again from this position on whatever the budget says; 0: not asked for */
};

struct wire_conn {
  __u64 id;
  __u64 key; /* of this entry: address of the struct sock */
  __u64 inode;
  __u32 tgid;
  __s32 fd;
  __u8 role;
  __u8 announced;
  __u8 mid_stream;
  __u8 last_direction;
  __u8 no_payload;
  __u8 reset;
  __u8 clear; /* its transfers are plaintext, from a TLS library */
  __u8 family;
  __u32 tls_calls;   /* calls of a TLS library in progress that have used it */
  __u32 ending;      /* it was closed meanwhile: 1 + enum wire_close_reason */
  __u64 stalled_ns;  /* since then the peer takes no bytes; 0: it does */
  struct wire_stream streams[2];
};

/* What a later stage asked for, written by the agent only: an entry of its own beside wire_conn, since the agent cannot
 * change one field of a value that the kernel side is counting in. */
struct wire_wish {
  __u64 conn;
  __u64 capture_from[2];
  __u64 no_payload;
};

/* What disks did for a process. */
struct wire_disk_use {
  __u64 count[2]; /* reads, writes */
  __u64 bytes[2];
  __u64 time_ns;
  __u64 longest_ns; /* since the settings had this generation */
  __u64 generation;
  __u64 longest_before_ns; /* and while they had that one */
  __u64 generation_before;
};

/* Capture limits, changed while the probes run. Sizes over the WIRE_*_MAX are cut down to them. */
struct wire_settings {
  __u32 head_limit;
  __u32 tail_limit;
  __u64 message_budget; /* captured bytes per connection, direction and window */
  __u64 wake_bytes;     /* wake the agent when so much waits in the ring; below, it polls */
  __u32 sample_budget;
  __u32 path_count;
  __u32 run_budget; /* runs of threads told per process and second */
  __u32 disk_generation; /* what disks do longest is told for each */
  __u32 gpu_one_of; /* of so many launches on a GPU, one is told by itself; 0: none is */
};

struct wire_path {
  __u32 size;
  __u8 bytes[WIRE_PATH_MAX];
};

/* What a probe in a TLS library is told, in one number: enum wire_hit, and above it how far the stack pointer is off. */
#define WIRE_TLS_STACK_SHIFT 2
#define WIRE_TLS_CALLS 16384 /* in progress at once */
/* Whose call of a TLS library it is: a thread's, or in Go a goroutine's. Key of the map tls_calls. */
struct wire_caller {
  __u64 self; /* pid_tgid, or the address of the goroutine's runtime.g */
  __u64 tgid;
};

enum wire_counter {
  WIRE_COUNT_TRANSFERS = 0,      /* seen on watched connections */
  WIRE_COUNT_TRANSFERS_PASSED,   /* handed over */
  WIRE_COUNT_TRANSFERS_LOST,     /* event ring full */
  WIRE_COUNT_TRANSFERS_NO_CONN,  /* connection table full: moved bytes of a connection that has no entry */
  WIRE_COUNT_CALLS_FULL,         /* table of calls in progress full: the call was not seen */
  WIRE_COUNT_CONTROLS_PASSED,
  WIRE_COUNT_CONTROLS_LOST,      /* control ring full */
  WIRE_COUNT_TARGETS_FULL,
  WIRE_COUNT_CONTENT_FAULTS,     /* user memory could not be read */
  WIRE_COUNT_URING_TRANSFERS,    /* moved by io_uring: counted, content not seen */
  WIRE_COUNT_TLS_UNPLACED,       /* plaintext of which no connection is known */
  WIRE_COUNT_DETAILS_PASSED,     /* told beside the transfers: what threads and GPUs did, among others */
  WIRE_COUNT_DETAILS_LOST,       /* event ring full, or half full of what matters more */
  WIRE_COUNT_RUNS_HELD,          /* summed into the next: the process's budget, or no room in the event ring */
  WIRE_COUNT_RECLAIMS_SHORT,     /* too short to be told */
  WIRE_COUNT_RECLAIMS_FULL,      /* table of threads that reclaim memory full */
  WIRE_COUNT_DISKS_FULL,         /* table of requests to disks, or of processes that use disks, full */
  WIRE_COUNT_THREADS_FULL,       /* table of threads full: what this one does is not seen */
  WIRE_COUNT_GPU_THREADS_FULL,   /* table of threads that use GPUs full: the call was not seen */
  WIRE_COUNT_GPU_MEMORY_FULL,    /* table of allocations or of processes full: the allocation was not counted */
  WIRE_COUNT_GPU_JOBS_FULL,      /* table of jobs of GPUs or of processes full: the job was not counted */
  WIRE_COUNTERS,
};

/* Checked by both compilers, so both see the same bytes. */
#ifdef __cplusplus
#define _Static_assert static_assert
#endif
_Static_assert(sizeof(struct wire_header) == 16, "wire_header");
_Static_assert(sizeof(struct wire_process) == 32, "wire_process");
_Static_assert(sizeof(struct wire_found) == 56, "wire_found");
_Static_assert(sizeof(struct wire_conn_open) == 216, "wire_conn_open");
_Static_assert(__builtin_offsetof(struct wire_conn_open, path) == 104, "wire_conn_open.path");
_Static_assert(sizeof(struct wire_conn_half_closed) == 32, "wire_conn_half_closed");
_Static_assert(sizeof(struct wire_conn_closed) == 64, "wire_conn_closed");
_Static_assert(sizeof(struct wire_transfer) == 80, "wire_transfer");
_Static_assert(sizeof(struct wire_thread_run) == 160, "wire_thread_run");
_Static_assert(sizeof(struct wire_target) == 80, "wire_target");
_Static_assert(sizeof(struct wire_send_stall) == 40, "wire_send_stall");
_Static_assert(sizeof(struct wire_reclaim) == 48, "wire_reclaim");
_Static_assert(sizeof(struct wire_disk_use) == 72, "wire_disk_use");
_Static_assert(sizeof(struct wire_retransmit) == 32, "wire_retransmit");
_Static_assert(sizeof(struct wire_conn) == 136, "wire_conn");
#ifdef __cplusplus
#undef _Static_assert
#endif

#endif
