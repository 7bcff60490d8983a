/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who is watched. The first thing that every program asks; for everybody else it is also the last. */
#ifndef INFERSCOPE_TARGET_H
#define INFERSCOPE_TARGET_H

#include "lib/maps.h"

static __always_inline __u32 current_tgid(void) { return bpf_get_current_pid_tgid() >> 32; }

static __always_inline struct wire_target *target_of(__u32 tgid) { return bpf_map_lookup_elem(&targets, &tgid); }

static __always_inline int is_watched(const struct wire_target *target) {
  return target && target->state == WIRE_TARGET_WATCHED;
}

/* Whether what its threads do is told. */
static __always_inline int tells_threads(const struct wire_target *target) {
  return is_watched(target) && !target->no_threads;
}

/* Of a probe in a library. */
static __always_inline void count_hit(__u64 *hits, __u64 hit) {
  switch (hit) {
    case WIRE_HIT_EMULATED:
      ++hits[WIRE_HIT_EMULATED];
      break;
    case WIRE_HIT_STEPPED:
      ++hits[WIRE_HIT_STEPPED];
      break;
    default:
      ++hits[WIRE_HIT_RETURN];
  }
}

static __always_inline void set_target(__u32 tgid, __u32 state, __u32 sample_budget, __u64 flags) {
  struct wire_target value = {.state = state, .sample_budget = sample_budget};
  long error = bpf_map_update_elem(&targets, &tgid, &value, flags);
  if (error && flags != BPF_NOEXIST)
    count(WIRE_COUNT_TARGETS_FULL);
}

#endif
