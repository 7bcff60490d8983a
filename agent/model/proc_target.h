// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "core/cgroup_mounts.h"
#include "model/process_target.h"

namespace inferscope {

/// The process that has this pid now, as an identity. Absent if there is none.
std::optional<ProcessTarget> process_target(Pid pid, const proc::CgroupMounts& mounts,
                                            const std::filesystem::path& proc = "/proc");

}  // namespace inferscope
