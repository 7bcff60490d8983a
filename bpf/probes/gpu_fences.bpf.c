// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "gpu-fences": jobs of drivers of GPUs by the fences that processes make when they hand one in, and that are
 * signaled when it is done. All drivers of the kernel's own have these, also where there is no scheduler (i915,
 * virtio-gpu). */
#include "lib/gpu_jobs.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct dma_fence {
  const void *ops;
};
#pragma clang attribute pop

/* Kinds of fences that are no jobs: many in one, in a row, what a job's beginning is told by, and those that live as long
 * as a process may use the GPU. */
extern const void dma_fence_array_ops __ksym __weak;
extern const void dma_fence_chain_ops __ksym __weak;
extern const void drm_sched_fence_ops_scheduled __ksym __weak;
extern const void amdkfd_fence_ops __ksym __weak;
extern const void amdgpu_eviction_fence_ops __ksym __weak;
extern const void preempt_fence_ops __ksym __weak; /* xe */

static __always_inline int is_job(const void *kind) {
  return kind != &dma_fence_array_ops && kind != &dma_fence_chain_ops && kind != &drm_sched_fence_ops_scheduled &&
         kind != &amdkfd_fence_ops && kind != &amdgpu_eviction_fence_ops && kind != &preempt_fence_ops;
}

SEC("raw_tp/dma_fence_init")
int on_fence(struct bpf_raw_tracepoint_args *ctx) {
  struct dma_fence *fence = (struct dma_fence *)ctx->args[0];
  if (is_watched(target_of(current_tgid())) && is_job(BPF_CORE_READ(fence, ops)))
    begin_gpu_job((__u64)fence);
  return 0;
}

SEC("raw_tp/dma_fence_signaled")
int on_signaled(struct bpf_raw_tracepoint_args *ctx) {
  end_gpu_job(ctx->args[0]);
  return 0;
}

/* Nobody waits for it any more, and its address is used again. */
SEC("raw_tp/dma_fence_destroy")
int on_destroyed(struct bpf_raw_tracepoint_args *ctx) {
  forget_gpu_job(ctx->args[0]);
  return 0;
}
