// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "memory": when the kernel looks for memory on the time of a watched thread, because its cgroup is at its
 * limit or the host has none left. At a limit that is often and short: those in a row are told together. */
#include "lib/emit.h"
#include "lib/target.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define RECLAIM_OF_NOTE_NS 100000ull
#define IN_A_ROW_NS 10000000ull

static __always_inline int begin_reclaim(void) {
  __u64 self = bpf_get_current_pid_tgid();
  struct reclaim fresh = {.begin_ns = bpf_ktime_get_ns()}, *known;
  __u32 tid = self;
  if (!is_watched(target_of(self >> 32)))
    return 0;
  known = bpf_map_lookup_elem(&reclaims, &tid);
  if (!known) {
    if (bpf_map_update_elem(&reclaims, &tid, &fresh, BPF_ANY))
      count(WIRE_COUNT_RECLAIMS_FULL);
    return 0;
  }
  if (known->spent_ns && fresh.begin_ns - known->end_ns > IN_A_ROW_NS) {
    count(WIRE_COUNT_RECLAIMS_SHORT);
    known->spent_ns = 0;
    known->pages = 0;
  }
  known->begin_ns = fresh.begin_ns;
  return 0;
}

static __always_inline int end_reclaim(__u64 pages, int of_cgroup) {
  __u64 self = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
  struct wire_reclaim record = {.tgid = self >> 32, .tid = (__u32)self, .of_cgroup = of_cgroup};
  __u32 tid = self;
  struct reclaim *reclaim = bpf_map_lookup_elem(&reclaims, &tid);
  if (!reclaim || !reclaim->begin_ns)
    return 0;
  reclaim->spent_ns += now - reclaim->begin_ns;
  reclaim->pages += pages;
  reclaim->begin_ns = 0;
  reclaim->end_ns = now;
  if (reclaim->spent_ns < RECLAIM_OF_NOTE_NS)
    return 0;
  record.begin_ns = now - reclaim->spent_ns;
  record.pages = reclaim->pages;
  fill_header(&record.header, WIRE_RECLAIM, sizeof(record), now);
  emit_detail_once(&record, sizeof(record));
  reclaim->spent_ns = 0;
  reclaim->pages = 0;
  return 0;
}

SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int on_reclaim(struct bpf_raw_tracepoint_args *ctx) { return begin_reclaim(); }
SEC("raw_tp/mm_vmscan_direct_reclaim_end")
int on_reclaimed(struct bpf_raw_tracepoint_args *ctx) { return end_reclaim(ctx->args[0], 0); }

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int on_cg_reclaim(struct bpf_raw_tracepoint_args *ctx) { return begin_reclaim(); }
SEC("raw_tp/mm_vmscan_memcg_reclaim_end")
int on_cg_reclaimed(struct bpf_raw_tracepoint_args *ctx) { return end_reclaim(ctx->args[0], 1); }

SEC("raw_tp/sched_process_exit")
int on_reclaimer_end(struct bpf_raw_tracepoint_args *ctx) {
  __u32 tid = bpf_get_current_pid_tgid();
  bpf_map_delete_elem(&reclaims, &tid);
  return 0;
}
