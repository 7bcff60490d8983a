// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Capability "gpu-driver": calls of ioctl on devices of GPUs, added up for each process. Which devices those are, the
 * agent tells by their major numbers. */
#include "abi/wire_gpu.h"
#include "lib/calls.h"
#include "lib/connection.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WIRE_GPU_DEVICES);
  __type(key, __u32);
  __type(value, struct wire_gpu_device);
} gpu_devices SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, struct wire_gpu_user);
  __type(value, struct wire_gpu_use);
} gpu_driver_uses SEC(".maps");

/* Same key -> how many calls the agent has told of. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, struct wire_gpu_user);
  __type(value, __u64);
} gpu_driver_told SEC(".maps");

/* Which driver's device it is; -1: none. */
static __always_inline int driver_of(struct file *file) {
  struct inode *inode;
  struct wire_gpu_device *device;
  __u32 major;
  if (!file)
    return -1;
  inode = BPF_CORE_READ(file, f_inode);
  if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFCHR)
    return -1;
  major = BPF_CORE_READ(inode, i_rdev) >> 20;
  for (__u32 i = 0; i < WIRE_GPU_DEVICES; i++) {
    __u32 key = i;
    device = bpf_map_lookup_elem(&gpu_devices, &key);
    if (!device || !device->major)
      return -1;
    if (device->major == major)
      return device->driver;
  }
  return -1;
}

SEC("tracepoint/syscalls/sys_enter_ioctl")
int on_enter_ioctl(struct sys_enter_args *ctx) {
  struct call call = {.shape = CALL_OPAQUE};
  if (!is_watched(target_of(current_tgid())))
    return 0;
  call.fd = driver_of(file_of_fd(ctx->args[0]));
  if (call.fd < 0)
    return 0;
  call.begin_ns = bpf_ktime_get_ns();
  park_call(&call);
  return 0;
}

SEC("tracepoint/syscalls/sys_exit_ioctl")
int on_exit_ioctl(struct sys_exit_args *ctx) {
  struct wire_gpu_user user = {.tgid = current_tgid()};
  struct wire_gpu_use fresh = {}, *use;
  struct call call;
  __u64 spent, *told;
  if (!is_watched(target_of(user.tgid)) || !take_call(&call))
    return 0;
  spent = bpf_ktime_get_ns() - call.begin_ns;
  user.driver = call.fd;
  use = bpf_map_lookup_elem(&gpu_driver_uses, &user);
  if (!use) {
    if (bpf_map_update_elem(&gpu_driver_uses, &user, &fresh, BPF_NOEXIST))
      count(WIRE_COUNT_GPU_MEMORY_FULL);
    use = bpf_map_lookup_elem(&gpu_driver_uses, &user);
  }
  if (!use)
    return 0;
  __sync_fetch_and_add(&use->calls, 1);
  __sync_fetch_and_add(&use->time_ns, spent);
  if (ctx->ret < 0)
    __sync_fetch_and_add(&use->failed, 1);
  told = bpf_map_lookup_elem(&gpu_driver_told, &user);
  if (spent > use->longest_ns || use->longest_call <= (told ? *told : 0)) {
    use->longest_ns = spent;
    use->longest_call = use->calls;
  }
  return 0;
}
