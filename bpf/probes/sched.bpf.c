// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "sched": when threads of watched processes run, wait for a processor and sleep, and for what. All
 * processes pay for these: whoever is not watched, with one look-up and a note in a switch, and one look-up in a
 * wake-up. */
#include "lib/thread.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PF_EXITING 4

static __always_inline __u64 state_of(struct task_struct *task) {
  if (bpf_core_field_exists(task->__state))
    return task->__state;
  return ((struct task_struct___old *)task)->state;
}

static __always_inline void leaves(struct task_struct *task, int preempted, __u64 now) {
  struct thread *thread = thread_of(task->pid);
  __u64 task_state;
  if (!thread || thread->state != THREAD_RUNNING)
    return;
  sum_running(thread, now);
  task_state = state_of(task);
  if (task_state && !preempted) {
    falls_asleep(thread, task, task_state, now);
  } else {
    thread->state = THREAD_READY;
    thread->run.preemptions++;
  }
}

/* One that was told to have ended may still run for a while, which is nobody's work. */
static __always_inline void comes(struct task_struct *task, struct processor *processor, __u64 now) {
  struct thread *thread = thread_of(task->pid);
  __u32 tgid = task->tgid;
  if (thread && thread->run.tgid == tgid && thread->state != THREAD_RUNNING)
    gets_processor(thread, task, processor, now);
  else if (!(task->flags & PF_EXITING))
    new_thread(task, tgid, THREAD_RUNNING, now);
}

SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx) {
  struct task_struct *before = (struct task_struct *)ctx[1], *after = (struct task_struct *)ctx[2];
  __u32 zero = 0;
  struct processor *processor = bpf_map_lookup_elem(&processors, &zero);
  struct wire_target *target = after->pid ? target_of(after->tgid) : 0;
  int was_watched, watch = tells_threads(target);
  __u64 now = bpf_ktime_get_ns();
  if (!processor)
    return 0;
  was_watched = processor->runs_watched;
  processor->runs_watched = watch;
  if (was_watched)
    leaves(before, ctx[0] & 1, now);
  if (is_watched(target))
    target->hits[WIRE_HIT_TURN]++; /* told or not: what it would cost to tell has to be known */
  if (watch)
    comes(after, processor, now);
  note_user(processor, after, now);
  return 0;
}

/* Always told by the waker, and where the thread is not asleep yet, told before its switch. */
SEC("tp_btf/sched_waking")
int on_waking(__u64 *ctx) {
  struct task_struct *task = (struct task_struct *)ctx[0];
  __u32 tgid = task->tgid;
  __u64 self, now;
  struct thread *thread;
  if (!tells_threads(target_of(tgid)))
    return 0;
  now = bpf_ktime_get_ns();
  self = is_done_by_thread(ctx) ? bpf_get_current_pid_tgid() : 0;
  thread = thread_of(task->pid);
  if (thread) {
    thread->waking_ns = now;
    thread->waker_tgid = self >> 32;
    thread->waker_tid = (__u32)self;
  }
  if (self >> 32 != tgid || (__u32)self == task->pid)
    return 0;
  thread = thread_of((__u32)self);
  if (!thread || thread->state != THREAD_RUNNING || now - thread->told_ns < OF_NOTE_NS)
    return 0;
  sum_running(thread, now);
  cut_run(thread, (struct task_struct *)bpf_get_current_task(), WIRE_RUN_WOKE, now);
  return 0;
}

SEC("tp_btf/sched_wakeup_new")
int on_wakeup_new(__u64 *ctx) {
  struct task_struct *task = (struct task_struct *)ctx[0];
  __u32 tgid = task->tgid;
  if (tells_threads(target_of(tgid)))
    new_thread(task, tgid, THREAD_READY, bpf_ktime_get_ns());
  return 0;
}

SEC("tp_btf/sched_process_exit")
int on_thread_exit(__u64 *ctx) {
  struct task_struct *task = (struct task_struct *)ctx[0];
  struct thread *thread = thread_of(task->pid);
  __u64 now = bpf_ktime_get_ns();
  __u32 tid = task->pid;
  if (!thread)
    return 0;
  if (thread->state == THREAD_RUNNING && tells_threads(target_of(task->tgid))) {
    sum_running(thread, now);
    note_faults(thread, task);
    if (!tell_run(thread, WIRE_RUN_EXITED, now, now))
      count(WIRE_COUNT_DETAILS_LOST);
  }
  bpf_map_delete_elem(&threads, &tid);
  return 0;
}

/* A thread that runs another program gets the number of its process. */
SEC("tp_btf/sched_process_exec")
int on_thread_exec(__u64 *ctx) {
  struct task_struct *task = (struct task_struct *)ctx[0];
  __u32 tid = ctx[1];
  if (tid != task->pid)
    bpf_map_delete_elem(&threads, &tid);
  return 0;
}
