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

/* ---- map values ---- */

enum wire_target_state {
  WIRE_TARGET_UNKNOWN = 0, /* zeroed memory watches nobody */
  WIRE_TARGET_WATCHED,
  WIRE_TARGET_SAMPLED, /* only the first bytes of what it reads are looked at, in the kernel */
  WIRE_TARGET_IGNORED,
};

struct wire_target {
  __u32 state;
  __u32 sample_budget; /* reads still to be looked at while sampled */
  __u32 tls;           /* where probes see its plaintext: WIRE_TLS_* */
};

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
  struct wire_stream streams[2];
};

/* What a later stage asked for, written by the agent only: an entry of its own beside wire_conn, since the agent cannot
 * change one field of a value that the kernel side is counting in. */
struct wire_wish {
  __u64 conn;
  __u64 capture_from[2];
  __u64 no_payload;
};

/* Capture limits, changed while the probes run. Sizes over the WIRE_*_MAX are cut down to them. */
struct wire_settings {
  __u32 head_limit;
  __u32 tail_limit;
  __u64 message_budget; /* captured bytes per connection, direction and window */
  __u64 wake_bytes;     /* wake the agent when so much waits in the ring; below, it polls */
  __u32 sample_budget;
  __u32 path_count;
};

struct wire_path {
  __u32 size;
  __u8 bytes[WIRE_PATH_MAX];
};

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
_Static_assert(sizeof(struct wire_conn) == 128, "wire_conn");
#ifdef __cplusplus
#undef _Static_assert
#endif

#endif
