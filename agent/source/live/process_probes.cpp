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
  const auto place = [&](const char* program, const TlsProbe& probe, bool at_return) {
    LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = at_return);
    bpf_link* link = bpf_program__attach_uprobe_opts(bpf_object__find_program_by_name(object, program), library.pid,
                                                     library.path.c_str(), probe.offset, &options);
    if (link) links.push_back(link);
    return link != nullptr;
  };
  // Returns first: a call whose beginning was seen must not stay open.
  int error = 0;
  for (const TlsProbe& probe : library.probes)
    if (error == 0 && probe.function != TlsFunction::free && !place(exit_program, probe, true)) error = errno;
  for (const TlsProbe& probe : library.probes)
    if (error == 0 && !place(entry_programs[static_cast<std::size_t>(probe.function)], probe, false)) error = errno;
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
