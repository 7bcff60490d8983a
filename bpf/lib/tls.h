/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Calls of TLS libraries, and which connection each is about. The library's own call of read or write, inside, tells:
 * no layout of its session is needed. What such a call moves is ciphertext, and its connection carries plaintext from
 * then on, whose transfers take the place of those of the socket. */
#ifndef INFERSCOPE_TLS_H
#define INFERSCOPE_TLS_H

#include "lib/caller.h"
#include "lib/calls.h"
#include "lib/connection.h"
#include "lib/transfer.h"

struct tls_call {
  __u64 session; /* the library's pointer to it */
  __u64 stack;   /* user stack pointer at the entry: tells calls inside this one, and one that never returned. In Go,
                  * where stacks are moved, counted from the stack's end */
  __u64 buffer;  /* user address of the plaintext; 0: there is none */
  __u64 moved;   /* user address of how much was moved; 0: the call returns it */
  __u64 begin_ns;
  __u64 conn_key; /* of the connection that was used inside; 0: none so far */
  __u64 conn;
  __u64 direction;
};

/* In place of a buffer: the plaintext is a file's, and stays in the kernel. */
#define TLS_NO_BUFFER 1

struct tls_session {
  __u64 session;
  __u64 tgid;
};
struct tls_place {
  __u64 conn_key;
  __u64 conn;
};

/* Calls in progress. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WIRE_TLS_CALLS);
  __type(key, struct wire_caller);
  __type(value, struct tls_call);
} tls_calls SEC(".maps");

/* A session's connection, for calls that need no bytes of the socket. One that is pushed out is known again with its
 * next call that does. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, struct tls_session);
  __type(value, struct tls_place);
} tls_sessions SEC(".maps");

/* thread -> the session that it called last, of those that nobody knows. What it makes is sent at once, if the thread is
 * not kept from running; of two that were called in one tenth of that time, nobody knows which is sent first. */
#define ORPHAN_NS 1000000000ull
struct tls_orphan {
  struct tls_session session; /* session 0: it is not known which */
  __u64 time_ns;
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct tls_orphan);
} tls_orphans SEC(".maps");

/* thread -> the connection on which it received the begin of a TLS conversation outside of any call: its library works
 * on memory. Of a session that nobody knows, the next call of this thread is about it. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct tls_place);
} tls_hellos SEC(".maps");

/* The call inside of which the current system call is. */
static __always_inline struct tls_call *tls_call_of(struct wire_target *target) {
  struct tls_call *call = 0;
  struct wire_caller caller;
  if (target->tls & WIRE_TLS_LIBRARY) {
    caller = current_thread();
    call = bpf_map_lookup_elem(&tls_calls, &caller);
  }
  if (!call && target->tls & WIRE_TLS_GO) {
    caller = current_go_caller(target->tls);
    call = bpf_map_lookup_elem(&tls_calls, &caller);
  }
  return call;
}

/* A connection of which ciphertext was told, since it is older than the probes, ends for the agent and begins anew. */
static __always_inline void forget_ciphertext(struct socket_ref *ref) {
  struct wire_conn *conn = find_conn(ref->sk);
  if (conn && conn->inode == ref->inode && !conn->clear && (conn->streams[0].sequence || conn->streams[1].sequence))
    close_conn(conn, WIRE_CLOSE_FORGOTTEN);
}

/* The call is no longer busy with the connection that it used. */
static __always_inline void leave_conn(struct tls_call *call) {
  struct wire_conn *conn = bpf_map_lookup_elem(&conns, &call->conn_key);
  if (!conn || conn->id != call->conn)
    return;
  __sync_fetch_and_add(&conn->tls_calls, -1);
  if (conn->ending && !conn->tls_calls)
    close_conn(conn, WIRE_CLOSE_CLOSED);
}

/* The connection is used inside the call. */
static __always_inline void place_tls_call(struct tls_call *call, struct wire_conn *conn) {
  conn->clear = 1;
  if (call->conn == conn->id)
    return;
  if (call->conn)
    leave_conn(call);
  call->conn_key = conn->key;
  call->conn = conn->id;
  __sync_fetch_and_add(&conn->tls_calls, 1);
}

/* A handshake record (22, version 3.x) that is a ClientHello (1). */
static __always_inline int is_client_hello(struct call *call, long length) {
  __u8 head[6] = {};
  __u64 address = first_bytes_of(call);
  if (length < (long)sizeof(head) || !address || bpf_probe_read_user(head, sizeof(head), (void *)address))
    return 0;
  return head[0] == 22 && head[1] == 3 && head[5] == 1;
}

/* A library that works on memory. Who receives a ClientHello hands it to a session next; who sends one has it from the
 * session that it called last. */
static __always_inline void note_client_hello(struct wire_conn *conn, struct call *call, long length) {
  struct tls_place place = {.conn_key = conn->key, .conn = conn->id};
  __u64 thread = bpf_get_current_pid_tgid();
  struct tls_orphan *orphan;
  if (conn->clear || conn->streams[0].sequence || conn->streams[1].sequence || !is_client_hello(call, length))
    return;
  if (call->direction == WIRE_SENT) {
    orphan = bpf_map_lookup_elem(&tls_orphans, &thread);
    if (!orphan || !orphan->session.session || call->begin_ns - orphan->time_ns > ORPHAN_NS)
      return;
    bpf_map_update_elem(&tls_sessions, &orphan->session, &place, BPF_ANY);
    bpf_map_delete_elem(&tls_orphans, &thread);
  } else {
    if (bpf_map_lookup_elem(&tls_hellos, &thread))
      place.conn = 0; /* two at once: whose session comes next is not known, and is not guessed */
    bpf_map_update_elem(&tls_hellos, &thread, &place, BPF_ANY);
  }
  conn->clear = 1;
}

/* A call of a session that nobody knows moved nothing: it may have made a ClientHello. */
static __always_inline void note_orphan(struct tls_call *call) {
  __u64 thread = bpf_get_current_pid_tgid();
  struct tls_orphan orphan = {.session = {.session = call->session, .tgid = current_tgid()},
                              .time_ns = bpf_ktime_get_ns()};
  struct tls_orphan *before = bpf_map_lookup_elem(&tls_orphans, &thread);
  if (before && before->session.session != call->session && orphan.time_ns - before->time_ns < ORPHAN_NS / 10)
    orphan.session.session = 0; /* two at once: likewise */
  bpf_map_update_elem(&tls_orphans, &thread, &orphan, BPF_ANY);
}

static __always_inline int begin_tls_call(struct wire_target *target, struct wire_caller *caller,
                                          struct tls_call *call) {
  struct tls_call *outer = bpf_map_lookup_elem(&tls_calls, caller);
  if (outer && call->stack < outer->stack)
    return 0; /* the outer one tells what moved */
  if (!is_watched(target))
    return 0;
  if (outer) { /* it never returned */
    if (outer->conn)
      leave_conn(outer);
    *outer = *call;
  } else if (bpf_map_update_elem(&tls_calls, caller, call, BPF_ANY)) {
    count(WIRE_COUNT_CALLS_FULL);
  }
  return 0;
}

/* The thread ends, perhaps inside a call. Of goroutines, the agent does that when their process ends. */
static __always_inline void forget_tls_call(void) {
  struct wire_caller caller = current_thread();
  struct tls_call *call = bpf_map_lookup_elem(&tls_calls, &caller);
  if (!call)
    return;
  if (call->conn)
    leave_conn(call);
  bpf_map_delete_elem(&tls_calls, &caller);
}

/* 0 if no such call is known. */
static __always_inline int take_tls_call(struct wire_caller *caller, __u64 stack, struct tls_call *call) {
  struct tls_call *parked = bpf_map_lookup_elem(&tls_calls, caller);
  if (!parked || parked->stack != stack)
    return 0;
  *call = *parked;
  bpf_map_delete_elem(&tls_calls, caller);
  return 1;
}

static __always_inline void take_hello(struct tls_place *place) {
  __u64 thread = bpf_get_current_pid_tgid();
  struct tls_place *hello = bpf_map_lookup_elem(&tls_hellos, &thread);
  if (!hello)
    return;
  if (hello->conn)
    *place = *hello;
  bpf_map_delete_elem(&tls_hellos, &thread);
}

/* The connection that was used inside, or the one that the session used before, or the one that waits for a session. */
static __always_inline struct wire_conn *conn_of_call(struct tls_call *call, int on_memory, int *is_known) {
  struct tls_session session = {.session = call->session, .tgid = current_tgid()};
  struct tls_place place = {.conn_key = call->conn_key, .conn = call->conn};
  struct tls_place *known = bpf_map_lookup_elem(&tls_sessions, &session);
  struct wire_conn *conn;
  if (!place.conn_key && known)
    place = *known;
  else if (!place.conn_key && on_memory)
    take_hello(&place);
  if (place.conn_key && (!known || known->conn != place.conn))
    bpf_map_update_elem(&tls_sessions, &session, &place, BPF_ANY);
  *is_known = place.conn_key != 0;
  conn = bpf_map_lookup_elem(&conns, &place.conn_key);
  return conn && conn->id == place.conn ? conn : 0;
}

/* The call returned, and moved so many bytes of plaintext. */
static __always_inline void end_tls_call(struct tls_call *call, __u64 moved, int on_memory) {
  int is_known = 0;
  struct wire_conn *conn = conn_of_call(call, on_memory, &is_known);
  struct call plain = {
      .begin_ns = call->begin_ns,
      .buffer = call->buffer,
      .shape = call->buffer == TLS_NO_BUFFER ? CALL_SENDFILE : CALL_BYTES,
      .direction = call->direction & 1};
  if (!moved && !is_known && on_memory)
    note_orphan(call);
  else if (moved && conn)
    transfer(conn, &plain, moved);
  else if (moved)
    count(WIRE_COUNT_TLS_UNPLACED);
  if (call->conn)
    leave_conn(call);
}

#endif
