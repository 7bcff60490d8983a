// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "cli/api_client.h"
#include "cli/cli.h"
#include "cli/status_view.h"
#include "core/cgroup_mounts.h"
#include "policy/describe.h"
#include "runtime/agent.h"
#include "runtime/config.h"
#include "runtime/responder.h"
#include "source/live/live_source.h"

namespace inferscope::cli {
namespace {

struct DoctorOptions {
  std::string config{};
  bool all = false;
};

/// What no probe of this version shows, whatever the kernel.
struct Blind {
  const char* what;
  const char* remedy;
};
constexpr Blind blind_spots[] = {
    {"content of io_uring transfers", "lengths and times are counted; such requests are marked incomplete"},
    {"TLS of Java, rustls and stripped BoringSSL", "bytes and times only; read the plain side of a proxy on this host"},
    {"32-bit programs' system calls", "none: tracepoints do not fire for them"},
    {"what happens between processes in shared memory", "none in this version"},
    {"when a GPU begins and ends a kernel", "what is handed over is seen, and when its process knew that it was done"},
    {"Vulkan past its loader (vkGetDeviceProcAddr)", "calls to the kernel's driver are counted"},
    {"processes that send each other pickled objects", "newer versions of SGLang do not; HTTP is seen as always"},
};

void print_kernel() {
  utsname system{};
  uname(&system);
  fmt::print("Host\n  {:<14} {} {} ({})\n", "kernel", system.sysname, system.release, system.machine);
  fmt::print("  {:<14} {}\n", "types (BTF)",
             access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? "yes" : "no: CONFIG_DEBUG_INFO_BTF is missing");
  fmt::print("  {:<14} {}\n\n", "user", geteuid() == 0 ? "root" : "not root: probes cannot be loaded");
}

int print_probes(const runtime::Config& config) {
  fmt::print("Probes\n");
  auto source = source::LiveSource::open(runtime::live_options(config));
  if (!source) {
    fmt::print("  none: {}\n\n", source.error().text());
    return source.error().kind == Error::Kind::not_permitted ? exit_not_permitted : exit_failed;
  }
  const auto capabilities = (*source)->capabilities();
  for (const auto& capability : capabilities)
    fmt::print("  {:<14} {:<4} {}{}\n", capability.name, capability.active ? "on" : "off", capability.gives,
               capability.problem.empty() ? "" : "\n                      " + capability.problem);
  fmt::print("\n");
  const bool blind = std::any_of(capabilities.begin(), capabilities.end(),
                                 [](const source::Capability& one) { return one.essential && !one.active; });
  return blind ? exit_failed : exit_done;
}

const char* name_of(discover::Verdict verdict) {
  switch (verdict) {
    case discover::Verdict::watched:
      return "watched";
    case discover::Verdict::sampled:
      return "sampled";
    case discover::Verdict::ignored:
      return "ignored";
    case discover::Verdict::none:
      break;
  }
  return "not watched";
}

/// "TLS in libssl.so.3 (.dynsym): SSL_read, SSL_write"
template <class Library>
void print_library(const char* what, const Library& library) {
  std::string functions;
  for (const auto& probe : library.probes) functions += (functions.empty() ? "" : ", ") + probe.symbol;
  fmt::print("  {:<37} {} {}: {}\n", "", what, describe(library),
             library.problem.empty() ? functions : library.problem);
}

/// What can be read of a process's encrypted connections, and by which functions.
void print_tls(discover::TlsWatch& tls, Pid pid) {
  tls.follow(pid, Time{});
  while (tls.tick(Time{}, [](const TlsLibrary& library) { print_library("TLS in", library); })) {
  }
  tls.forget(pid);
}

/// By which functions what a process hands to GPUs can be seen.
void print_gpu(discover::GpuWatch& gpu, Pid pid) {
  const auto print = [](const GpuLibrary& library) { print_library("GPU by", library); };
  gpu.follow(pid, Time{});
  gpu.tick(Time{}, print);
  gpu.tick(Time{} + std::chrono::hours(1), print);  // those that wait for others to come
  gpu.forget(pid);
}

void print_candidates(const runtime::Config& config, bool all) {
  discover::Discovery discovery(config.watch, discover::ProcReader(), {});
  fmt::print("Processes\n");
  std::size_t shown = 0, sampled = 0;
  discover::TlsWatch tls;  // one for all: many may run the same program
  discover::GpuWatch gpu;
  for (const auto& candidate : discovery.candidates()) {
    if (candidate.verdict == discover::Verdict::sampled) {
      ++sampled;
      if (!all) continue;
    }
    fmt::print("  {:<8} {:<18} {:<9} {}\n", candidate.process.pid, candidate.process.name.substr(0, 18),
               name_of(candidate.verdict), candidate.reason);
    if (candidate.verdict == discover::Verdict::watched) {
      print_tls(tls, candidate.process.pid);
      print_gpu(gpu, candidate.process.pid);
    }
    ++shown;
  }
  if (shown == 0) fmt::print("  no inference server is running\n");
  if (sampled > 0 && !all)
    fmt::print(
        "  and {} listening processes that are watched once they receive an inference request (--all lists them)\n",
        sampled);
  fmt::print("\n");
}

void print_blind_spots() {
  fmt::print("Not visible\n");
  for (const Blind& blind : blind_spots) fmt::print("  {:<48} {}\n", blind.what, blind.remedy);
  fmt::print("\n");
}

void print_acting(const runtime::Config& config) {
  fmt::print("Acting\n  {:<18} {}\n", "host",
             config.act.armed ? "armed: policies that enforce are carried out"
                              : "not armed: every policy observes (act.armed in the configuration)");
  const auto plan = runtime::load_plan(config);
  if (!plan) {
    fmt::print("  {:<18} {}\n\n", "policies", plan.error().text());
    return;
  }
  for (const policy::Policy& policy : plan->policies)
    fmt::print("  {:<18} {:<8} {}\n", policy.name, policy::name_of(policy.mode), policy::describe(policy.match));
  const auto mounts = proc::CgroupMounts::read();
  for (const char* controller : {"cpu", "freezer"}) {
    const auto place = mounts.place("/", controller);
    fmt::print("  {:<18} {}\n", controller,
               place ? fmt::format("cgroup version {} at {}", place->version, place->mount.string())
                     : "no cgroup hierarchy is mounted: only signals can be sent");
  }
  fmt::print("\n");
}

void print_agent(const std::string& socket) {
  fmt::print("Agent\n");
  const auto status = ask_agent(socket, "/v1/status", [](std::string_view line) {
    fmt::print("{}", status_text(line));
    return true;
  });
  if (!status) fmt::print("  not running: {}\n", status.error().text());
}

int doctor(const DoctorOptions& options) {
  auto config = runtime::load_config(options.config);
  if (!config) return fail(config.error());
  print_kernel();
  const int result = print_probes(*config);
  print_candidates(*config, options.all);
  print_blind_spots();
  print_acting(*config);
  print_agent(config->api.socket);
  return result;
}

}  // namespace

void add_doctor(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand(
      "doctor", "What this kernel and host allow, which processes are watched, and what is not visible");
  const auto options = std::make_shared<DoctorOptions>();
  command->add_option("-c,--config", options->config, "Configuration file (YAML)")->check(CLI::ExistingFile);
  command->add_flag("-a,--all", options->all, "Every process that listens, too");
  command->callback([options, &chosen] { chosen = [options] { return doctor(*options); }; });
}

}  // namespace inferscope::cli
