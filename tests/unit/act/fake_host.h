// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "act/host.h"
#include "model/action.h"
#include "tests/support/temp_folder.h"

namespace inferscope::test {

struct FakeTask {
  Pid pid = 0;
  Pid parent = 1;
  std::string name = "server";
  std::string executable = "/usr/bin/server";
  char state = 'S';
  std::uint32_t flags = 0;
  std::uint64_t start_ticks = 1000;
  std::string cgroup = "/";  ///< the same in each hierarchy
};

/// A host of our own making: what /proc tells of processes, and hierarchies of cgroups whose files are plain files.
class FakeHost {
 public:
  enum class Cgroups { version1, version2, hybrid, none };

  explicit FakeHost(Cgroups cgroups = Cgroups::hybrid) : cgroups_(cgroups) {
    std::string mounts = "22 27 0:21 / /proc rw,relatime - proc proc rw\n";
    const auto mount = [&](const std::string& name, const std::string& type, const std::string& options) {
      std::filesystem::create_directories(roots().cgroups / name);
      mounts += fmt::format("31 23 0:28 / {} rw,relatime shared:7 - {} {} rw{}\n", (roots().cgroups / name).native(),
                            type, type, options);
    };
    std::filesystem::create_directories(roots().cgroups);
    if (has_version1()) mount("cpu", "cgroup", ",cpu,cpuacct");
    if (has_version1()) mount("freezer", "cgroup", ",freezer");
    if (cgroups == Cgroups::hybrid) mount("unified", "cgroup2", "");
    if (cgroups == Cgroups::version2) mount("", "cgroup2", "");
    folder_.write("proc/self/mountinfo", mounts);
    boot("5f5cd1f2-0000-4000-8000-000000000001");
  }

  [[nodiscard]] act::HostRoots roots() const { return {folder_.path() / "proc", folder_.path() / "cgroup"}; }
  [[nodiscard]] std::filesystem::path state() const { return folder_.path() / "state"; }
  [[nodiscard]] bool has_version1() const { return cgroups_ == Cgroups::version1 || cgroups_ == Cgroups::hybrid; }
  void boot(const std::string& id) const { folder_.write("proc/sys/kernel/random/boot_id", id + "\n"); }

  void add(const FakeTask& task) const {
    remove(task.pid);
    const std::string at = fmt::format("proc/{}/", task.pid);
    folder_.write(at + "stat", fmt::format("{} ({}) {} {} 1 1 0 -1 {} 0 0 0 0 7 5 0 0 20 0 1 0 {} 0 0\n", task.pid,
                                           task.name, task.state, task.parent, task.flags, task.start_ticks));
    folder_.write(at + "cgroup", has_version1() ? fmt::format("2:cpu,cpuacct:{0}\n1:freezer:{0}\n0::{0}\n", task.cgroup)
                                                : fmt::format("0::{}\n", task.cgroup));
    if (!task.executable.empty()) folder_.link(at + "exe", task.executable);
  }
  void remove(Pid pid) const { std::filesystem::remove_all(roots().process(pid)); }

  /// A cgroup in each hierarchy, with the files that it would have there.
  void add_group(const std::string& cgroup, const std::vector<Pid>& processes = {}) const {
    std::string text;
    for (const Pid pid : processes) text += std::to_string(pid) + "\n";
    const auto write = [&](const std::string& name, const std::string& content) {
      folder_.write("cgroup/" + name, content + "\n");
    };
    if (has_version1()) {
      folder_.write("cgroup/cpu" + cgroup + "/cgroup.procs", text);
      folder_.write("cgroup/freezer" + cgroup + "/cgroup.procs", text);
      write("cpu" + cgroup + "/cpu.cfs_quota_us", "-1");
      write("cpu" + cgroup + "/cpu.cfs_period_us", "100000");
      write("cpu" + cgroup + "/cpu.shares", "1024");
      write("cpu" + cgroup + "/cpu.idle", "0");
      write("freezer" + cgroup + "/freezer.state", "THAWED");
      write("freezer" + cgroup + "/freezer.self_freezing", "0");
    } else {
      folder_.write("cgroup" + cgroup + "/cgroup.procs", text);
      write(cgroup + "/cpu.max", "max 100000");
      write(cgroup + "/cpu.weight", "100");
      write(cgroup + "/cpu.idle", "0");
      write(cgroup + "/cgroup.freeze", "0");
    }
  }
  /// "cpu/a/cpu.shares"
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return roots().cgroups / name; }
  [[nodiscard]] std::string value(const std::string& name) const {
    std::string text = read_file(file(name));
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }
  void set(const std::string& name, const std::string& value) const { folder_.write("cgroup/" + name, value + "\n"); }

  /// As a decision would have it.
  [[nodiscard]] ProcessTarget target(const FakeTask& task) const {
    return {.pid = task.pid,
            .start_time_ns = task.start_ticks * (1'000'000'000u / static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK))),
            .cgroup_id = inode((has_version1() ? "cpu" : "") + task.cgroup),
            .cgroup = task.cgroup,
            .name = task.name};
  }
  [[nodiscard]] std::uint64_t inode(const std::string& folder) const {
    struct stat status {};
    return stat(file(folder).c_str(), &status) == 0 ? status.st_ino : 0;
  }

 private:
  Cgroups cgroups_;
  TempFolder folder_{};
};

inline Time at(double seconds) {
  return Time{Duration{static_cast<std::int64_t>(seconds * 1e9)}};
}

inline Action throttle(double processors) {
  return {.kind = Action::Kind::throttle, .quota = processors, .lease = std::chrono::seconds(30)};
}
inline Action freeze() {
  return {.kind = Action::Kind::freeze, .lease = std::chrono::seconds(30)};
}
inline Action weight(std::uint32_t weight) {
  return {.kind = Action::Kind::weight, .weight = weight, .lease = std::chrono::seconds(30)};
}
inline Action signal_of(int number) {
  return {.kind = Action::Kind::signal, .signal = number, .lease = std::chrono::seconds(30)};
}

inline Decision decision(const Action& action, const ProcessTarget& target,
                         Decision::Verdict verdict = Decision::Verdict::act) {
  return {.id = "00000000000000d1",
          .time = at(99),
          .finding = "00000000000000f1",
          .policy = "test",
          .action = action,
          .target = target,
          .verdict = verdict};
}

}  // namespace inferscope::test
