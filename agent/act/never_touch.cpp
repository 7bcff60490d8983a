// SPDX-License-Identifier: Apache-2.0
#include "act/never_touch.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

namespace inferscope::act {
namespace {

/// Patterns of names: of the process (which the kernel cuts after 15 bytes) or the last part of its executable's path.
constexpr std::array protected_names{
    // init and what it needs
    "init", "systemd", "systemd-*", "(sd-pam)", "udevd", "dbus-daemon", "dbus-broker*", "polkitd", "openrc*", "runit*",
    "s6-svscan", "s6-supervise", "agetty", "login",
    // the way in
    "sshd", "sshd-*", "dropbear", "tailscaled", "NetworkManager", "dhclient", "dhcpcd", "auditd", "rsyslogd", "chronyd",
    // containers and pods
    "kubelet", "kube-proxy", "k3s*", "rke2*", "microk8s*", "containerd", "containerd-shim*", "dockerd", "docker-proxy",
    "crio", "conmon", "conmonrs", "runc", "crun", "youki", "podman", "nomad", "slurmd", "slurmstepd", "flanneld",
    "calico-node", "cilium-agent", "etcd", "kube-apiserver", "nvidia-persiste*", "nv-hostengine", "nvidia-fabricma*",
    // the agent and its guardian
    "inferscope*"};
constexpr std::string_view replaced = " (deleted)";  // of an executable whose file was removed, as upgrades do
constexpr int ancestors_limit = 1024;

template <class Patterns>
bool matches(const Patterns& patterns, const std::string& text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const auto& pattern) { return fnmatch(std::string(pattern).c_str(), text.c_str(), 0) == 0; });
}

std::vector<Pid> with_ancestors(Pid pid, const HostRoots& roots) {
  std::vector<Pid> line;
  for (int i = 0; i < ancestors_limit && pid > 0; ++i) {
    line.push_back(pid);
    const auto stat = proc::read_stat(roots.process(pid));
    pid = stat ? stat->parent : 0;
  }
  return line;
}

}  // namespace

NeverTouch::NeverTouch(HostRoots roots, std::vector<std::string> more, Pid self)
    : roots_(std::move(roots)), more_(std::move(more)), self_(self) {}

Status NeverTouch::check(Pid pid) const {
  return check(std::vector<Pid>{pid});
}

Status NeverTouch::check(const std::vector<Pid>& processes) const {
  const std::vector<Pid> own = with_ancestors(self_, roots_);
  for (const Pid pid : processes) {
    const auto never = [pid](std::string_view who) {
      return Error{fmt::format("process {} is {}, which is never touched", pid, who)};
    };
    if (pid <= 1) return never("the host's first process");
    if (std::find(own.begin(), own.end(), pid) != own.end()) return never("the agent, or what it runs in");
    const auto stat = proc::read_stat(roots_.process(pid));
    if (!stat) continue;  // ended meanwhile
    if (stat->kernel_thread) return never("a thread of the kernel");
    std::error_code unreadable;
    std::string path = std::filesystem::read_symlink(roots_.process(pid) / "exe", unreadable);
    if (path.ends_with(replaced)) path.resize(path.size() - replaced.size());
    for (const std::string& name : {stat->name, path.substr(path.rfind('/') + 1), path})
      if (matches(protected_names, name) || matches(more_, name)) return never(name);
    for (const proc::CgroupLine& line : proc::read_cgroups(roots_.process(pid)))
      if (matches(more_, line.path)) return never("in " + line.path);
  }
  return success();
}

}  // namespace inferscope::act
