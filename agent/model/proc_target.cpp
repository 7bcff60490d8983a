// SPDX-License-Identifier: Apache-2.0
#include "model/proc_target.h"

#include <string>
#include <system_error>

#include "core/proc_stat.h"

namespace inferscope {

std::optional<ProcessTarget> process_target(Pid pid, const proc::CgroupMounts& mounts,
                                            const std::filesystem::path& proc) {
  const auto folder = proc / std::to_string(pid);
  const auto stat = proc::read_stat(folder);
  if (!stat) return std::nullopt;
  ProcessTarget target{.pid = pid, .start_time_ns = stat->start_time_ns, .name = stat->name};
  std::error_code error;
  if (const auto executable = std::filesystem::read_symlink(folder / "exe", error); !error)
    target.executable = executable.string();
  if (const auto place = mounts.place_of(proc::read_cgroups(folder), "cpu")) {
    target.cgroup = place->path;
    target.cgroup_id = proc::cgroup_id(*place);
  }
  return target;
}

}  // namespace inferscope
