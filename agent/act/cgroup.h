// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "act/host.h"
#include "act/knob.h"
#include "core/fd.h"
#include "model/action.h"

namespace inferscope::act {

/// A file of a cgroup, or what several of them make one value of, in a folder that is held open: a group that is
/// removed and made again is not written to.
class CgroupFile final : public Knob {
 public:
  /// Error: absent or not writable, with what to do about it. Null: the folder is gone, or not that of `inode` (0:
  /// any).
  static Result<std::unique_ptr<CgroupFile>> open(const std::filesystem::path& file, std::uint64_t inode);

  /// Of a weight also "idle": cpu.idle and the weight are one value, since setting the one resets the other.
  [[nodiscard]] Result<std::string> read() const override;
  [[nodiscard]] Status write(const std::string& value) const override;
  [[nodiscard]] std::string where() const override { return path_.native(); }
  /// Another file of the same group.
  [[nodiscard]] Result<std::string> read_beside(const char* name) const;
  [[nodiscard]] std::uint64_t inode() const { return inode_; }
  [[nodiscard]] std::filesystem::path folder() const { return path_.parent_path(); }

 private:
  [[nodiscard]] bool is_weight() const;
  [[nodiscard]] bool is_idle() const;
  [[nodiscard]] Status write_beside(const char* name, const std::string& value) const;

  CgroupFile(std::filesystem::path path, Fd folder, std::uint64_t inode)
      : path_(std::move(path)), name_(path_.filename()), folder_(std::move(folder)), inode_(inode) {}

  std::filesystem::path path_;
  std::string name_;
  Fd folder_;
  std::uint64_t inode_;
};

/// The file that an action on this target writes, in whichever version of cgroups controls it there. A target with a
/// pid means the cgroup of that process; without, the one it names. Never a root cgroup.
Result<std::unique_ptr<CgroupFile>> knob_for(Action::Kind kind, const ProcessTarget& target, const HostRoots& roots,
                                             const proc::CgroupMounts& mounts);
/// What the action writes there; the least weight where a kernel has no idle groups. Error: no such value, or one that
/// would give more than there is.
Result<std::string> value_for(const Action& action, const CgroupFile& knob, const std::string& current);
/// Whether `holds` is what the kernel leaves of `written` when that is taken away: a group that is made not idle any
/// more has the usual weight, whatever it had before. So it is after an undo that was cut short, and if somebody else
/// did it.
bool is_left_of(const std::filesystem::path& file, std::string_view written, std::string_view holds);
/// Whether it is a file that an action may write: a journal or a message that says otherwise is not obeyed.
bool is_knob(const std::filesystem::path& file, const HostRoots& roots);

/// All processes of a group and of those below it. Error: cannot tell, so the group is best left alone.
Result<std::vector<Pid>> processes_below(const std::filesystem::path& folder);
/// Whether nobody but the process and its descendants is among them. An action on the process's cgroup then touches
/// what belongs to it, workers that it started included, and nobody else.
Status check_alone(Pid pid, const std::vector<Pid>& processes, const HostRoots& roots);

}  // namespace inferscope::act
