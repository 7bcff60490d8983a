// SPDX-License-Identifier: Apache-2.0
#include "source/live/process_probes.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <utility>

namespace inferscope::source {
namespace {

/// By TlsFunction.
constexpr std::array entry_programs{"enter_tls_inner", "enter_tls_read",  "enter_tls_write",
                                    "enter_tls_readx", "enter_tls_writx", "enter_tls_free"};
constexpr const char* exit_program = "exit_tls";
/// When a return probe is told, the return address is off the stack.
constexpr std::int64_t return_address_off = -8;

/// A number that the kernel hands to the program with each hit (bpf/probes/tls.bpf.c asks the same): from Linux 5.15
/// on.
bool has_cookies() {
  static const bool has = libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_get_attach_cookie, nullptr) == 1;
  return has;
}

}  // namespace

/// Destroys links on a thread of its own, in the order in which they were given.
class ProcessProbes::Reaper {
 public:
  Reaper() : thread_([this] { run(); }) {}
  ~Reaper() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  void take(std::vector<bpf_link*> links) {
    {
      const std::lock_guard lock(mutex_);
      links_.insert(links_.end(), links.begin(), links.end());
    }
    changed_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return ending_ || !links_.empty(); });
      if (links_.empty()) return;
      const auto links = std::exchange(links_, {});
      lock.unlock();
      for (bpf_link* link : links) bpf_link__destroy(link);
      lock.lock();
    }
  }

  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::vector<bpf_link*> links_{};
  bool ending_ = false;
  std::thread thread_;
};

ProcessProbes::ProcessProbes() : reaper_(std::make_unique<Reaper>()) {}

ProcessProbes::~ProcessProbes() {
  for (auto& [pid, links] : links_) reaper_->take(std::move(links));
}

Status ProcessProbes::attach(bpf_object* object, const TlsLibrary& library) {
  std::vector<bpf_link*> links;
  int error = 0;
  const auto place = [&](const char* program, const ProbePlace& where, bool at_return) {
    if (error != 0) return;
    LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = at_return);
    if (has_cookies()) options.bpf_cookie = static_cast<std::uint64_t>(where.stack);
    bpf_link* link = bpf_program__attach_uprobe_opts(bpf_object__find_program_by_name(object, program), library.pid,
                                                     library.path.c_str(), where.offset, &options);
    if (link)
      links.push_back(link);
    else
      error = errno;
  };
  // Returns first: a call whose beginning was seen must not stay open.
  for (const TlsProbe& probe : library.probes) {
    if (probe.function == TlsFunction::free) continue;
    if (!has_cookies() || probe.exits.empty()) place(exit_program, {probe.return_address, return_address_off}, true);
    if (!has_cookies()) continue;
    for (const ProbePlace& exit : probe.exits) place(exit_program, exit, false);
  }
  for (const TlsProbe& probe : library.probes) {
    const bool anywhere = has_cookies() || probe.entry.stack == 0;
    place(entry_programs[static_cast<std::size_t>(probe.function)], anywhere ? probe.entry : ProbePlace{probe.begin, 0},
          false);
  }
  // Taken out the other way round.
  auto& all = links_[library.pid];
  all.insert(all.begin(), links.rbegin(), links.rend());
  if (error == 0) return success();
  detach(library.pid);
  return Error{fmt::format("no probe on {} of process {}: {}", library.name, library.pid, strerror(error))};
}

void ProcessProbes::detach(Pid pid) {
  const auto found = links_.find(pid);
  if (found == links_.end()) return;
  reaper_->take(std::move(found->second));
  links_.erase(found);
}

}  // namespace inferscope::source
