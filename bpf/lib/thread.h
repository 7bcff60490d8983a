/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a thread of a watched process does, put together from its switches: the runs of one thread follow each other
 * without a hole, and what it ran, was delayed and slept in between is the time of each. */
#ifndef INFERSCOPE_THREAD_H
#define INFERSCOPE_THREAD_H

#include "lib/emit.h"
#include "lib/target.h"
#include "lib/wait.h"

#define RUN_APART_NS 2000000ull /* short sleeps are not told more often: servers wake all threads for each token */
#define OF_NOTE_NS 1000000ull   /* a sleep or a delay that is not just summed up */
#define BUDGET_WINDOW_NS 1000000000ull

static __always_inline struct thread *thread_of(__u32 tid) { return bpf_map_lookup_elem(&threads, &tid); }

/* Whatever is told next begins here. */
static __always_inline void begin_run(struct thread *thread, __u64 now) {
  struct wire_thread_run *run = &thread->run;
  __u32 tgid = run->tgid, tid = run->tid;
  __builtin_memset(run, 0, sizeof(*run));
  run->tgid = tgid;
  run->tid = tid;
  run->woken_ns = now;
  run->begin_ns = now;
  thread->open = 1;
}

static __always_inline void new_thread(struct task_struct *task, __u32 tgid, __u8 state, __u64 now) {
  struct thread fresh = {.since_ns = now, .told_ns = now, .processor = bpf_get_smp_processor_id(), .state = state};
  __u32 tid = task->pid;
  fresh.run.tgid = tgid;
  fresh.run.tid = tid;
  begin_run(&fresh, now);
  if (state == THREAD_READY)
    fresh.run.begin_ns = 0;
  fresh.minor_faults = task->min_flt;
  fresh.major_faults = task->maj_flt;
  if (bpf_map_update_elem(&threads, &tid, &fresh, BPF_ANY))
    count(WIRE_COUNT_THREADS_FULL);
}

static __always_inline int within_budget(struct wire_target *target, __u64 now) {
  struct wire_settings *set = get_settings();
  if (now - target->runs_ns > BUDGET_WINDOW_NS) {
    target->runs_ns = now;
    target->runs = 0;
  }
  if (!set || target->runs >= set->run_budget || !has_room_for_details())
    return 0;
  target->runs++;
  return 1;
}

/* What it faulted in since its last run was told. */
static __always_inline void note_faults(struct thread *thread, struct task_struct *task) {
  thread->run.minor_faults = BPF_CORE_READ(task, min_flt) - thread->minor_faults;
  thread->run.major_faults = BPF_CORE_READ(task, maj_flt) - thread->major_faults;
}

/* Tells what it did up to `end`, of which the faults are noted. If that cannot be, it goes on being summed up. */
static __always_inline int tell_run(struct thread *thread, __u8 ending, __u64 end, __u64 now) {
  struct wire_thread_run *run = &thread->run;
  run->ending = ending;
  run->end_ns = end;
  fill_header(&run->header, WIRE_THREAD_RUN, sizeof(*run), now);
  if (emit_detail(run, sizeof(*run)))
    return 0;
  thread->minor_faults += run->minor_faults;
  thread->major_faults += run->major_faults;
  thread->told_ns = end;
  thread->open = 0;
  return 1;
}

/* A function of its own, that the verifier looks at once and not on each of the ways that lead here: it would take a
 * second for them, and give up in newer kernels. Such a function takes numbers only. */
__attribute__((noinline)) int try_tell_run(__u32 tid, __u32 ending, __u64 end, __u64 now) {
  struct thread *thread = thread_of(tid);
  struct wire_target *target = thread ? target_of(thread->run.tgid) : 0;
  if (target && within_budget(target, now) && tell_run(thread, ending, end, now))
    return 1;
  count(WIRE_COUNT_RUNS_HELD);
  return 0;
}

/* How long it ran until now. */
static __always_inline void sum_running(struct thread *thread, __u64 now) {
  thread->run.ran_ns += now - thread->since_ns;
  thread->since_ns = now;
}

/* It goes on running, and another run begins. */
static __always_inline void cut_run(struct thread *thread, struct task_struct *task, __u8 ending, __u64 now) {
  note_faults(thread, task);
  if (try_tell_run(thread->run.tid, ending, now, now))
    begin_run(thread, now);
}

static __always_inline void falls_asleep(struct thread *thread, struct task_struct *task, __u64 task_state,
                                         __u64 now) {
  thread->state = THREAD_ASLEEP;
  thread->next_wait = wait_of(task_state, BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait));
  note_faults(thread, task);
  if (now - thread->told_ns >= RUN_APART_NS)
    try_tell_run(thread->run.tid, WIRE_RUN_SLEPT, now, now);
}

/* From a sleep that ended when somebody last tried to wake it: whoever is not asleep cannot be woken. The waker may have
 * come before the thread had left its processor. What was not told yet is told before a sleep of note; else they are
 * one. */
static __always_inline void was_woken(struct thread *thread, __u64 now) {
  __u64 slept_ns = thread->since_ns;
  __u64 woken_ns = thread->waking_ns > slept_ns ? thread->waking_ns : slept_ns;
  thread->state = THREAD_READY;
  thread->since_ns = woken_ns;
  if (thread->open && (woken_ns - slept_ns < OF_NOTE_NS ||
                       !try_tell_run(thread->run.tid, WIRE_RUN_SLEPT, slept_ns, now))) {
    thread->run.sleeps++;
    thread->run.slept_between_ns += woken_ns - slept_ns;
    return;
  }
  begin_run(thread, woken_ns);
  thread->run.slept_ns = slept_ns;
  thread->run.begin_ns = 0;
  thread->run.wait = thread->next_wait;
  thread->run.waker_tgid = thread->waker_tgid;
  thread->run.waker_tid = thread->waker_tid;
}

/* Somebody gets this processor. */
static __always_inline void note_user(struct processor *processor, struct task_struct *task, __u64 now) {
  struct processor_user *user = &processor->users[processor->user++ % PROCESSOR_USERS];
  user->since_ns = now;
  user->tgid = task->tgid;
  bpf_probe_read_kernel(user->name, sizeof(user->name), task->comm);
}

/* How long it had the processor from `begin` on; it had it until `until`. */
static __always_inline __u64 time_of_user(struct processor_user *user, __u64 begin, __u64 until) {
  __u64 since = user->since_ns > begin ? user->since_ns : begin;
  return user->since_ns && until > since ? until - since : 0;
}

/* The place of who of the last users of this processor had it for more than half of the time from `begin` on, all turns
 * together; if nobody had, of who had it longest in one turn. The one that can have had more than half is found by
 * letting the others' time count against it (Boyer and Moore's vote). A function of its own, as try_tell_run is. */
__attribute__((noinline)) __u32 main_user(__u64 begin, __u64 now) {
  __u32 zero = 0, last, most = 0, voted = 0, voted_tgid = 0;
  struct processor *processor = bpf_map_lookup_elem(&processors, &zero);
  __u64 longest = 0, lead = 0, until = now, had = 0;
  if (!processor)
    return 0;
  last = processor->user - 1;
  for (__u32 i = 0; i < PROCESSOR_USERS; i++) {
    struct processor_user *one = &processor->users[(last - i) % PROCESSOR_USERS];
    __u64 time = time_of_user(one, begin, until);
    until = one->since_ns;
    if (time > longest) {
      longest = time;
      most = last - i;
    }
    if (one->tgid == voted_tgid) {
      lead += time;
    } else if (time > lead) {
      lead = time - lead;
      voted = last - i;
      voted_tgid = one->tgid;
    } else {
      lead -= time;
    }
  }
  until = now;
  for (__u32 i = 0; i < PROCESSOR_USERS; i++) {
    struct processor_user *one = &processor->users[(last - i) % PROCESSOR_USERS];
    if (one->tgid == voted_tgid)
      had += time_of_user(one, begin, until);
    until = one->since_ns;
  }
  return (2 * had > now - begin ? voted : most) % PROCESSOR_USERS;
}

static __always_inline void note_delay(struct wire_thread_run *run, struct processor *processor, __u64 begin,
                                       __u64 end) {
  struct processor_user *culprit;
  run->delayed_ns += end - begin;
  if (end - begin < OF_NOTE_NS || end - begin <= run->delay_end_ns - run->delay_begin_ns)
    return;
  run->delay_begin_ns = begin;
  run->delay_end_ns = end;
  culprit = &processor->users[main_user(begin, end) % PROCESSOR_USERS];
  run->culprit = culprit->tgid;
  __builtin_memcpy(run->culprit_name, culprit->name, sizeof(run->culprit_name));
}

static __always_inline void gets_processor(struct thread *thread, struct task_struct *task, struct processor *processor,
                                           __u64 now) {
  struct wire_thread_run *run = &thread->run;
  __u64 ready_ns;
  int goes_on;
  if (thread->state == THREAD_ASLEEP)
    was_woken(thread, now);
  ready_ns = thread->since_ns < now ? thread->since_ns : now;
  goes_on = run->begin_ns != 0;
  note_delay(run, processor, ready_ns, now);
  if (!goes_on)
    run->begin_ns = now;
  if (thread->processor != bpf_get_smp_processor_id()) {
    thread->processor = bpf_get_smp_processor_id();
    run->migrations++;
  }
  thread->state = THREAD_RUNNING;
  thread->since_ns = now;
  if (goes_on && now - ready_ns >= OF_NOTE_NS)
    cut_run(thread, task, WIRE_RUN_PREEMPTED, now);
}

#endif
