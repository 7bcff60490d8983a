/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a probe on a function of a GPU library was told of it, and so what its arguments are. */
#ifndef INFERSCOPE_GPU_ARGUMENTS_H
#define INFERSCOPE_GPU_ARGUMENTS_H

#include <linux/ptrace.h>

#include "abi/wire_gpu.h"
#include "lib/probe_number.h"
#include "lib/target.h"

#define ARGUMENT(shift, number) ((__u64)(number) << (shift))
/* Kernels that hand no number to probes (before 5.15) have them on functions that are called so: the CUDA driver's. */
#define LIKE_CUDA(kernel, bytes, stream, out, name)                                               \
  (ARGUMENT(WIRE_GPU_KERNEL_SHIFT, kernel) | ARGUMENT(WIRE_GPU_BYTES_SHIFT, bytes) |              \
   ARGUMENT(WIRE_GPU_STREAM_SHIFT, stream) | ARGUMENT(WIRE_GPU_OUT_SHIFT, out) |                  \
   ARGUMENT(WIRE_GPU_NAME_SHIFT, name))

/* The stack pointer as it was at the function's entry. */
static __always_inline __u64 entry_stack(struct pt_regs *ctx, __u64 info) {
  return PT_REGS_SP(ctx) + ((__s64)info >> WIRE_GPU_STACK_SHIFT);
}

/* Each with a text of its own, or the compiler would make one read of several, from a pointer that the verifier does not
 * take. */
#define REGISTER(number, from)                                \
  case number:                                                \
    value = from;                                             \
    asm volatile("/* argument " #number " */" : "+r"(value)); \
    return value

static __always_inline __u64 argument(struct pt_regs *ctx, __u64 info, __u32 number) {
  __u64 value = 0;
  switch (number) {
    case 0:
      return 0;
    REGISTER(1, PT_REGS_PARM1(ctx));
    REGISTER(2, PT_REGS_PARM2(ctx));
    REGISTER(3, PT_REGS_PARM3(ctx));
    REGISTER(4, PT_REGS_PARM4(ctx));
    REGISTER(5, PT_REGS_PARM5(ctx));
    REGISTER(6, ctx->r9);
    default: /* on the stack, behind the return address */
      bpf_probe_read_user(&value, sizeof(value), (void *)(entry_stack(ctx, info) + 8 * (number - 6)));
      return value;
  }
}
#define ARGUMENT_OF(shift) argument(ctx, info, WIRE_GPU_PART(info, shift, 4))

/* Of the arguments, those that differ from call to call. */
static __always_inline void read_grid(struct pt_regs *ctx, __u64 info, struct wire_gpu_call *call) {
  __u64 xy, from;
  switch (WIRE_GPU_PART(info, WIRE_GPU_GRID_SHIFT, 2)) {
    case WIRE_GRID_WORDS:
      call->grid[0] = PT_REGS_PARM2(ctx);
      call->grid[1] = PT_REGS_PARM3(ctx);
      call->grid[2] = PT_REGS_PARM4(ctx);
      call->block[0] = PT_REGS_PARM5(ctx);
      call->block[1] = ctx->r9;
      call->block[2] = argument(ctx, info, 7);
      break;
    case WIRE_GRID_PACKED:
      xy = PT_REGS_PARM2(ctx);
      call->grid[0] = xy;
      call->grid[1] = xy >> 32;
      call->grid[2] = PT_REGS_PARM3(ctx);
      xy = PT_REGS_PARM4(ctx);
      call->block[0] = xy;
      call->block[1] = xy >> 32;
      call->block[2] = PT_REGS_PARM5(ctx);
      break;
    case WIRE_GRID_CONFIG:
      from = PT_REGS_PARM1(ctx);
      bpf_probe_read_user(call->grid, sizeof(call->grid) + sizeof(call->block), (void *)from);
      bpf_probe_read_user(&call->stream, sizeof(call->stream), (void *)(from + 32));
      break;
  }
}

#endif
