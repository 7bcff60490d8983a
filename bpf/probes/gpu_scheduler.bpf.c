// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "gpu-scheduler": jobs of drivers that use the kernel's scheduler of GPUs (amdgpu, nouveau, xe, …), from when
 * a process handed one in until the GPU has done it. The tracepoints are a module's, and were renamed in 6.16: where the
 * loader does not find the one of a pair, it takes the other. */
#include "lib/gpu_jobs.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct drm_sched_fence {
  struct {
  } finished; /* a struct dma_fence; only its place is of interest */
};
struct drm_sched_job {
  struct drm_sched_fence *s_fence;
};
#pragma clang attribute pop

static __always_inline __u64 fence_of(struct drm_sched_fence *fence) {
  return (__u64)fence + bpf_core_field_offset(fence->finished);
}
static __always_inline __u64 fence_of_job(struct bpf_raw_tracepoint_args *ctx) {
  struct drm_sched_job *job = (struct drm_sched_job *)ctx->args[0];
  return fence_of(BPF_CORE_READ(job, s_fence));
}

static __always_inline int queue(struct bpf_raw_tracepoint_args *ctx) {
  if (is_watched(target_of(current_tgid())))
    begin_gpu_job(fence_of_job(ctx));
  return 0;
}
SEC("raw_tp/drm_sched_job_queue")
int on_job(struct bpf_raw_tracepoint_args *ctx) { return queue(ctx); }
SEC("raw_tp/drm_sched_job")
int on_job_old(struct bpf_raw_tracepoint_args *ctx) { return queue(ctx); }

static __always_inline int run(struct bpf_raw_tracepoint_args *ctx) {
  run_gpu_job(fence_of_job(ctx));
  return 0;
}
SEC("raw_tp/drm_sched_job_run")
int on_run(struct bpf_raw_tracepoint_args *ctx) { return run(ctx); }
SEC("raw_tp/drm_run_job")
int on_run_old(struct bpf_raw_tracepoint_args *ctx) { return run(ctx); }

static __always_inline int end(struct bpf_raw_tracepoint_args *ctx) {
  end_gpu_job(fence_of((struct drm_sched_fence *)ctx->args[0]));
  return 0;
}
SEC("raw_tp/drm_sched_job_done")
int on_done(struct bpf_raw_tracepoint_args *ctx) { return end(ctx); }
SEC("raw_tp/drm_sched_process_job")
int on_done_old(struct bpf_raw_tracepoint_args *ctx) { return end(ctx); }
