/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Finds inference servers by what they serve: the first bytes of what a sampled process reads are compared with the
 * paths of inference requests, in the kernel. A match makes it watched before this very request is recorded. */
#ifndef INFERSCOPE_SAMPLE_H
#define INFERSCOPE_SAMPLE_H

#include "lib/target.h"
#include "lib/transfer.h"

#define METHOD_SIZE 5 /* "POST " */

static __always_inline int starts_with_path(const __u8 *sample, __u32 index) {
  struct wire_path *path = bpf_map_lookup_elem(&paths, &index);
  if (!path || path->size == 0)
    return 0;
  for (__u32 i = 0; i < WIRE_PATH_MAX; i++) {
    if (i >= path->size)
      return 1;
    if (sample[METHOD_SIZE + i] != path->bytes[i])
      return 0;
  }
  return 1;
}

static __always_inline int is_inference_request(const __u8 *sample) {
  if (sample[0] != 'P' || sample[1] != 'O' || sample[2] != 'S' || sample[3] != 'T' || sample[4] != ' ')
    return 0;
  for (__u32 i = 0; i < WIRE_PATHS_MAX; i++)
    if (starts_with_path(sample, i))
      return 1;
  return 0;
}

static __always_inline int sample(struct wire_target *target, struct call *call, __u64 length) {
  struct wire_found found = {};
  __u64 address;
  if (call->direction != WIRE_RECEIVED || length < WIRE_SAMPLE_MAX || target->sample_budget == 0)
    return 0;
  target->sample_budget--;
  address = first_bytes_of(call);
  if (!address || bpf_probe_read_user(found.sample, WIRE_SAMPLE_MAX, (void *)address))
    return 0;
  if (!is_inference_request(found.sample))
    return 0;
  target->state = WIRE_TARGET_WATCHED;
  found.tgid = current_tgid();
  found.sample_size = WIRE_SAMPLE_MAX;
  fill_header(&found.header, WIRE_TARGET_FOUND, sizeof(found), bpf_ktime_get_ns());
  emit_control(&found, sizeof(found));
  return 1;
}

#endif
