// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "tcp": what the network does to the connections of watched processes. */
#include "lib/connection.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("raw_tp/tcp_retransmit_skb")
int on_retransmit(struct bpf_raw_tracepoint_args *ctx) {
  struct wire_conn *conn = find_conn((struct sock *)ctx->args[0]);
  struct wire_retransmit again = {};
  if (!conn)
    return 0;
  again.conn = conn->id;
  again.tgid = conn->tgid;
  fill_header(&again.header, WIRE_RETRANSMIT, sizeof(again), bpf_ktime_get_ns());
  emit_detail_once(&again, sizeof(again));
  return 0;
}
