// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "gpu": calls by which work is handed to GPUs and waited for. Attached to each watched process that maps a
 * library of those (agent/discover/gpu/gpu_functions.cpp says which functions, and what their arguments are). */
#include "lib/gpu.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("uprobe")
int gpu_launch(struct pt_regs *ctx) {
  __u64 info = number_of(ctx, LIKE_CUDA(1, 0, 9, 0, 0) | ARGUMENT(WIRE_GPU_GRID_SHIFT, WIRE_GRID_WORDS));
  struct gpu_thread *thread = gpu_thread_of(info);
  if (!thread)
    return 0;
  ++thread->launches;
  sample_call(ctx, thread, info, hand_over(thread));
  return 0;
}

SEC("uprobe")
int gpu_collective(struct pt_regs *ctx) {
  struct gpu_thread *thread = gpu_thread_of(number_of(ctx, 0));
  if (!thread)
    return 0;
  ++thread->collectives;
  hand_over(thread);
  return 0;
}

SEC("uprobe")
int gpu_graph(struct pt_regs *ctx) {
  __u64 info = number_of(ctx, LIKE_CUDA(1, 0, 2, 0, 0)), now;
  struct gpu_thread *thread = gpu_thread_of(info);
  if (!thread)
    return 0;
  ++thread->graphs;
  now = hand_over(thread);
  tell_work(thread, info, WIRE_GPU_GRAPH, now, now, 0);
  return 0;
}

static __always_inline int enter_copy(struct pt_regs *ctx, __u64 info, int waits) {
  struct gpu_thread *thread = gpu_thread_of(info);
  __u64 bytes = ARGUMENT_OF(WIRE_GPU_BYTES_SHIFT);
  if (!thread)
    return 0;
  if (WIRE_GPU_PART(info, WIRE_GPU_TIMES_SHIFT, 4))
    bytes *= ARGUMENT_OF(WIRE_GPU_TIMES_SHIFT);
  ++thread->copies;
  thread->copied_bytes += bytes;
  hand_over(thread);
  if (waits || (__u32)ARGUMENT_OF(WIRE_GPU_BLOCKING_SHIFT))
    begin_call(ctx, thread, info, GPU_WAIT);
  return 0;
}
SEC("uprobe")
int gpu_copy(struct pt_regs *ctx) { return enter_copy(ctx, number_of(ctx, LIKE_CUDA(0, 3, 4, 0, 0)), 0); }
SEC("uprobe")
int gpu_copy_back(struct pt_regs *ctx) { return enter_copy(ctx, number_of(ctx, LIKE_CUDA(0, 3, 0, 0, 0)), 1); }

static __always_inline int enter_wait(struct pt_regs *ctx, __u64 info, __u32 call) {
  struct gpu_thread *thread = gpu_thread_of(info);
  if (thread)
    begin_call(ctx, thread, info, call);
  return 0;
}
SEC("uprobe")
int gpu_wait(struct pt_regs *ctx) { return enter_wait(ctx, number_of(ctx, 0), GPU_WAIT); }
SEC("uprobe")
int gpu_poll(struct pt_regs *ctx) { return enter_wait(ctx, number_of(ctx, 0), GPU_POLL); }

/* Calls that make something: `value` is what has to be known of it beside its address or handle. */
static __always_inline int enter_make(struct pt_regs *ctx, __u64 info, __u32 call, __u64 value) {
  struct gpu_thread *thread = gpu_thread_of(info);
  if (!thread)
    return 0;
  begin_call(ctx, thread, info, call);
  thread->out = ARGUMENT_OF(WIRE_GPU_OUT_SHIFT);
  thread->value = value;
  return 0;
}
SEC("uprobe")
int gpu_allocate(struct pt_regs *ctx) {
  __u64 info = number_of(ctx, LIKE_CUDA(0, 2, 0, 1, 0)), bytes = ARGUMENT_OF(WIRE_GPU_BYTES_SHIFT);
  if (WIRE_GPU_PART(info, WIRE_GPU_TIMES_SHIFT, 4))
    bytes *= ARGUMENT_OF(WIRE_GPU_TIMES_SHIFT);
  return enter_make(ctx, info, GPU_ALLOCATE, bytes);
}
SEC("uprobe")
int gpu_name(struct pt_regs *ctx) {
  __u64 info = number_of(ctx, LIKE_CUDA(0, 0, 0, 1, 3));
  return enter_make(ctx, info, GPU_NAME, ARGUMENT_OF(WIRE_GPU_NAME_SHIFT));
}
SEC("uprobe")
int gpu_alias(struct pt_regs *ctx) {
  __u64 info = number_of(ctx, LIKE_CUDA(2, 0, 0, 1, 0));
  return enter_make(ctx, info, GPU_ALIAS, ARGUMENT_OF(WIRE_GPU_KERNEL_SHIFT));
}
SEC("uprobe")
int gpu_free(struct pt_regs *ctx) {
  __u64 info = number_of(ctx, LIKE_CUDA(0, 0, 0, 1, 0));
  if (gpu_thread_of(info))
    uncount_memory(ARGUMENT_OF(WIRE_GPU_OUT_SHIFT));
  return 0;
}

/* What it made, or 0 if it failed: told where the call was asked to, or by the result. */
static __always_inline __u64 made_by(struct gpu_thread *thread, __u64 result) {
  __u64 made = 0;
  if (!WIRE_GPU_PART(thread->call_info, WIRE_GPU_OUT_SHIFT, 4))
    return result;
  if (!(__s32)result)
    bpf_probe_read_user(&made, sizeof(made), (void *)thread->out);
  return made;
}

/* Before a function returns, or after it has. */
SEC("uretprobe")
int exit_gpu(struct pt_regs *ctx) {
  __u64 self = bpf_get_current_pid_tgid(), result = PT_REGS_RC(ctx), end_ns, made;
  struct gpu_thread *thread = bpf_map_lookup_elem(&gpu_threads, &self);
  __u64 place = number_of(ctx, ARGUMENT(WIRE_GPU_STACK_SHIFT, (__u16)-8));
  if (!thread)
    return 0;
  count_gpu_hit(thread, place);
  if (!thread->call || entry_stack(ctx, place) != thread->call_stack)
    return 0;
  end_ns = bpf_ktime_get_ns();
  switch (thread->call) {
    case GPU_WAIT:
    case GPU_POLL:
      end_wait(thread, thread->call_info, thread->call_begin_ns, end_ns, result);
      break;
    case GPU_ALLOCATE:
      made = made_by(thread, result);
      if (made)
        count_memory(thread->call_info, made, thread->value);
      else
        tell_failure(thread->call_info, end_ns, result);
      break;
    case GPU_NAME:
      tell_name(made_by(thread, result), 0, thread->value);
      break;
    case GPU_ALIAS:
      tell_name(made_by(thread, result), thread->value, 0);
      break;
  }
  thread->call = GPU_NO_CALL;
  return 0;
}
