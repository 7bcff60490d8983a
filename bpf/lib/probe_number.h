/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the loader says to the program of the place where it put a probe. */
#ifndef INFERSCOPE_PROBE_NUMBER_H
#define INFERSCOPE_PROBE_NUMBER_H

#include <linux/ptrace.h>

#include "lib/core_types.h"

/* `usual`: for kernels that do not hand it over (before 5.15). */
static __always_inline __u64 number_of(struct pt_regs *ctx, __u64 usual) {
  if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
    return bpf_get_attach_cookie(ctx);
  return usual;
}

#endif
