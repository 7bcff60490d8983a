// SPDX-License-Identifier: Apache-2.0
#include "source/live/bpf_objects.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

extern "C" {
extern const char bpf_sched_begin[], bpf_sched_end[];
extern const char bpf_tcp_begin[], bpf_tcp_end[];
extern const char bpf_memory_begin[], bpf_memory_end[];
extern const char bpf_block_begin[], bpf_block_end[];
extern const char bpf_process_begin[], bpf_process_end[];
extern const char bpf_connection_begin[], bpf_connection_end[];
extern const char bpf_socket_begin[], bpf_socket_end[];
extern const char bpf_uring_begin[], bpf_uring_end[];
extern const char bpf_tls_begin[], bpf_tls_end[];
extern const char bpf_gpu_begin[], bpf_gpu_end[];
extern const char bpf_gpu_driver_begin[], bpf_gpu_driver_end[];
extern const char bpf_gpu_scheduler_begin[], bpf_gpu_scheduler_end[];
extern const char bpf_gpu_fences_begin[], bpf_gpu_fences_end[];
}

namespace inferscope::source {
namespace {

struct Embedded {
  const char* name;
  const char* gives;
  const char* begin;
  const char* end;
  bool essential = true;
  const char* module = nullptr;   ///< of the kernel, without which there is nothing to be seen
  const char* without = nullptr;  ///< what the host has not, where that is not loaded
  bool reads_module = false;      ///< the types that the module has
};

/// One row for each file of bpf/probes. Threads before processes, so that the end of a process's last thread is told
/// before that of the process.
constexpr std::array embedded_objects{
    Embedded{"sched", "when threads run, wait for a processor and sleep", bpf_sched_begin, bpf_sched_end, false},
    Embedded{"process", "fork, exec and exit of processes", bpf_process_begin, bpf_process_end},
    Embedded{"connection", "begin, end and role of connections", bpf_connection_begin, bpf_connection_end},
    Embedded{"socket", "what is sent and received on TCP and unix stream sockets", bpf_socket_begin, bpf_socket_end},
    Embedded{"uring", "length and time of io_uring transfers (their content is not visible)", bpf_uring_begin,
             bpf_uring_end, false},
    Embedded{"tcp", "segments that are sent again", bpf_tcp_begin, bpf_tcp_end, false},
    Embedded{"memory", "when the kernel looks for memory on a thread's time", bpf_memory_begin, bpf_memory_end, false},
    Embedded{"block", "what disks do for processes", bpf_block_begin, bpf_block_end, false},
    Embedded{"tls", "plaintext of OpenSSL, BoringSSL, GnuTLS and Go", bpf_tls_begin, bpf_tls_end, false},
    Embedded{"gpu", "what is handed to GPUs through CUDA, HIP, Level Zero, Vulkan and OpenCL", bpf_gpu_begin,
             bpf_gpu_end, false},
    Embedded{"gpu-driver", "calls to drivers of GPUs in the kernel", bpf_gpu_driver_begin, bpf_gpu_driver_end, false},
    Embedded{"gpu-scheduler", "jobs of GPUs that the kernel schedules: how long they are queued, and run",
             bpf_gpu_scheduler_begin, bpf_gpu_scheduler_end, false, "gpu_sched",
             "no driver of a GPU is loaded that leaves scheduling to the kernel (module gpu_sched)", true},
    Embedded{"gpu-fences", "jobs of GPUs, until they are done", bpf_gpu_fences_begin, bpf_gpu_fences_end, false, "drm",
             "no driver of a GPU is loaded that is one of the kernel's own (DRM)"},
};

std::string error_text(int error) {
  const int code = error < 0 ? -error : error;
  if (code == EPERM || code == EACCES)
    return fmt::format("{} (needs root, or CAP_BPF and CAP_PERFMON)", strerror(code));
  return strerror(code);
}

/// libbpf needs tracefs to attach to tracepoints, and on many machines nobody mounted it. It is mounted where only the
/// calling thread sees it, so nothing is left on the host, whatever becomes of us.
void mount_tracefs_for_this_thread() {
  if (access("/sys/kernel/tracing/events", F_OK) == 0 || access("/sys/kernel/debug/tracing/events", F_OK) == 0) return;
  if (unshare(CLONE_NEWNS) != 0) return;
  mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  mount("tracefs", "/sys/kernel/tracing", "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
}

std::uint32_t power_of_two(std::uint32_t size) {
  std::uint32_t power = 4096;
  while (power < size && power < (1u << 30)) power *= 2;
  return power;
}

/// The question of has_task_storage() in bpf/lib/calls.h: true from Linux 5.13 on.
bool has_task_storage() {
  static const bool has = libbpf_probe_bpf_helper(BPF_PROG_TYPE_TRACEPOINT, BPF_FUNC_for_each_map_elem, nullptr) == 1;
  return has;
}

/// Programs that hand pointers to a function which is verified by itself, as the kernel allows since the same version.
/// Without them the rest of their object is of use; that they are missing shows when they are to be attached.
bool is_too_new(const bpf_program* program) {
  return !has_task_storage() && std::string_view(bpf_program__name(program)).ends_with("mmsg");
}

bool is_module(const std::string& name) {
  return access(("/sys/module/" + name).c_str(), F_OK) == 0;
}

/// Those of what is built in are among the kernel's own.
bool has_types(const std::string& module) {
  return access(("/sys/kernel/btf/" + module).c_str(), F_OK) == 0;
}

constexpr const char* problem_of_types =
    "this kernel does not tell the types of its modules: it is older than 5.11, or built without "
    "CONFIG_DEBUG_INFO_BTF_MODULES";

/// Of programs for one tracepoint under two names, one ends in "_old", and only one can be attached.
std::string_view name_on_new_kernels(const bpf_program* program) {
  constexpr std::string_view old = "_old";
  std::string_view name = bpf_program__name(program);
  if (name.ends_with(old)) name.remove_suffix(old.size());
  return name;
}

void size_map(bpf_map* map, const LiveOptions& options) {
  const std::string_view name = bpf_map__name(map);
  if (name == "events") bpf_map__set_max_entries(map, power_of_two(options.event_ring_bytes));
  if (name == "controls") bpf_map__set_max_entries(map, power_of_two(options.control_ring_bytes));
  if (name == "conns" || name == "wishes") bpf_map__set_max_entries(map, options.connections);
  if (name == "calls_by_task") bpf_map__set_autocreate(map, has_task_storage());
  if (name == "calls_by_thread") bpf_map__set_autocreate(map, !has_task_storage());
  if (name == "scratches") bpf_map__set_max_entries(map, static_cast<std::uint32_t>(libbpf_num_possible_cpus()));
}

/// The last lines that libbpf said about a failure go into the capability's problem, not onto the terminal.
thread_local std::string last_message;

int keep_message(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 512> text{};
  vsnprintf(text.data(), text.size(), format, arguments);
  std::string_view line(text.data());
  while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  if (const auto end = line.find('\n'); end != std::string_view::npos) line = line.substr(0, end);
  if (line.starts_with("libbpf: ")) line.remove_prefix(8);
  last_message = line;
  return 0;
}

}  // namespace

BpfObjects::BpfObjects() {
  libbpf_set_print(keep_message);
}

BpfObjects::~BpfObjects() {
  process_probes_.reset();
  for (Loaded& loaded : objects_)
    for (bpf_link* link : loaded.links) bpf_link__destroy(link);
  for (Loaded& loaded : objects_) bpf_object__close(loaded.object);
}

Status BpfObjects::load(const LiveOptions& options) {
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
    return Error{"this kernel tells no type information (/sys/kernel/btf/vmlinux)",
                 "use a kernel built with CONFIG_DEBUG_INFO_BTF; the kernels of current distributions are"};
  if (geteuid() != 0) return Error{"loading the probes is not permitted", "run as root", Error::Kind::not_permitted};
  for (const Embedded& row : embedded_objects) {
    capabilities_.push_back({.name = row.name, .gives = row.gives, .essential = row.essential});
    const auto status =
        load_one(capabilities_.size() - 1, row.begin, static_cast<std::size_t>(row.end - row.begin), options);
    if (status) continue;
    capabilities_.back().needed = !row.module || is_module(row.module);
    capabilities_.back().problem = !capabilities_.back().needed                 ? row.without
                                   : row.reads_module && !has_types(row.module) ? problem_of_types
                                                                                : status.error().text();
  }
  if (!objects_.empty()) return success();
  return Error{"the kernel took none of the probes: " + capabilities_.front().problem, "'inferscope doctor' says more"};
}

Status BpfObjects::load_one(std::size_t capability, const void* bytes, std::size_t size, const LiveOptions& options) {
  LIBBPF_OPTS(bpf_object_open_opts, open_options, .object_name = capabilities_[capability].name.c_str());
  last_message.clear();
  bpf_object* object = bpf_object__open_mem(bytes, size, &open_options);
  if (!object) return Error{fmt::format("not readable: {}", error_text(errno))};
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (const auto shared = maps_.find(bpf_map__name(map)); shared != maps_.end())
      bpf_map__reuse_fd(map, shared->second);
    else
      size_map(map, options);
  }
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    if (is_too_new(program)) bpf_program__set_autoload(program, false);
    if (bpf_program__type(program) == BPF_PROG_TYPE_KPROBE) prepare_process_probe(program);  // uprobes are of that type
  }
  if (const int error = bpf_object__load(object); error != 0) {
    bpf_object__close(object);
    return Error{fmt::format("refused by the kernel: {} ({})", error_text(error), last_message)};
  }
  bpf_object__for_each_map(map, object) {
    if (bpf_map__fd(map) >= 0) maps_.emplace(bpf_map__name(map), bpf_map__fd(map));
  }
  objects_.push_back({object, capability, {}});
  return success();
}

void BpfObjects::attach() {
  // A thread of its own, because of the private mount.
  std::thread([this] {
    mount_tracefs_for_this_thread();
    for (Loaded& loaded : objects_) attach_one(loaded);
  }).join();
}

void BpfObjects::attach_one(Loaded& loaded) {
  Capability& capability = capabilities_[loaded.capability];
  std::map<std::string_view, std::string> missing;  // what some kernels call otherwise, only once
  std::set<std::string_view> found;
  bpf_program* program = nullptr;
  bool per_process = false;
  bpf_object__for_each_program(program, loaded.object) {
    if (bpf_program__type(program) == BPF_PROG_TYPE_KPROBE) {
      per_process = true;
      continue;
    }
    bpf_link* link = bpf_program__attach(program);
    const std::string_view name = name_on_new_kernels(program);
    if (link) {
      loaded.links.push_back(link);
      found.insert(name);
    } else {
      missing.emplace(name, fmt::format("{}: {}", bpf_program__name(program), error_text(errno)));
    }
  }
  capability.active = !loaded.links.empty() || per_process;
  std::string all;
  for (const auto& [name, why] : missing)
    if (!found.contains(name)) all += (all.empty() ? "not attached: " : ", ") + why;
  capability.problem = std::move(all);
}

Status BpfObjects::attach(std::string_view capability, const ProbeSet& probes) {
  for (const Loaded& loaded : objects_)
    if (capabilities_[loaded.capability].name == capability) {
      if (!process_probes_) process_probes_ = std::make_unique<ProcessProbes>();
      return process_probes_->attach(loaded.object, probes);
    }
  return Error{fmt::format("the probes of '{}' are not available", capability), "'inferscope doctor' says why"};
}

void BpfObjects::detach(Pid pid) {
  if (process_probes_) process_probes_->detach(pid);
}

void BpfObjects::detach(Pid pid, ProbePart part) {
  if (process_probes_) process_probes_->detach(pid, part);
}

int BpfObjects::map_fd(const std::string& name) const {
  const auto found = maps_.find(name);
  return found == maps_.end() ? -1 : found->second;
}

std::vector<ProgramCost> BpfObjects::program_costs() const {
  std::vector<ProgramCost> costs;
  for (const Loaded& loaded : objects_) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, loaded.object) {
      bpf_prog_info info{};
      std::uint32_t size = sizeof(info);
      if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0)
        costs.push_back({bpf_program__name(program), info.run_cnt, info.run_time_ns});
    }
  }
  return costs;
}

}  // namespace inferscope::source
