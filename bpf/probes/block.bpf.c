// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "block": what disks do for watched processes, summed up by process. What is written later, by the kernel's
 * own threads, is nobody's. (Before 5.10.137 the queue comes first where a request begins: what is then kept under its
 * address never ends, and nothing is told.) */
#include "lib/target.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define OPERATION 0xff /* of cmd_flags: 0 is a read, 1 a write; others move no bytes */

static __always_inline struct wire_disk_use *use_of(__u32 tgid) {
  struct wire_disk_use *use = bpf_map_lookup_elem(&disk_uses, &tgid), fresh = {};
  if (use)
    return use;
  bpf_map_update_elem(&disk_uses, &tgid, &fresh, BPF_NOEXIST);
  return bpf_map_lookup_elem(&disk_uses, &tgid);
}

/* Whoever is first seen with a request owns it: with a scheduler in between, the driver may be given it by others. */
static __always_inline struct disk_request *own(struct request *request) {
  __u64 key = (__u64)request;
  struct disk_request *owned = bpf_map_lookup_elem(&disk_requests, &key);
  struct disk_request fresh = {.tgid = current_tgid()};
  if (owned || !is_watched(target_of(fresh.tgid)))
    return owned;
  if ((BPF_CORE_READ(request, cmd_flags) & OPERATION) > 1)
    return 0;
  if (!use_of(fresh.tgid) || bpf_map_update_elem(&disk_requests, &key, &fresh, BPF_ANY)) {
    count(WIRE_COUNT_DISKS_FULL);
    return 0;
  }
  return bpf_map_lookup_elem(&disk_requests, &key);
}

/* One that never came to its driver was merged into another, and its place is used again. */
SEC("raw_tp/block_rq_insert")
int on_insert(struct bpf_raw_tracepoint_args *ctx) {
  struct request *request = (struct request *)ctx->args[0];
  __u64 key = (__u64)request;
  struct disk_request *owned = bpf_map_lookup_elem(&disk_requests, &key);
  if (owned && !owned->issued_ns)
    bpf_map_delete_elem(&disk_requests, &key);
  own(request);
  return 0;
}

SEC("raw_tp/block_rq_issue")
int on_issue(struct bpf_raw_tracepoint_args *ctx) {
  struct disk_request *owned = own((struct request *)ctx->args[0]);
  if (owned)
    owned->issued_ns = bpf_ktime_get_ns();
  return 0;
}

static __always_inline void note_longest(struct wire_disk_use *use, __u64 time_ns) {
  struct wire_settings *set = get_settings();
  if (set && use->generation != set->disk_generation) {
    use->longest_before_ns = use->longest_ns;
    use->generation_before = use->generation;
    use->longest_ns = 0;
    use->generation = set->disk_generation;
  }
  if (time_ns > use->longest_ns)
    use->longest_ns = time_ns;
}

/* A request may be done in parts. */
SEC("raw_tp/block_rq_complete")
int on_complete(struct bpf_raw_tracepoint_args *ctx) {
  struct request *request = (struct request *)ctx->args[0];
  __u64 key = (__u64)request, time_ns;
  struct disk_request *owned = bpf_map_lookup_elem(&disk_requests, &key);
  struct wire_disk_use *use;
  __u32 tgid, bytes = ctx->args[2], way;
  if (!owned)
    return 0;
  tgid = owned->tgid;
  time_ns = owned->issued_ns ? bpf_ktime_get_ns() - owned->issued_ns : 0;
  way = BPF_CORE_READ(request, cmd_flags) & 1;
  use = bpf_map_lookup_elem(&disk_uses, &tgid);
  if (use)
    __sync_fetch_and_add(&use->bytes[way], bytes);
  if (bytes < BPF_CORE_READ(request, __data_len))
    return 0;
  bpf_map_delete_elem(&disk_requests, &key);
  if (!use)
    return 0;
  __sync_fetch_and_add(&use->count[way], 1);
  __sync_fetch_and_add(&use->time_ns, time_ns);
  note_longest(use, time_ns);
  return 0;
}
