// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include "act/lease.h"
#include "tests/unit/act/fake_host.h"

namespace inferscope::test {

/// One with all members set.
inline act::Lease some_lease(int number) {
  act::Lease lease;
  lease.folder_inode = 4711;
  lease.boot_id = "5f5cd1f2-0000-4000-8000-000000000001";
  Effect& effect = lease.effect;
  effect.id = fmt::format("{:016x}", number);
  effect.decision = decision(throttle(0.2), {.pid = 42,
                                             .start_time_ns = 123456789012345,
                                             .cgroup_id = 99,
                                             .cgroup = "/pod \"x\"",
                                             .name = "server\xff",
                                             .executable = "/usr/bin/server"});
  effect.decision.step = 2;
  effect.decision.reason = "because";
  effect.state = Effect::State::active;
  effect.begin = at(100);
  effect.lease_until = at(130);
  effect.where = "/sys/fs/cgroup/pod/cpu.max";
  effect.earlier = "max 100000";
  effect.written = "20000 100000";
  effect.unix_minus_kernel_ns = 1'700'000'000'000'000'000;
  return lease;
}

}  // namespace inferscope::test
