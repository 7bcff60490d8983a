// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "core/cgroup_mounts.h"
#include "tests/support/temp_folder.h"

namespace inferscope::test {

/// A cgroup of the test's own in one hierarchy; gone with the object, its processes moved out and running.
class RealCgroup {
 public:
  /// `controller`: as for CgroupMounts; empty is version 2's hierarchy. nullopt: it is not mounted here.
  static std::optional<RealCgroup> make(const std::string& controller) {
    static int made = 0;
    const std::string path = fmt::format("/inferscope-test-{}-{}", getpid(), ++made);
    const auto place = proc::CgroupMounts::read().place(path, controller);
    if (!place) return std::nullopt;
    std::filesystem::create_directory(place->folder());
    return RealCgroup(*place);
  }
  RealCgroup(RealCgroup&& other) noexcept : place_(std::move(other.place_)) { other.place_.path.clear(); }
  RealCgroup(const RealCgroup&) = delete;
  RealCgroup& operator=(const RealCgroup&) = delete;
  RealCgroup& operator=(RealCgroup&&) = delete;
  ~RealCgroup() {
    if (place_.path.empty()) return;
    if (has("freezer.state")) set("freezer.state", "THAWED");
    if (has("cgroup.freeze")) set("cgroup.freeze", "0");
    for (int i = 0; i < 200; ++i) {
      std::istringstream members(value("cgroup.procs"));
      for (std::string pid; members >> pid;) std::ofstream(place_.mount / "cgroup.procs") << pid;
      if (rmdir(place_.folder().c_str()) == 0) return;
      usleep(5000);
    }
  }

  void add(pid_t pid) const { set("cgroup.procs", std::to_string(pid)); }
  [[nodiscard]] const std::string& path() const { return place_.path; }
  [[nodiscard]] const proc::CgroupPlace& place() const { return place_; }
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return place_.folder() / name; }
  [[nodiscard]] bool has(const std::string& name) const { return std::filesystem::exists(file(name)); }
  [[nodiscard]] std::string value(const std::string& name) const {
    std::string text = read_file(file(name));
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }
  void set(const std::string& name, const std::string& value) const { std::ofstream(file(name)) << value; }

 private:
  explicit RealCgroup(proc::CgroupPlace place) : place_(std::move(place)) {}
  proc::CgroupPlace place_;
};

/// The file that limits the processor there, and what it holds without a limit.
inline std::string quota_file(const RealCgroup& group) {
  return group.place().version == 1 ? "cpu.cfs_quota_us" : "cpu.max";
}
inline std::string weight_file(const RealCgroup& group) {
  return group.place().version == 1 ? "cpu.shares" : "cpu.weight";
}
inline std::string freeze_file(const RealCgroup& group) {
  return group.place().version == 1 ? "freezer.state" : "cgroup.freeze";
}

}  // namespace inferscope::test
