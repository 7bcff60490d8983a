/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The kernel types we read, with only the fields we use. libbpf relocates the offsets to the running kernel (CO-RE),
 * so no vmlinux.h is needed. A ___ suffix names another kernel's version of a type and is dropped by libbpf. */
#ifndef INFERSCOPE_CORE_TYPES_H
#define INFERSCOPE_CORE_TYPES_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFCHR 0020000
#define MSG_PEEK 2
#define TCP_FIN_WAIT1 4
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct { int counter; } atomic_t;
typedef struct { long counter; } atomic_long_t;
typedef struct { long counter; } atomic64_t;
typedef struct { atomic64_t refcnt; } file_ref_t;

struct inode {
  unsigned short i_mode;
  unsigned long i_ino;
  unsigned int i_rdev; /* major << 20 | minor */
};

struct file {
  void *private_data;
  struct inode *f_inode;
  atomic_long_t f_count; /* until 6.12 */
};
struct file___ref { /* from 6.13 */
  file_ref_t f_ref;
};

struct fdtable {
  unsigned int max_fds;
  struct file **fd;
};
struct files_struct {
  struct fdtable *fdt;
};

struct signal_struct {
  atomic_t live;
};
struct thread_struct {
  unsigned long fsbase;
};
struct task_struct {
  unsigned int __state;
  unsigned int flags;
  int pid;
  int tgid;
  int exit_code;
  unsigned in_iowait : 1;
  unsigned long min_flt;
  unsigned long maj_flt;
  char comm[16];
  void *stack;
  struct thread_struct thread;
  struct task_struct *real_parent;
  struct files_struct *files;
  struct signal_struct *signal;
};

struct task_struct___old { /* before 5.14 */
  long state;
};

struct in6_addr { union { __u8 u6_addr8[16]; } in6_u; };

struct sock_common {
  __u32 skc_daddr;
  __u32 skc_rcv_saddr;
  __u16 skc_dport;
  __u16 skc_num;
  unsigned short skc_family;
  struct in6_addr skc_v6_daddr;
  struct in6_addr skc_v6_rcv_saddr;
};
struct sock {
  struct sock_common __sk_common;
  struct socket *sk_socket;
  __u16 sk_type;
  __u16 sk_protocol;
};
struct socket {
  struct file *file;
  struct sock *sk;
};

struct sockaddr_un {
  char sun_path[108];
};
struct unix_address {
  int len;
  struct sockaddr_un name[0];
};
struct unix_sock {
  struct unix_address *addr;
  struct sock *peer;
};

struct request {
  unsigned int cmd_flags;
  unsigned int __data_len;
};

struct io_kiocb {
  struct file *file;
  __u8 opcode;
};
struct trace_event_raw_io_uring_complete {
  void *req;
  int res;
};

#pragma clang attribute pop

/* Records of perf tracepoints for system calls: a stable layout on 64-bit kernels. */
struct sys_enter_args {
  __u64 common;
  long nr;
  unsigned long args[6];
};
struct sys_exit_args {
  __u64 common;
  long nr;
  long ret;
};

/* Of the system call interface, so never relocated. */
struct user_iovec {
  __u64 base;
  __u64 size;
};
struct user_msghdr {
  __u64 name;
  __u32 name_size;
  __u32 pad0;
  __u64 iov;
  __u64 iov_count;
  __u64 control;
  __u64 control_size;
  __u32 flags;
  __u32 pad1;
};
struct user_mmsghdr {
  struct user_msghdr header;
  __u32 size;
  __u32 pad;
};

#endif
