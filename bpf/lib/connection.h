/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a descriptor to its socket, and from a socket to our entry for it. The descriptor is resolved through the
 * task's own file table at each use, so dup, inheritance over fork and descriptors passed over a unix socket need no
 * tracking, and a connection that is older than the agent is found like any other. */
#ifndef INFERSCOPE_CONNECTION_H
#define INFERSCOPE_CONNECTION_H

#include "lib/emit.h"
#include "lib/target.h"

struct socket_ref {
  struct sock *sk;
  struct file *file;
  __u64 inode;
  __u16 family;
};

/* Typed pointers are read by plain loads, at a fraction of the cost of a helper call for each field. */
static __always_inline struct file *file_of_fd(__s32 fd) {
  struct file *file = 0, **slots;
  __u32 size;
  if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
    struct task_struct *task = bpf_get_current_task_btf();
    slots = task->files->fdt->fd;
    size = task->files->fdt->max_fds;
  } else {
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    slots = BPF_CORE_READ(task, files, fdt, fd);
    size = BPF_CORE_READ(task, files, fdt, max_fds);
  }
  if (fd < 0 || (__u32)fd >= size)
    return 0;
  bpf_probe_read_kernel(&file, sizeof(file), slots + fd);
  return file;
}

static __always_inline int is_stream_socket(struct sock *sk, __u16 family) {
  __u16 protocol;
  if (BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
    return 0;
  if (family == AF_UNIX)
    return 1;
  if (family != AF_INET && family != AF_INET6)
    return 0;
  protocol = BPF_CORE_READ(sk, sk_protocol);
  return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

static __always_inline int socket_of_file(struct file *file, struct socket_ref *ref) {
  struct inode *inode;
  struct socket *socket;
  if (!file)
    return 0;
  inode = BPF_CORE_READ(file, f_inode);
  if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
    return 0;
  socket = BPF_CORE_READ(file, private_data);
  ref->sk = BPF_CORE_READ(socket, sk);
  ref->file = file;
  ref->inode = BPF_CORE_READ(inode, i_ino);
  return ref->sk != 0;
}

static __always_inline int socket_of_fd(__s32 fd, struct socket_ref *ref) {
  return socket_of_file(file_of_fd(fd), ref);
}

/* The close of a descriptor ends the connection only when no other descriptor, process or call holds the file. */
static __always_inline int is_last_reference(struct file *file) {
  struct file___ref *newer = (struct file___ref *)file;
  if (bpf_core_field_exists(newer->f_ref))
    return BPF_CORE_READ(newer, f_ref.refcnt.counter) == 0; /* counts from 0: kernel commit 90ee6ed776c0 */
  return BPF_CORE_READ(file, f_count.counter) == 1;
}

static __always_inline void copy_unix_path(struct wire_conn_open *open, struct unix_sock *us) {
  struct unix_address *address = BPF_CORE_READ(us, addr);
  int size = address ? BPF_CORE_READ(address, len) : 0;
  if (size <= 2)
    return;
  size -= 2; /* sun_family */
  if (size > WIRE_UNIX_PATH_MAX)
    size = WIRE_UNIX_PATH_MAX;
  open->path_size = size;
  /* name[0] holds a sockaddr_un: two bytes of family, then the path */
  bpf_probe_read_kernel(open->path, WIRE_UNIX_PATH_MAX,
                        (void *)address + bpf_core_field_offset(struct unix_address, name) + 2);
}

static __always_inline void fill_unix(struct wire_conn_open *open, struct sock *sk) {
  struct unix_sock *own = (struct unix_sock *)sk;
  struct unix_sock *peer = (struct unix_sock *)BPF_CORE_READ(own, peer);
  open->path_is_local = 1;
  copy_unix_path(open, own);
  if (!peer)
    return;
  if (open->path_size == 0) {
    open->path_is_local = 0;
    copy_unix_path(open, peer);
  }
  open->peer_inode = BPF_CORE_READ((struct sock *)peer, sk_socket, file, f_inode, i_ino);
}

static __always_inline void fill_inet(struct wire_conn_open *open, struct sock *sk) {
  open->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
  open->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
  if (open->family == AF_INET) {
    BPF_CORE_READ_INTO((__u32 *)open->local_address, sk, __sk_common.skc_rcv_saddr);
    BPF_CORE_READ_INTO((__u32 *)open->remote_address, sk, __sk_common.skc_daddr);
  } else {
    bpf_core_read(open->local_address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
    bpf_core_read(open->remote_address, 16, &sk->__sk_common.skc_v6_daddr);
  }
}

/* Tells the agent of the connection; tried again with the next transfer if the ring is full. */
static __always_inline void announce(struct wire_conn *conn, struct sock *sk) {
  struct wire_conn_open *open = reserve_control(sizeof(*open));
  if (!open) {
    count(WIRE_COUNT_CONTROLS_LOST);
    return;
  }
  __builtin_memset(open, 0, sizeof(*open));
  fill_header(&open->header, WIRE_CONN_OPEN, sizeof(*open), bpf_ktime_get_ns());
  open->conn = conn->id;
  open->key = conn->key;
  open->inode = conn->inode;
  open->tgid = conn->tgid;
  open->tid = (__u32)bpf_get_current_pid_tgid();
  open->fd = conn->fd;
  open->family = conn->family;
  open->role = conn->role;
  open->mid_stream = conn->mid_stream;
  if (conn->family == AF_UNIX)
    fill_unix(open, sk);
  else
    fill_inet(open, sk);
  submit_control(open);
  conn->announced = 1;
}

static __always_inline __u64 next_conn_id(void) {
  __u32 zero = 0;
  __u64 *number = bpf_map_lookup_elem(&conn_numbers, &zero);
  if (!number)
    return 0;
  *number += 1;
  return *number << 12 | (bpf_get_smp_processor_id() & 0xfff);
}

static __always_inline struct wire_conn *find_conn(struct sock *sk) {
  __u64 key = (__u64)sk;
  return bpf_map_lookup_elem(&conns, &key);
}

static __always_inline struct wire_conn *create_conn(struct socket_ref *ref, __s32 fd, __u8 role) {
  __u64 key = (__u64)ref->sk;
  struct wire_conn fresh = {
      .id = next_conn_id(),
      .key = key,
      .inode = ref->inode,
      .tgid = current_tgid(),
      .fd = fd,
      .role = role,
      .mid_stream = role == WIRE_ROLE_UNKNOWN,
      .last_direction = 0xff,
  };
  struct sock *sk = ref->sk;
  struct wire_conn *conn;
  fresh.family = BPF_CORE_READ(sk, __sk_common.skc_family);
  if (!is_stream_socket(sk, fresh.family))
    return 0;
  bpf_map_update_elem(&conns, &key, &fresh, BPF_NOEXIST); /* another thread may have been faster */
  conn = bpf_map_lookup_elem(&conns, &key);
  if (!conn)
    count(WIRE_COUNT_TRANSFERS_NO_CONN);
  else if (conn->id == fresh.id)
    announce(conn, sk);
  return conn;
}

static __always_inline void announce_close(struct wire_conn *conn, __u32 reason) {
  struct wire_conn_closed closed = {
      .conn = conn->id,
      .bytes = {conn->streams[0].position, conn->streams[1].position},
      .transfers = {conn->streams[0].sequence, conn->streams[1].sequence},
      .reason = reason,
      .tgid = conn->tgid,
  };
  fill_header(&closed.header, WIRE_CONN_CLOSED, sizeof(closed), bpf_ktime_get_ns());
  emit_control(&closed, sizeof(closed));
}

#define STALL_OF_NOTE_NS 1000000ull

/* The peer takes bytes again, or never will. */
static __always_inline void end_stall(struct wire_conn *conn) {
  struct wire_send_stall stall = {.conn = conn->id, .begin_ns = conn->stalled_ns, .tgid = conn->tgid};
  __u64 now = bpf_ktime_get_ns();
  conn->stalled_ns = 0;
  if (now - stall.begin_ns < STALL_OF_NOTE_NS)
    return;
  fill_header(&stall.header, WIRE_SEND_STALL, sizeof(stall), now);
  emit_detail_once(&stall, sizeof(stall));
}

static __always_inline void close_conn(struct wire_conn *conn, __u32 reason) {
  __u64 key = conn->key;
  if (conn->ending)
    reason = conn->ending - 1;
  if (conn->stalled_ns)
    end_stall(conn);
  announce_close(conn, conn->reset && reason == WIRE_CLOSE_CLOSED ? WIRE_CLOSE_RESET : reason);
  bpf_map_delete_elem(&conns, &key);
}

/* What calls of a TLS library have moved is told when they return, which may be after another thread closed the
 * connection: its end waits for them. */
static __always_inline void end_conn(struct wire_conn *conn, __u32 reason) {
  if (!conn->ending)
    __sync_fetch_and_add(&conn->ending, 1 + reason); /* before the count is read: the last call may return meanwhile */
  if (!conn->tls_calls)
    close_conn(conn, reason);
}

static __always_inline void announce_half_close(struct wire_conn *conn, __u32 direction) {
  struct wire_conn_half_closed half = {.conn = conn->id, .direction = direction};
  fill_header(&half.header, WIRE_CONN_HALF_CLOSED, sizeof(half), bpf_ktime_get_ns());
  emit_control(&half, sizeof(half));
}

/* The entry of a socket; made if it is new, or if its address now belongs to another socket. */
static __always_inline struct wire_conn *conn_of(struct socket_ref *ref, __s32 fd, __u8 role) {
  struct wire_conn *conn = find_conn(ref->sk);
  if (conn && conn->inode == ref->inode) {
    if (!conn->announced)
      announce(conn, ref->sk);
    return conn;
  }
  if (conn)
    close_conn(conn, WIRE_CLOSE_FORGOTTEN);
  return create_conn(ref, fd, role);
}

#endif
