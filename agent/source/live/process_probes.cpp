// SPDX-License-Identifier: Apache-2.0
#include "source/live/process_probes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace inferscope::source {
namespace {

/// BPF_LINK_CREATE of BPF_TRACE_UPROBE_MULTI: one link for many places of a file (include/uapi/linux/bpf.h from
/// Linux 6.6 on; the headers of older distributions do not have it). Taking a link out makes the kernel wait for a
/// grace period, for one link after the other on the whole host: the fewer there are, the sooner an agent is gone.
struct MultiLinkCall {
  std::uint32_t program = 0;
  std::uint32_t target = 0;
  std::uint32_t attach_type = 0;
  std::uint32_t link_flags = 0;
  std::uint64_t path = 0;
  std::uint64_t offsets = 0;
  std::uint64_t reference_counters = 0;
  std::uint64_t cookies = 0;
  std::uint32_t count = 0;
  std::uint32_t flags = 0;
  std::uint32_t pid = 0;
  std::uint32_t padding = 0;
};
constexpr std::uint32_t multi_attach_type = 48;
constexpr std::uint32_t multi_at_return = 1;

template <class T>
std::uint64_t address_of(const T* data) {
  return reinterpret_cast<std::uintptr_t>(data);
}

int create_multi_link(int program, const std::string& path, const std::vector<std::uint64_t>& offsets,
                      const std::vector<std::uint64_t>& cookies, std::uint32_t pid, bool at_return) {
  MultiLinkCall call{.program = static_cast<std::uint32_t>(program),
                     .attach_type = multi_attach_type,
                     .path = address_of(path.c_str()),
                     .offsets = address_of(offsets.data()),
                     .cookies = address_of(cookies.data()),
                     .count = static_cast<std::uint32_t>(offsets.size()),
                     .flags = at_return ? multi_at_return : 0,
                     .pid = pid};
  return static_cast<int>(syscall(__NR_bpf, BPF_LINK_CREATE, &call, sizeof(call)));
}

/// Whether the kernel has such links and keeps them to a process. The first that had them kept them to a thread; those
/// that do it right refuse a negative number, which is how libbpf tells them apart, too.
bool has_multi_links() {
  static const bool has = [] {
    const std::array<bpf_insn, 2> nothing{
        {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
    LIBBPF_OPTS(bpf_prog_load_opts, options);
    options.expected_attach_type = static_cast<bpf_attach_type>(multi_attach_type);
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_KPROBE, "probe", "GPL", nothing.data(), nothing.size(), &options));
    if (!program) return false;
    const auto error_of = [&](std::uint32_t pid) {
      const Fd link(create_multi_link(program.get(), "/", {0}, {0}, pid, false));
      return link ? 0 : errno;
    };
    return error_of(0) == EBADF && error_of(UINT32_MAX) == EINVAL;
  }();
  return has;
}

}  // namespace

bool has_cookies() {
  static const bool has = libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_get_attach_cookie, nullptr) == 1;
  return has;
}

void prepare_process_probe(bpf_program* program) {
  if (has_multi_links())
    bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(multi_attach_type));
}

ProcessProbes::Link::~Link() {
  if (one_) bpf_link__destroy(one_);
}

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
  void take(Links links) {
    {
      const std::lock_guard lock(mutex_);
      links_.insert(links_.end(), std::make_move_iterator(links.begin()), std::make_move_iterator(links.end()));
    }
    changed_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return ending_ || !links_.empty(); });
      if (links_.empty()) return;
      Links links = std::exchange(links_, {});
      lock.unlock();
      links.clear();
      lock.lock();
    }
  }

  std::mutex mutex_{};
  std::condition_variable changed_{};
  Links links_{};
  bool ending_ = false;
  std::thread thread_;
};

ProcessProbes::ProcessProbes() : reaper_(std::make_unique<Reaper>()) {}

ProcessProbes::~ProcessProbes() {
  while (!links_.empty()) detach(links_.begin()->first.first);
}

Status ProcessProbes::attach(bpf_object* object, const ProbeSet& set) {
  struct Places {
    std::vector<std::uint64_t> offsets{};
    std::vector<std::uint64_t> cookies{};
  };
  // Programs in the order in which they come first.
  std::vector<std::pair<std::pair<std::string_view, bool>, Places>> groups;
  for (const ProcessProbe& probe : set.probes) {
    const std::pair key(std::string_view(probe.program), probe.at_return);
    const auto found = std::find_if(groups.begin(), groups.end(), [&](const auto& one) { return one.first == key; });
    Places& places = found == groups.end() ? groups.emplace_back(key, Places{}).second : found->second;
    places.offsets.push_back(probe.offset);
    places.cookies.push_back(probe.cookie);
  }

  Links links;
  int error = 0;
  const auto put = [&](const bpf_program* program, const Places& places, bool at_return) {
    if (has_multi_links()) {
      Fd link(create_multi_link(bpf_program__fd(program), set.path, places.offsets, places.cookies,
                                static_cast<std::uint32_t>(set.pid), at_return));
      if (!link) return errno;
      links.push_back(std::make_unique<Link>(std::move(link)));
      return 0;
    }
    for (std::size_t i = 0; i < places.offsets.size(); ++i) {
      LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = at_return);
      if (has_cookies()) options.bpf_cookie = places.cookies[i];
      bpf_link* link = bpf_program__attach_uprobe_opts(program, set.pid, set.path.c_str(), places.offsets[i], &options);
      if (!link) return errno;
      links.push_back(std::make_unique<Link>(link));
    }
    return 0;
  };
  for (const auto& [key, places] : groups) {
    error = put(bpf_object__find_program_by_name(object, std::string(key.first).c_str()), places, key.second);
    if (error != 0) break;
  }
  auto& all = links_[{set.pid, set.part}];
  if (error == 0) {
    all.insert(all.end(), std::make_move_iterator(links.begin()), std::make_move_iterator(links.end()));
    return success();
  }
  std::reverse(links.begin(), links.end());
  reaper_->take(std::move(links));  // those on other files of the process stay
  return Error{fmt::format("no probe on {} of process {}: {}", set.name, set.pid, strerror(error))};
}

void ProcessProbes::detach(Pid pid) {
  for (const ProbePart part : {ProbePart::tls, ProbePart::gpu_waits, ProbePart::gpu_work}) detach(pid, part);
}

void ProcessProbes::detach(Pid pid, ProbePart part) {
  const auto found = links_.find({pid, part});
  if (found == links_.end()) return;
  std::reverse(found->second.begin(), found->second.end());  // entries first
  reaper_->take(std::move(found->second));
  links_.erase(found);
}

}  // namespace inferscope::source
