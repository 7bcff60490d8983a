// SPDX-License-Identifier: Apache-2.0
// Watches one command (and the children it had when it was started) with the whole pipeline in this process, and prints
// one line of JSON: what the kernel side saw, lost and cost, what this process cost, and that the numbers add up.
//   live_bench [--ring BYTES] -- COMMAND…
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/pipeline.h"
#include "source/live/live_source.h"

namespace inferscope {
namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::uint64_t resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::strtoull(line.c_str() + 6, nullptr, 10);
  return 0;
}

int run(const source::LiveOptions& options, char** command) {
  const int statistics = std::getenv("BPF_STATS") ? bpf_enable_stats(BPF_STATS_RUN_TIME) : -1;
  auto opened = source::LiveSource::open(options);
  if (!opened) {
    fmt::print(stderr, "live_bench: {}\n", opened.error().text());
    return 1;
  }
  source::LiveSource& source = **opened;
  int go[2];
  if (pipe(go) != 0) return 1;
  const pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    close(go[1]);
    if (read(go[0], &byte, 1) == 1) execvp(command[0], command);
    _exit(127);
  }
  close(go[0]);
  if (auto status = source.watch({.pid = child, .reason = "bench"}); !status) return 1;

  std::uint64_t traces = 0, tokens = 0, content_events = 0, incomplete = 0, transfers = 0, seen_bytes = 0;
  runtime::Pipeline pipeline(
      [&](const RequestTrace& trace) {
        if (trace.role != Role::server) return;
        ++traces;
        tokens += trace.call.usage.output_tokens.value_or(0);
        content_events += trace.call.response.content_events;
        incomplete += trace.complete ? 0 : 1;
      },
      {}, &source);
  const Emit<Event> take = [&](const Event& event) {
    if (const auto* transfer = std::get_if<Transfer>(&event.body)) {
      ++transfers;
      seen_bytes += transfer->length;
    }
    pipeline.on(event);
  };
  const double cpu_before = cpu_seconds();
  const auto begin = std::chrono::steady_clock::now();
  if (write(go[1], "x", 1) != 1) return 1;
  close(go[1]);
  std::uint64_t resident = 0;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    (void)source.poll(std::chrono::milliseconds(10), take);
    pipeline.tick(source.now());
    resident = std::max(resident, resident_kib());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const double cpu = cpu_seconds() - cpu_before;
  for (int i = 0; i < 5; ++i) (void)source.poll(std::chrono::milliseconds(10), take);
  pipeline.finish(source.now());

  const auto counters = source.counters();
  fmt::print(
      "{{\"seconds\":{:.2f},\"transfers\":{},\"passed\":{},\"lost\":{},\"received_here\":{},\"adds_up\":{},\"bytes\":{}"
      ","
      "\"traces\":{},\"incomplete\":{},\"content_events\":{},\"agent_cpu_seconds\":{:.3f},\"agent_cpu_percent\":{:.2f},"
      "\"agent_us_per_transfer\":{:.3f},\"resident_kib\":{},\"programs\":[",
      took.count(), counters.transfers, counters.transfers_passed, counters.transfers_lost, transfers,
      counters.transfers == counters.transfers_passed + counters.transfers_lost &&
          counters.transfers_passed == transfers,
      seen_bytes, traces, incomplete, content_events, cpu, cpu / took.count() * 100,
      cpu * 1e6 / static_cast<double>(std::max<std::uint64_t>(1, counters.transfers)), resident);
  const char* comma = "";
  for (const auto& program : source.program_costs()) {
    if (program.runs == 0) continue;
    fmt::print("{}{{\"name\":\"{}\",\"runs\":{},\"ns\":{:.0f}}}", comma, program.name, program.runs,
               static_cast<double>(program.total_ns) / static_cast<double>(program.runs));
    comma = ",";
  }
  fmt::print("]}}\n");
  close(statistics);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace
}  // namespace inferscope

int main(int argc, char** argv) {
  inferscope::source::LiveOptions options;
  int i = 1;
  for (; i + 1 < argc && std::string_view(argv[i]) != "--"; i += 2)
    if (std::string_view(argv[i]) == "--ring")
      options.event_ring_bytes = static_cast<std::uint32_t>(std::atol(argv[i + 1]));
  if (i + 1 >= argc) {
    fmt::print(stderr, "usage: live_bench [--ring BYTES] -- COMMAND…\n");
    return 2;
  }
  return inferscope::run(options, argv + i + 1);
}
