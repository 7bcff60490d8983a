// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "process": fork, exec and exit of watched processes, and the exec of everybody (so that a new inference
 * server is watched from its first instruction on). Raw tracepoints: no tracefs needed, a handful of events a second. */
#include "lib/emit.h"
#include "lib/gpu.h"
#include "lib/tls.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void emit_process(__u16 kind, __u32 tgid, __u32 parent, __s32 status, __u32 watched) {
  struct wire_process record = {.tgid = tgid, .parent = parent, .status = status, .watched = watched};
  fill_header(&record.header, kind, sizeof(record), bpf_ktime_get_ns());
  emit_control(&record, sizeof(record));
}

SEC("raw_tp/sched_process_fork")
int on_fork(struct bpf_raw_tracepoint_args *ctx) {
  struct task_struct *parent = (struct task_struct *)ctx->args[0];
  struct task_struct *child = (struct task_struct *)ctx->args[1];
  __u32 parent_tgid = BPF_CORE_READ(parent, tgid);
  __u32 child_tgid = BPF_CORE_READ(child, tgid);
  struct wire_target *target;
  if (parent_tgid == child_tgid)
    return 0; /* a thread */
  target = target_of(parent_tgid);
  if (!target || target->state == WIRE_TARGET_IGNORED)
    return 0;
  set_target(child_tgid, target->state, target->sample_budget, BPF_ANY);
  if (is_watched(target))
    emit_process(WIRE_PROCESS_FORK, child_tgid, parent_tgid, 0, 1);
  return 0;
}

SEC("raw_tp/sched_process_exec")
int on_exec(struct bpf_raw_tracepoint_args *ctx) {
  __u32 tgid = current_tgid();
  struct wire_target *target = target_of(tgid);
  if (target && target->gpu)
    forget_gpu_thread(); /* what it did was another program's */
  emit_process(WIRE_PROCESS_EXEC, tgid, 0, 0, is_watched(target));
  return 0;
}

SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *ctx) {
  struct task_struct *task = (struct task_struct *)ctx->args[0];
  __u32 tgid = current_tgid();
  struct wire_target *target = target_of(tgid);
  int watched = is_watched(target);
  /* Threads that end together are counted out before any of them comes here: the first may have deleted the target, and
   * who has none may be another of a watched process. */
  if (!target || target->tls & WIRE_TLS_LIBRARY)
    forget_tls_call();
  if (!target || target->gpu)
    forget_gpu_thread();
  if (!target || BPF_CORE_READ(task, signal, live.counter) != 0)
    return 0; /* nobody's, or other threads still run */
  /* Several may come here at once: who deletes the entry tells of the end. */
  if (bpf_map_delete_elem(&targets, &tgid) == 0 && watched)
    emit_process(WIRE_PROCESS_EXIT, tgid, 0, BPF_CORE_READ(task, exit_code), 1);
  return 0;
}
