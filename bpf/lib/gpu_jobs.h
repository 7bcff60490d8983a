/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Jobs that processes gave to drivers of GPUs, added up for each process. A job is known by the address of the fence that
 * is signaled when it is done. Two objects tell of them, so either may be missing: with the kernel's scheduler
 * (gpu_scheduler.bpf.c), it is known when a job was handed to the GPU; without, only when its fence was made and signaled
 * (gpu_fences.bpf.c). */
#ifndef INFERSCOPE_GPU_JOBS_H
#define INFERSCOPE_GPU_JOBS_H

#include "abi/wire_gpu.h"
#include "lib/target.h"

struct gpu_job {
  __u64 queued_ns;
  __u64 run_ns; /* 0: when the GPU began was not seen */
  __u32 tgid;
};

/* Address of a fence -> the job. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8192);
  __type(key, __u64);
  __type(value, struct gpu_job);
} gpu_jobs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, struct wire_gpu_jobs);
} gpu_job_sums SEC(".maps");

static __always_inline int has_gpu_job_sum(__u32 tgid) {
  struct wire_gpu_jobs fresh = {};
  if (bpf_map_lookup_elem(&gpu_job_sums, &tgid))
    return 1;
  bpf_map_update_elem(&gpu_job_sums, &tgid, &fresh, BPF_NOEXIST);
  return bpf_map_lookup_elem(&gpu_job_sums, &tgid) != 0;
}

/* The calling process's; one that is known begins anew. */
static __always_inline void begin_gpu_job(__u64 fence) {
  struct gpu_job fresh = {.queued_ns = bpf_ktime_get_ns(), .tgid = current_tgid()};
  if (!has_gpu_job_sum(fresh.tgid) || bpf_map_update_elem(&gpu_jobs, &fence, &fresh, BPF_ANY))
    count(WIRE_COUNT_GPU_JOBS_FULL);
}

static __always_inline void run_gpu_job(__u64 fence) {
  struct gpu_job *job = bpf_map_lookup_elem(&gpu_jobs, &fence);
  if (job)
    job->run_ns = bpf_ktime_get_ns();
}

static __always_inline void forget_gpu_job(__u64 fence) { bpf_map_delete_elem(&gpu_jobs, &fence); }

static __always_inline void end_gpu_job(__u64 fence) {
  struct gpu_job *found = bpf_map_lookup_elem(&gpu_jobs, &fence), job;
  struct wire_gpu_jobs *sum;
  __u64 begin_ns;
  if (!found)
    return;
  job = *found;
  forget_gpu_job(fence);
  sum = bpf_map_lookup_elem(&gpu_job_sums, &job.tgid);
  if (!sum)
    return; /* the process has ended, and the agent forgot it */
  begin_ns = job.run_ns ? job.run_ns : job.queued_ns;
  __sync_fetch_and_add(&sum->jobs, 1);
  __sync_fetch_and_add(&sum->queued_ns, begin_ns - job.queued_ns);
  __sync_fetch_and_add(&sum->run_ns, bpf_ktime_get_ns() - begin_ns);
}

#endif
