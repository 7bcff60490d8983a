// SPDX-License-Identifier: Apache-2.0
#include "cli/event_view.h"

#include <fmt/format.h>

#include <array>

#include "model/text.h"
#include "model/time_math.h"

namespace inferscope::cli {
namespace {

constexpr std::array role_names{"unknown", "client", "server"};
constexpr std::array close_reasons{"closed", "reset", "process exited", "forgotten"};
constexpr std::array cut_names{"", "transfer limit", "connection limit", "switched off", "unreadable", "fault"};

const char* name_of(Direction direction) {
  return direction == Direction::received ? "received" : "sent";
}

std::string text_of(const Endpoint& endpoint) {
  return endpoint.family == Family::unix_stream ? "unix:" + endpoint.address
                                                : fmt::format("{}:{}", endpoint.address, endpoint.port);
}

constexpr std::array wait_names{"on",       "a futex",       "events",         "input",  "room to send", "time",
                                "a device", "a disk (call)", "a disk (fault)", "memory", "something"};
constexpr std::array run_endings{"slept", "woke another", "was preempted", "exited"};
constexpr std::array api_names{"CUDA", "CUDA runtime", "NCCL", "HIP", "HSA", "Level Zero", "Vulkan", "OpenCL"};
constexpr std::array failure_names{"out of memory", "illegal address", "launch failure", "device lost", "failed"};
constexpr std::array driver_names{"nvidia", "kfd", "drm"};
constexpr std::array level_names{"in full", "without single calls", "by waits only", "not at all"};

template <class Names, class Enum>
auto name_in(const Names& names, Enum value) {
  return names[static_cast<std::size_t>(value)];
}

std::string milliseconds(Duration duration) {
  return fmt::format("{:.3f} ms", to_seconds(duration) * 1e3);
}

struct Describe {
  std::string operator()(const ProcessStarted& body) const {
    return fmt::format("process {} started: {} ({})", body.pid, body.name, body.reason);
  }
  std::string operator()(const ProcessExited& body) const {
    return fmt::format("process {} exited: code {}, signal {}", body.pid, body.exit_code, body.signal);
  }
  std::string operator()(const ConnectionOpened& body) const {
    const Connection& connection = body.connection;
    return fmt::format("connection {} opened: {} of process {}, {} <- {}{}", connection.id,
                       role_names[static_cast<std::size_t>(connection.role)], connection.pid, text_of(connection.local),
                       text_of(connection.remote), connection.mid_stream ? ", was open before" : "");
  }
  std::string operator()(const ConnectionHalfClosed& body) const {
    return fmt::format("connection {} {} side ended", body.id, name_of(body.direction));
  }
  std::string operator()(const ConnectionClosed& body) const {
    return fmt::format("connection {} {}: {} bytes received, {} sent", body.id,
                       close_reasons[static_cast<std::size_t>(body.reason)], body.received_bytes, body.sent_bytes);
  }
  std::string operator()(const Transfer& body) const {
    const char* cut = cut_names[static_cast<std::size_t>(body.cut)];
    return fmt::format("connection {} {} {} bytes at {} (thread {}, took {} us){}{}", body.connection,
                       name_of(body.direction), body.length, body.position, body.tid,
                       elapsed(body.begin, body.end) / std::chrono::microseconds(1), *cut ? ", content cut: " : "",
                       cut);
  }
  std::string operator()(const EventsLost& body) const {
    return fmt::format("{} events lost: {}", body.count, body.reason);
  }
  std::string operator()(const ClockSet& body) const {
    return fmt::format("clock: Unix time is {} ns ahead", body.unix_minus_kernel_ns);
  }
  std::string operator()(const ProcessSample& body) const {
    const std::string rival = body.rival
                                  ? fmt::format(", its processor used by {} (pid {}) for {}", body.rival->process.name,
                                                body.rival->process.pid, milliseconds(body.rival->ran))
                                  : std::string();
    std::string text = fmt::format(
        "process {} state {}{}: in {} thread {} ran {}, waited {}; throttled {}; {} connections not accepted{}",
        body.process.pid, body.state, body.frozen ? " (frozen)" : "", milliseconds(body.interval), body.thread,
        milliseconds(body.ran), milliseconds(body.waited), milliseconds(body.throttled), body.waiting_connections,
        rival);
    if (body.memory_bytes > 0) text += fmt::format("; {} bytes of memory", body.memory_bytes);
    if (body.memory_limit > 0) text += fmt::format(" of {}", body.memory_limit);
    if (body.memory_refusals > 0) text += fmt::format(", at a limit {} times", body.memory_refusals);
    if (body.pressure)
      text += fmt::format("; its {} wanted for processors {}, memory {}, disks {}",
                          body.pressure->of_host ? "host" : "cgroup", milliseconds(body.pressure->cpu),
                          milliseconds(body.pressure->memory), milliseconds(body.pressure->io));
    return text;
  }
  std::string operator()(const ThreadRun& body) const {
    std::string text = fmt::format("thread {} of {}", body.tid, body.pid);
    if (body.wait == ThreadRun::Wait::none)
      text += " went on";
    else
      text += fmt::format(" waited {} for {}", milliseconds(elapsed(body.slept, body.woken)),
                          name_in(wait_names, body.wait));
    if (body.waker_tid != 0) text += fmt::format(", woken by thread {} of {}", body.waker_tid, body.waker_pid);
    text += fmt::format(", ran {}, was delayed {}, {}", milliseconds(body.ran), milliseconds(body.delayed),
                        name_in(run_endings, body.ending));
    if (body.sleeps > 0) text += fmt::format("; {} sleeps of {}", body.sleeps, milliseconds(body.slept_in_between));
    if (body.major_faults > 0) text += fmt::format("; {} major faults", body.major_faults);
    if (body.longest_delay)
      text += fmt::format("; delayed {} behind {} (pid {})",
                          milliseconds(elapsed(body.longest_delay->begin, body.longest_delay->end)),
                          body.longest_delay->culprit_name, body.longest_delay->culprit);
    return text;
  }
  std::string operator()(const MemoryReclaim& body) const {
    return fmt::format("thread {} of {} looked for memory for {}: {} pages{}", body.tid, body.pid,
                       milliseconds(elapsed(body.begin, body.end)), body.pages,
                       body.of_cgroup ? ", at its cgroup's limit" : "");
  }
  std::string operator()(const DiskUse& body) const {
    return fmt::format("process {} read {} bytes in {} and wrote {} in {} requests to disks: {}, the longest {}",
                       body.pid, body.read_bytes, body.reads, body.written_bytes, body.writes, milliseconds(body.time),
                       milliseconds(body.longest));
  }
  std::string operator()(const Retransmit& body) const {
    return fmt::format("connection {} of process {} sent a segment again", body.connection, body.pid);
  }
  std::string operator()(const SendStall& body) const {
    return fmt::format("connection {} of process {} could not send for {}", body.connection, body.pid,
                       milliseconds(elapsed(body.begin, body.end)));
  }
  std::string operator()(const GpuWork& body) const {
    return fmt::format(
        "thread {} of {}, {}: {} launches, {} graphs, {} copies of {} bytes, {} collectives in {}{}", body.tid,
        body.pid, name_in(api_names, body.api), body.launches, body.graphs, body.copies, body.copied_bytes,
        body.collectives, milliseconds(elapsed(body.begin, body.end)),
        body.ending == GpuWork::Ending::wait
            ? fmt::format(", waited {}, result {}", milliseconds(elapsed(body.wait_begin, body.end)), body.result)
            : std::string(", goes on"));
  }
  std::string operator()(const GpuCall& body) const {
    const auto known = [](std::string_view name) { return name.empty() ? "(not known)" : name; };
    return fmt::format("thread {} of {} called {} of {}, grid {}x{}x{} (one of {})", body.tid, body.pid,
                       known(body.function), known(body.kernel), body.grid[0], body.grid[1], body.grid[2], body.one_of);
  }
  std::string operator()(const GpuFailure& body) const {
    return fmt::format("thread {} of {}: {} of {}: {} ({})", body.tid, body.pid, body.function,
                       name_in(api_names, body.api), name_in(failure_names, body.kind), body.result);
  }
  std::string operator()(const GpuMemory& body) const {
    return fmt::format("process {} has {} bytes of GPU memory ({}), {} at most", body.pid, body.bytes,
                       name_in(api_names, body.api), body.peak_bytes);
  }
  std::string operator()(const GpuDriverUse& body) const {
    const auto driver = name_in(driver_names, body.driver);
    std::string text;
    if (body.calls > 0)
      text = fmt::format("process {} called the {} driver {} times ({} failed): {}, the longest {}", body.pid, driver,
                         body.calls, body.failed, milliseconds(body.time), milliseconds(body.longest));
    if (body.jobs > 0)
      text += fmt::format("{}{} jobs of process {} for the {} driver are done: queued {}, running {}",
                          text.empty() ? "" : "; ", body.jobs, body.pid, driver, milliseconds(body.queued),
                          milliseconds(body.running));
    return text;
  }
  std::string operator()(const ProbeLevel& body) const {
    return fmt::format(
        "process {} is seen {} in libraries of GPUs, its threads are {}: its probes cost {:.2f} % of a processor",
        body.pid, name_in(level_names, body.level), body.threads ? "seen" : "not", 100 * body.cost);
  }
};

}  // namespace

std::string event_line(const Event& event) {
  // Names and paths may hold anything, and terminals obey what they are sent.
  return fmt::format("{:.6f} {}", to_seconds(event.time.time_since_epoch()),
                     clean_text(std::visit(Describe{}, event.body), 16384));
}

}  // namespace inferscope::cli
