/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the current thread goes to sleep for, told by the system call that it is in and by how it sleeps. */
#ifndef INFERSCOPE_WAIT_H
#define INFERSCOPE_WAIT_H

#include <asm/unistd.h>

#include "lib/entry.h"

#define TASK_UNINTERRUPTIBLE 2
#define POLLIN 1
#define POLLOUT 4

struct user_pollfd {
  __s32 fd;
  __s16 events;
  __s16 revents;
};

static __always_inline __u8 wait_of_poll(struct entry_registers *registers) {
  struct user_pollfd one;
  if (registers->si == 1 && !bpf_probe_read_user(&one, sizeof(one), (void *)registers->di) &&
      (one.events & (POLLIN | POLLOUT)) == POLLOUT)
    return WIRE_WAIT_SEND;
  return WIRE_WAIT_POLL;
}

static __always_inline __u8 wait_in_call(struct entry_registers *registers) {
  switch (registers->orig_ax) {
    case __NR_futex:
    case 449: /* futex_waitv */
    case 455: /* futex_wait */
      return WIRE_WAIT_FUTEX;
    case __NR_poll:
    case __NR_ppoll:
      return wait_of_poll(registers);
    case __NR_select:
    case __NR_pselect6:
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case 441: /* epoll_pwait2 */
    case __NR_io_uring_enter:
      return WIRE_WAIT_POLL;
    case __NR_read:
    case __NR_readv:
    case __NR_recvfrom:
    case __NR_recvmsg:
    case __NR_recvmmsg:
    case __NR_accept:
    case __NR_accept4:
      return WIRE_WAIT_RECEIVE;
    case __NR_write:
    case __NR_writev:
    case __NR_sendto:
    case __NR_sendmsg:
    case __NR_sendmmsg:
    case __NR_sendfile:
      return WIRE_WAIT_SEND;
    case __NR_nanosleep:
    case __NR_clock_nanosleep:
      return WIRE_WAIT_SLEEP;
    default:
      return WIRE_WAIT_OTHER;
  }
}

/* A function of its own, as try_tell_run is. `for_disk`: it is counted as waiting for a disk. */
__attribute__((noinline)) __u32 wait_of(__u64 task_state, __u32 for_disk) {
  struct entry_registers registers = {};
  int in_call = read_entry(&registers);
  if (registers.cs == USER_CODE_32_BIT)
    return WIRE_WAIT_OTHER;
  if (in_call && registers.orig_ax == __NR_ioctl)
    return WIRE_WAIT_DEVICE;
  if (!(task_state & TASK_UNINTERRUPTIBLE))
    return in_call ? wait_in_call(&registers) : WIRE_WAIT_OTHER;
  if (in_call)
    return for_disk ? WIRE_WAIT_FILE : WIRE_WAIT_OTHER;
  return for_disk ? WIRE_WAIT_PAGE_FAULT : WIRE_WAIT_MEMORY;
}

#endif
