/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What threads hand over to GPUs, summed up until they wait for it. One look-up for each call; what a call is about is
 * told by the number that the loader put on its probe (WIRE_GPU_*). */
#ifndef INFERSCOPE_GPU_H
#define INFERSCOPE_GPU_H

#include "abi/wire_gpu.h"
#include "lib/emit.h"
#include "lib/gpu_arguments.h"

/* A wait for nothing is told of from this length on. */
#define GPU_WAIT_NS 50000

/* What a call that has begun comes to when it returns. */
enum gpu_call { GPU_NO_CALL, GPU_WAIT, GPU_POLL, GPU_ALLOCATE, GPU_NAME, GPU_ALIAS };

struct gpu_thread {
  struct wire_gpu_hits hits; /* the agent reads them */
  __u64 begin_ns; /* it handed over the first since its last wait; 0: nothing so far */
  __u64 last_ns;
  /* since it was told of: */
  __u64 longest_gap_ns;
  __u64 copied_bytes;
  __u32 launches;
  __u32 graphs;
  __u32 copies;
  __u32 collectives;
  __u32 until_sample; /* launches until one is told by itself */
  /* The call in progress: */
  __u32 call; /* enum gpu_call */
  __u64 call_stack;
  __u64 call_begin_ns;
  __u64 call_info;
  __u64 out;
  __u64 value; /* bytes that it asked for, address of a name, or handle that is known */
};

/* pid_tgid -> what it does. Forgotten when the thread ends (process.bpf.c). */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct gpu_thread);
} gpu_threads SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WIRE_GPU_ALLOCATIONS);
  __type(key, struct wire_gpu_address);
  __type(value, __u64);
} gpu_allocations SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, struct wire_gpu_memory);
} gpu_memory SEC(".maps");

/* Where a name is put together. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct wire_gpu_name);
} gpu_names SEC(".maps");

static __always_inline void forget_gpu_thread(void) {
  __u64 self = bpf_get_current_pid_tgid();
  bpf_map_delete_elem(&gpu_threads, &self);
}

static __always_inline __u32 gpu_api(__u64 info) { return WIRE_GPU_PART(info, WIRE_GPU_API_SHIFT, 3); }

/* Whether another library is listened to, which carries out the calls of this one. */
static __always_inline int is_inner(struct wire_target *target, __u64 info) {
  __u32 api = gpu_api(info);
  if (!WIRE_GPU_PART(info, WIRE_GPU_INNER_SHIFT, 1))
    return 0;
  if (api == WIRE_GPU_CUDA_RUNTIME)
    api = WIRE_GPU_CUDA;
  if (api == WIRE_GPU_HSA)
    api = WIRE_GPU_HIP;
  return target->gpu >> api & 1;
}

static __always_inline void count_gpu_hit(struct gpu_thread *thread, __u64 info) {
  count_hit(thread->hits.count, WIRE_GPU_PART(info, WIRE_GPU_HIT_SHIFT, 2));
}

static __always_inline struct gpu_thread *find_gpu_thread(__u64 info) {
  __u64 self = bpf_get_current_pid_tgid();
  struct gpu_thread fresh = {}, *thread = bpf_map_lookup_elem(&gpu_threads, &self);
  struct wire_target *target;
  if (thread && !WIRE_GPU_PART(info, WIRE_GPU_INNER_SHIFT, 1))
    return thread; /* the process was watched when it was put in; when it is no more, it has no probes */
  target = target_of(self >> 32);
  if (!is_watched(target) || is_inner(target, info))
    return 0;
  if (thread)
    return thread;
  if (bpf_map_update_elem(&gpu_threads, &self, &fresh, BPF_NOEXIST))
    count(WIRE_COUNT_GPU_THREADS_FULL);
  return bpf_map_lookup_elem(&gpu_threads, &self);
}

/* The calling thread, if its process is watched. */
static __always_inline struct gpu_thread *gpu_thread_of(__u64 info) {
  struct gpu_thread *thread = find_gpu_thread(info);
  if (thread)
    count_gpu_hit(thread, info);
  return thread;
}

static __always_inline void tell_work(struct gpu_thread *thread, __u64 info, __u8 ending, __u64 wait_begin_ns,
                                      __u64 end_ns, __s32 result) {
  __u64 self = bpf_get_current_pid_tgid();
  struct wire_gpu_work work = {
      .begin_ns = thread->begin_ns ? thread->begin_ns : wait_begin_ns,
      .wait_begin_ns = wait_begin_ns,
      .copied_bytes = thread->copied_bytes,
      .longest_gap_ns = thread->longest_gap_ns,
      .tgid = self >> 32,
      .tid = (__u32)self,
      .launches = thread->launches,
      .graphs = thread->graphs,
      .copies = thread->copies,
      .collectives = thread->collectives,
      .result = result,
      .api = gpu_api(info),
      .ending = ending,
  };
  fill_header(&work.header, WIRE_GPU_WORK, sizeof(work), end_ns);
  emit_detail_once(&work, sizeof(work));
  thread->copied_bytes = thread->longest_gap_ns = 0;
  thread->launches = thread->graphs = thread->copies = thread->collectives = 0;
}

static __always_inline void begin_call(struct pt_regs *ctx, struct gpu_thread *thread, __u64 info, __u32 call) {
  __u64 stack = entry_stack(ctx, info);
  if (thread->call && stack < thread->call_stack)
    return; /* inside of a call that has begun */
  thread->call = call;
  thread->call_stack = stack;
  thread->call_begin_ns = bpf_ktime_get_ns();
  thread->call_info = info;
}

static __always_inline void tell_call(struct pt_regs *ctx, __u64 info, __u64 now, __u32 one_of) {
  __u64 self = bpf_get_current_pid_tgid();
  struct wire_gpu_call call = {
      .kernel = ARGUMENT_OF(WIRE_GPU_KERNEL_SHIFT),
      .stream = ARGUMENT_OF(WIRE_GPU_STREAM_SHIFT),
      .tgid = self >> 32,
      .tid = (__u32)self,
      .one_of = one_of,
      .function = WIRE_GPU_PART(info, WIRE_GPU_NUMBER_SHIFT, 9),
      .api = gpu_api(info),
  };
  read_grid(ctx, info, &call);
  fill_header(&call.header, WIRE_GPU_CALL, sizeof(call), now);
  emit_detail_once(&call, sizeof(call));
}

/* Chosen by chance: of kernels in a cycle of any length, all are met. */
static __always_inline void sample_call(struct pt_regs *ctx, struct gpu_thread *thread, __u64 info, __u64 now) {
  struct wire_settings *set;
  struct wire_target *target;
  if (thread->until_sample > 1) {
    --thread->until_sample;
    return;
  }
  set = get_settings();
  if (!set || !set->gpu_one_of)
    return;
  target = target_of(current_tgid());
  if (thread->until_sample && target && !(target->gpu & WIRE_GPU_NO_CALLS))
    tell_call(ctx, info, now, set->gpu_one_of);
  thread->until_sample = 1 + bpf_get_prandom_u32() % (2 * set->gpu_one_of - 1);
}

static __always_inline void tell_failure(__u64 info, __u64 time_ns, __s32 result) {
  __u64 self = bpf_get_current_pid_tgid();
  struct wire_gpu_failure failure = {
      .tgid = self >> 32,
      .tid = (__u32)self,
      .result = result,
      .function = WIRE_GPU_PART(info, WIRE_GPU_NUMBER_SHIFT, 9),
      .api = gpu_api(info),
  };
  fill_header(&failure.header, WIRE_GPU_FAILURE, sizeof(failure), time_ns);
  emit_detail_once(&failure, sizeof(failure));
}

/* Something is handed over now. */
static __always_inline __u64 hand_over(struct gpu_thread *thread) {
  __u64 now = bpf_ktime_get_ns();
  if (!thread->begin_ns)
    thread->begin_ns = now;
  else if (now - thread->last_ns > thread->longest_gap_ns)
    thread->longest_gap_ns = now - thread->last_ns;
  thread->last_ns = now;
  thread->call = GPU_NO_CALL; /* whatever it was, it is over, though nobody saw it return */
  return now;
}

enum gpu_outcome { GPU_DONE, GPU_NOT_YET, GPU_FAILED };

/* Numbers of the interfaces' own. */
static __always_inline enum gpu_outcome outcome_of(__u32 api, __s32 result) {
  switch (api) {
    case WIRE_GPU_VULKAN:
    case WIRE_GPU_OPENCL: /* what is not negative is no error: a time that ran out, among others */
      return result < 0 ? GPU_FAILED : result ? GPU_NOT_YET : GPU_DONE;
    case WIRE_GPU_HSA: /* the signal's value */
      return GPU_DONE;
    case WIRE_GPU_LEVEL_ZERO:
      return result == 1 ? GPU_NOT_YET : result ? GPU_FAILED : GPU_DONE;
    default:
      return result == 600 ? GPU_NOT_YET : result ? GPU_FAILED : GPU_DONE;
  }
}

static __always_inline void end_wait(struct gpu_thread *thread, __u64 info, __u64 begin_ns, __u64 end_ns,
                                     __s32 result) {
  enum gpu_outcome outcome = outcome_of(gpu_api(info), result);
  int is_poll = thread->call == GPU_POLL;
  if (outcome == GPU_NOT_YET)
    return;
  if (outcome == GPU_FAILED)
    tell_failure(info, end_ns, result);
  if (thread->begin_ns || (!is_poll && end_ns - begin_ns >= GPU_WAIT_NS))
    tell_work(thread, info, WIRE_GPU_WAIT, begin_ns, end_ns, gpu_api(info) == WIRE_GPU_HSA ? 0 : result);
  thread->begin_ns = 0;
}

static __always_inline void count_memory(__u64 info, __u64 address, __u64 bytes) {
  struct wire_gpu_memory fresh = {.api = gpu_api(info)}, *memory;
  __u32 tgid = current_tgid();
  struct wire_gpu_address key = {.address = address, .tgid = tgid};
  memory = bpf_map_lookup_elem(&gpu_memory, &tgid);
  if (!memory) {
    bpf_map_update_elem(&gpu_memory, &tgid, &fresh, BPF_NOEXIST);
    memory = bpf_map_lookup_elem(&gpu_memory, &tgid);
  }
  if (!memory || bpf_map_update_elem(&gpu_allocations, &key, &bytes, BPF_ANY)) {
    count(WIRE_COUNT_GPU_MEMORY_FULL);
    return;
  }
  __sync_fetch_and_add(&memory->allocations, 1);
  __sync_fetch_and_add(&memory->bytes, bytes);
  if (memory->bytes > memory->peak_bytes)
    memory->peak_bytes = memory->bytes;
}

static __always_inline void uncount_memory(__u64 address) {
  __u32 tgid = current_tgid();
  struct wire_gpu_address key = {.address = address, .tgid = tgid};
  __u64 *bytes = bpf_map_lookup_elem(&gpu_allocations, &key);
  struct wire_gpu_memory *memory = bpf_map_lookup_elem(&gpu_memory, &tgid);
  if (!bytes || !memory)
    return;
  __sync_fetch_and_add(&memory->bytes, -*bytes);
  __sync_fetch_and_add(&memory->frees, 1);
  bpf_map_delete_elem(&gpu_allocations, &key);
}

/* The name at a user address, or an alias. */
static __always_inline void tell_name(__u64 handle, __u64 alias_of, __u64 name) {
  __u32 zero = 0;
  struct wire_gpu_name *record = bpf_map_lookup_elem(&gpu_names, &zero);
  long size = 0;
  if (!record || !handle)
    return;
  record->handle = handle;
  record->alias_of = alias_of;
  record->tgid = current_tgid();
  if (!alias_of)
    size = bpf_probe_read_user_str(record->name, sizeof(record->name), (void *)name);
  if (size < 0)
    return;
  record->size = size ? size - 1 : 0; /* without the zero at its end */
  fill_header(&record->header, WIRE_GPU_NAME, sizeof(*record), bpf_ktime_get_ns());
  emit_detail_once(record, sizeof(*record));
}

#endif
