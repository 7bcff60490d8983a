/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is said of GPUs; part of wire.h. */
#ifndef INFERSCOPE_WIRE_GPU_H
#define INFERSCOPE_WIRE_GPU_H

#include "wire.h"

/* Same order as inferscope::GpuApi. */
enum wire_gpu_api {
  WIRE_GPU_CUDA = 0,
  WIRE_GPU_CUDA_RUNTIME,
  WIRE_GPU_NCCL,
  WIRE_GPU_HIP,
  WIRE_GPU_HSA,
  WIRE_GPU_LEVEL_ZERO,
  WIRE_GPU_VULKAN,
  WIRE_GPU_OPENCL,
};
/* Same order as inferscope::GpuWork::Ending. */
enum wire_gpu_ending { WIRE_GPU_WAIT = 0, WIRE_GPU_GRAPH };
/* Same order as inferscope::GpuArguments::Grid. */
enum wire_gpu_grid { WIRE_GRID_NONE = 0, WIRE_GRID_WORDS, WIRE_GRID_PACKED, WIRE_GRID_CONFIG };

/* What a probe is told of its function, in one number: which arguments tell what (as inferscope::GpuArguments), and how
 * far the stack pointer is off there. */
#define WIRE_GPU_NUMBER_SHIFT 0 /* 9 bits: which of all functions it is */
#define WIRE_GPU_API_SHIFT 9    /* 3 */
#define WIRE_GPU_INNER_SHIFT 12 /* 1: listened to only if no library of its family is that carries its calls out */
#define WIRE_GPU_GRID_SHIFT 13  /* 2; then 4 for each argument */
#define WIRE_GPU_KERNEL_SHIFT 15
#define WIRE_GPU_BYTES_SHIFT 19
#define WIRE_GPU_TIMES_SHIFT 23
#define WIRE_GPU_BLOCKING_SHIFT 27
#define WIRE_GPU_STREAM_SHIFT 31
#define WIRE_GPU_OUT_SHIFT 35
#define WIRE_GPU_NAME_SHIFT 39
#define WIRE_GPU_HIT_SHIFT 43   /* 2: enum wire_hit */
#define WIRE_GPU_STACK_SHIFT 48 /* 16, signed */
#define WIRE_GPU_STACK_MAX 32767
#define WIRE_GPU_PART(info, shift, bits) (((info) >> (shift)) & ((1ull << (bits)) - 1))

/* Beginning of the values of the map gpu_threads. */
struct wire_gpu_hits {
  __u64 count[WIRE_LIBRARY_HITS]; /* of probes that the thread has hit */
};

/* Of the mangled name of a kernel. */
#define WIRE_GPU_NAME_MAX 512

/* header.time_ns: the wait returned, or the graph was launched */
struct wire_gpu_work {
  struct wire_header header;
  __u64 begin_ns;
  __u64 wait_begin_ns;
  __u64 copied_bytes;
  __u64 longest_gap_ns;
  __u32 tgid;
  __u32 tid;
  __u32 launches;
  __u32 graphs;
  __u32 copies;
  __u32 collectives;
  __s32 result;
  __u8 api;
  __u8 ending;
  __u8 reserved[2];
};

struct wire_gpu_call {
  struct wire_header header;
  __u64 kernel; /* its handle */
  __u64 stream;
  __u32 grid[3];
  __u32 block[3];
  __u32 tgid;
  __u32 tid;
  __u32 one_of;
  __u16 function;
  __u8 api;
  __u8 reserved;
};

struct wire_gpu_failure {
  struct wire_header header;
  __u32 tgid;
  __u32 tid;
  __s32 result;
  __u16 function;
  __u8 api;
  __u8 reserved;
};

/* A handle of a kernel became known: by its name, or as another one of a kernel whose handle is known. */
struct wire_gpu_name {
  struct wire_header header;
  __u64 handle;
  __u64 alias_of; /* 0: the name follows */
  __u32 tgid;
  __u32 size;
  char name[WIRE_GPU_NAME_MAX];
};

/* Memory that a process has on GPUs, as far as it was seen. Value of the map gpu_memory. */
struct wire_gpu_memory {
  __u64 bytes;
  __u64 peak_bytes;
  __u64 allocations;
  __u64 frees;
  __u32 api;
  __u32 reserved;
};
#define WIRE_GPU_ALLOCATIONS 65536
/* Key of the map gpu_allocations, whose values are bytes. */
struct wire_gpu_address {
  __u64 address; /* or handle */
  __u64 tgid;
};

/* Same order as inferscope::GpuDriverUse::Driver. */
enum wire_gpu_driver { WIRE_DRIVER_NVIDIA = 0, WIRE_DRIVER_AMD_KFD, WIRE_DRIVER_DRM };

/* Character devices of a driver. Value of the map gpu_devices, where a major of 0 ends the list. */
#define WIRE_GPU_DEVICES 16
struct wire_gpu_device {
  __u32 major;
  __u32 driver;
};

/* Key of the map gpu_driver_uses. */
struct wire_gpu_user {
  __u32 tgid;
  __u32 driver;
};
/* Calls of it, so far. */
struct wire_gpu_use {
  __u64 calls;
  __u64 failed;
  __u64 time_ns;
  __u64 longest_ns;   /* of those after the last that the agent told of (map gpu_driver_told) */
  __u64 longest_call; /* which of the calls that was, from 1 on */
};

/* What a process's jobs for drivers of GPUs come to that are done, so far. Value of the map gpu_job_sums. */
struct wire_gpu_jobs {
  __u64 jobs;
  __u64 queued_ns; /* until the driver handed them to the GPU, as far as that is seen */
  __u64 run_ns;
};

#ifdef __cplusplus
#define _Static_assert static_assert
#endif
_Static_assert(sizeof(struct wire_gpu_work) == 80, "wire_gpu_work");
_Static_assert(sizeof(struct wire_gpu_call) == 72, "wire_gpu_call");
_Static_assert(sizeof(struct wire_gpu_failure) == 32, "wire_gpu_failure");
_Static_assert(sizeof(struct wire_gpu_name) == 552, "wire_gpu_name");
#ifdef __cplusplus
#undef _Static_assert
#endif

#endif
