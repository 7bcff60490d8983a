// SPDX-License-Identifier: Apache-2.0
#include "act/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <system_error>

namespace inferscope::act {
namespace {

namespace fs = std::filesystem;

struct KnobType {
  Action::Kind kind;
  std::string_view controller;  ///< of version 1; empty: version 2
  std::string_view file;
};

constexpr std::string_view quota_file = "cpu.cfs_quota_us";
constexpr std::string_view max_file = "cpu.max";
constexpr std::string_view shares_file = "cpu.shares";
constexpr std::string_view weight_file = "cpu.weight";
constexpr const char* idle_file = "cpu.idle";
constexpr std::string_view idle_value = "idle";
constexpr std::string_view freezer_file = "freezer.state";
constexpr std::string_view freeze_file = "cgroup.freeze";

/// The first that fits a target is the one: on a hybrid host a controller that version 1 has, version 2 has not. Only
/// freezing needs none in version 2, so a process that is in the root of the freezer's hierarchy may do there.
constexpr std::array<KnobType, 6> knobs{{{Action::Kind::throttle, "cpu", quota_file},
                                         {Action::Kind::throttle, "", max_file},
                                         {Action::Kind::weight, "cpu", shares_file},
                                         {Action::Kind::weight, "", weight_file},
                                         {Action::Kind::freeze, "freezer", freezer_file},
                                         {Action::Kind::freeze, "", freeze_file}}};

constexpr std::size_t groups_limit = 4096;
constexpr std::size_t processes_limit = 16384;
constexpr std::size_t file_limit = 1u << 20;
constexpr int ancestors_limit = 1024;
constexpr std::int64_t quota_least_us = 1000;  // the kernel takes no less
constexpr double quota_most = 4096;            // processors

std::string_view text_of(Action::Kind kind) {
  return kind == Action::Kind::freeze ? "be frozen" : "have its processor time controlled";
}

Error unusable(const fs::path& path, const char* what, int error) {
  Error problem{fmt::format("cannot {} {}: {}", what, path.native(), strerror(error))};
  if (error == EROFS) problem.remedy = "the cgroups are mounted read-only here: mount them writable for the agent";
  if (error == EACCES || error == EPERM || error == EROFS) problem.kind = Error::Kind::not_permitted;
  return problem;
}

Result<std::string> read_at(int folder, const char* name, const fs::path& path) {
  const Fd fd(openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  char buffer[256];
  const ssize_t count = fd ? read(fd.get(), buffer, sizeof(buffer)) : -1;
  if (count < 0) return unusable(path, "read", errno);
  std::string text(buffer, static_cast<std::size_t>(count));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_below(const fs::path& path, const fs::path& root) {
  return std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first == root.end();
}

/// Neither relative nor with "..", by which /proc/PID/cgroup tells of a group outside of the agent's namespace.
bool is_plain(const std::string& cgroup) {
  const fs::path path = cgroup;
  return path.is_absolute() && cgroup == path.lexically_normal().native() && cgroup.find('\0') == std::string::npos;
}

Result<std::unique_ptr<CgroupFile>> knob_in(const proc::CgroupPlace& place, std::string_view file,
                                            const ProcessTarget& target, const HostRoots& roots) {
  if (!is_plain(place.path) || !is_below(place.mount, roots.cgroups))
    return Error{fmt::format("cgroup '{}' in {} is out of reach", place.path, place.mount.native())};
  if (place.path == "/")
    return Error{target.pid == 0
                     ? "the root cgroup is never acted on"
                     : fmt::format("process {} is in the root cgroup, which is never acted on", target.pid)};
  // The inode that is known of a group without a process is of the hierarchy that controls the processor.
  const bool inode_is_here = target.pid == 0 && !file.starts_with("freezer.");
  auto knob = CgroupFile::open(place.folder() / file, inode_is_here ? target.cgroup_id : 0);
  if (knob && !*knob) return Error{fmt::format("cgroup {} is gone, or another one by now", place.path)};
  return knob;
}

Result<std::string> quota_value(double processors, std::int64_t period_us, std::optional<std::int64_t> current_us) {
  if (!std::isfinite(processors) || processors <= 0 || processors > quota_most)
    return Error{fmt::format("a quota of {} processors is none", processors)};
  if (period_us <= 0) return Error{"the period of the quota cannot be read"};
  const std::int64_t quota_us =
      std::max<std::int64_t>(quota_least_us, std::llround(processors * static_cast<double>(period_us)));
  if (current_us && *current_us < quota_us)
    return Error{fmt::format("it is limited to {:.2f} processors already",
                             static_cast<double>(*current_us) / static_cast<double>(period_us))};
  return std::to_string(quota_us);
}

}  // namespace

Result<std::unique_ptr<CgroupFile>> CgroupFile::open(const fs::path& file, std::uint64_t inode) {
  using File = std::unique_ptr<CgroupFile>;
  Fd folder(::open(file.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!folder && (errno == ENOENT || errno == ENOTDIR || errno == ENODEV)) return File();
  struct stat status {};
  if (!folder || fstat(folder.get(), &status) != 0) return unusable(file.parent_path(), "open", errno);
  if (inode != 0 && status.st_ino != inode) return File();
  File knob(new CgroupFile(file, std::move(folder), status.st_ino));
  const Fd writable(openat(knob->folder_.get(), knob->name_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!writable && errno == ENODEV) return File();
  if (!writable && errno == ENOENT) {
    if (fstat(knob->folder_.get(), &status) != 0 || status.st_nlink == 0) return File();  // removed meanwhile
    return Error{fmt::format("cgroup {} has no {}: its controller is not switched on there",
                             file.parent_path().native(), knob->name_)};
  }
  if (!writable) return unusable(file, "write", errno);
  return knob;
}

Result<std::string> CgroupFile::read() const {
  if (is_idle()) return std::string(idle_value);
  if (name_ != freezer_file) return read_at(folder_.get(), name_.c_str(), path_);
  // freezer.state also tells of a frozen group above, and of one that is on the way.
  auto self = read_beside("freezer.self_freezing");
  if (!self) return self;
  return std::string(*self == "1" ? "FROZEN" : "THAWED");
}

Status CgroupFile::write(const std::string& value) const {
  if (is_weight() && value == idle_value) return write_beside(idle_file, "1");
  if (is_idle())  // the kernel takes no weight before
    if (auto status = write_beside(idle_file, "0"); !status) return status;
  return write_beside(name_.c_str(), value);
}

Status CgroupFile::write_beside(const char* name, const std::string& value) const {
  const Fd fd(openat(folder_.get(), name, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return unusable(folder() / name, "write", errno);
  return success();
}

bool CgroupFile::is_weight() const {
  return name_ == shares_file || name_ == weight_file;
}

bool CgroupFile::is_idle() const {
  if (!is_weight()) return false;
  const auto idle = read_beside(idle_file);
  return idle && *idle == "1";
}

Result<std::string> CgroupFile::read_beside(const char* name) const {
  return read_at(folder_.get(), name, folder() / name);
}

Result<std::unique_ptr<CgroupFile>> knob_for(Action::Kind kind, const ProcessTarget& target, const HostRoots& roots,
                                             const proc::CgroupMounts& mounts) {
  const auto lines = target.pid == 0 ? std::vector<proc::CgroupLine>{} : proc::read_cgroups(roots.process(target.pid));
  std::optional<Error> problem;
  for (const KnobType& type : knobs) {
    if (type.kind != kind) continue;
    const auto place =
        target.pid == 0 ? mounts.place(target.cgroup, type.controller) : mounts.place_of(lines, type.controller);
    if (!place || place->version != (type.controller.empty() ? 2 : 1)) continue;
    auto knob = knob_in(*place, type.file, target, roots);
    if (knob) return knob;
    if (!problem) problem = knob.error();  // of the version that controls it, if both are mounted
  }
  if (problem) return *problem;
  return Error{fmt::format("no hierarchy of cgroups is mounted in which it could {}", text_of(kind))};
}

Result<std::string> value_for(const Action& action, const CgroupFile& knob, const std::string& current) {
  const std::string file = std::filesystem::path(knob.where()).filename();
  if (file == freezer_file) return std::string("FROZEN");
  if (file == freeze_file) return std::string("1");
  if (file == quota_file) {
    const auto period = knob.read_beside("cpu.cfs_period_us");
    if (!period) return period.error();
    const auto quota = number_of(current);
    return quota_value(action.quota, number_of(*period).value_or(0), quota && *quota > 0 ? quota : std::nullopt);
  }
  if (file == max_file) {  // "max 100000" or "20000 100000"
    const auto space = current.find(' ');
    if (space == std::string::npos) return Error{fmt::format("cannot read '{}' of {}", current, knob.where())};
    const std::string period = current.substr(space + 1);
    auto quota = quota_value(action.quota, number_of(period).value_or(0), number_of(current.substr(0, space)));
    return quota ? Result<std::string>(*quota + " " + period) : quota;
  }
  if (current == idle_value) return Error{"it gets only what nobody else wants already"};
  if (action.weight > 10000) return Error{fmt::format("a weight of {} is none", action.weight)};
  if (action.weight == idle_weight && knob.read_beside(idle_file)) return std::string(idle_value);
  const std::uint64_t weight = std::max(action.weight, 1u);
  // The kernel's own conversion (sched_weight_from_cgroup()), by which a usual weight of 100 is the usual 1024 shares.
  if (file == shares_file) return std::to_string(std::clamp<std::uint64_t>((weight * 1024 + 50) / 100, 2, 262144));
  return std::to_string(weight);
}

bool is_left_of(const fs::path& file, std::string_view written, std::string_view holds) {
  return written == idle_value && holds == (file.filename() == shares_file ? "1024" : "100");
}

bool is_knob(const fs::path& file, const HostRoots& roots) {
  const bool known = std::any_of(knobs.begin(), knobs.end(),
                                 [&](const KnobType& type) { return file.filename().native() == type.file; });
  return known && is_below(file, roots.cgroups) && is_plain(file);
}

Result<std::vector<Pid>> processes_below(const fs::path& folder) {
  std::vector<Pid> processes;
  std::vector<fs::path> groups{folder};
  for (std::size_t at = 0; at < groups.size(); ++at) {
    const auto text = read_file(groups[at] / "cgroup.procs", file_limit);
    std::error_code error;
    if (!text && at > 0 && !fs::exists(groups[at], error)) continue;  // removed meanwhile
    if (!text) return Error{fmt::format("cannot tell who is in the cgroup: {}", text.error().cause)};
    for (std::size_t begin = 0; begin < text->size();) {
      const auto end = std::min(text->find('\n', begin), text->size());
      const auto pid = number_of(std::string_view(*text).substr(begin, end - begin));
      if (!pid || *pid <= 0 || *pid > INT32_MAX)
        return Error{fmt::format("cgroup {} holds a process that cannot be seen from here", groups[at].native())};
      processes.push_back(static_cast<Pid>(*pid));
      begin = end + 1;
    }
    for (fs::directory_iterator it(groups[at], error), end; !error && it != end; it.increment(error))
      if (it->is_directory(error) && !it->is_symlink(error)) groups.push_back(it->path());
    if (groups.size() > groups_limit || processes.size() > processes_limit)
      return Error{fmt::format("cgroup {} holds too many groups or processes to look at each", folder.native())};
  }
  return processes;
}

Status check_alone(Pid pid, const std::vector<Pid>& processes, const HostRoots& roots) {
  const auto belongs = [&](Pid other) {
    for (int i = 0; i < ancestors_limit && other != pid; ++i) {
      const auto stat = proc::read_stat(roots.process(other));
      if (!stat) return i == 0;  // ended meanwhile; a parent that ended leaves it without a proof
      if (other = stat->parent; other <= 0) return false;
    }
    return other == pid;
  };
  if (std::find(processes.begin(), processes.end(), pid) == processes.end())
    return Error{fmt::format("process {} is not in the cgroup any more", pid)};
  for (const Pid other : processes)
    if (!belongs(other))
      return Error{fmt::format("process {} shares its cgroup with process {}", pid, other),
                   "a policy may name the cgroup itself as the target"};
  return success();
}

}  // namespace inferscope::act
