// SPDX-License-Identifier: Apache-2.0
#include "source/host_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/clock.h"
#include "core/parse_number.h"
#include "core/proc_stat.h"
#include "model/proc_target.h"
#include "model/time_math.h"

namespace inferscope::source {
namespace {

namespace fs = std::filesystem;
constexpr Duration thread_look_interval = std::chrono::seconds(2);
constexpr Duration often_after_work = std::chrono::seconds(30);
constexpr Duration idle_interval = std::chrono::seconds(1);
/// A thread that waits for more than this share of its time is worth asking who has its processor.
constexpr double contended_share = 0.1;
constexpr Duration rival_window_least = std::chrono::milliseconds(150);
/// A scan is old when the next one comes so much later than it could have.
constexpr Duration rival_slack = std::chrono::seconds(2);
/// Looking at all processes, or all connections, may take at most 1/200 of the time, however many they are. Of
/// processor time: on a contended host, which is where this is needed, the wall clock would count others' work as ours.
constexpr int pause_factor = 200;

/// The value behind `key` in a file of "key value" lines.
std::optional<std::uint64_t> value_of(std::string_view text, std::string_view key) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ')
      return parse_number<std::uint64_t>(line.substr(key.size() + 1));
    at = end + 1;
  }
  return std::nullopt;
}

/// Those of the process's own, out of all of its network namespace: whose one is, only the descriptors tell. They are
/// read only while something waits, which on most hosts is hardly ever.
std::vector<proc::TcpSocket> own_with_waiting(const fs::path& process, std::vector<proc::TcpSocket> sockets) {
  std::erase_if(sockets, [](const proc::TcpSocket& one) { return one.waiting == 0; });
  std::vector<proc::TcpSocket> own;
  std::error_code error;
  if (sockets.empty()) return own;
  for (fs::directory_iterator it(process / "fd", error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    const std::string target = fs::read_symlink(it->path(), gone).string();
    constexpr std::string_view prefix = "socket:[";
    if (!target.starts_with(prefix)) continue;
    const auto inode = parse_number<std::uint64_t>(std::string_view(target).substr(prefix.size()));
    const auto found =
        std::find_if(sockets.begin(), sockets.end(), [&](const auto& one) { return inode == one.inode; });
    if (found == sockets.end()) continue;
    own.push_back(*found);
    sockets.erase(found);  // it may have several descriptors
  }
  return own;
}

bool is_frozen(const proc::CgroupPlace& place) {
  if (place.version == 2) return value_of(proc::read_text(place.folder() / "cgroup.events"), "frozen") == 1;
  return place.version == 1 && proc::read_text(place.folder() / "freezer.state").starts_with("FROZEN");
}

std::uint64_t throttled_ns_of(const proc::CgroupPlace& place) {
  if (place.version == 0) return 0;
  const std::string text = proc::read_text(place.folder() / "cpu.stat");
  if (place.version == 1) return value_of(text, "throttled_time").value_or(0);
  return value_of(text, "throttled_usec").value_or(0) * 1000;
}

/// "some avg10=0.00 avg60=0.00 avg300=0.00 total=MICROSECONDS"
std::optional<std::uint64_t> some_us(const fs::path& file) {
  const std::string text = proc::read_text(file);
  const std::string_view line = std::string_view(text).substr(0, text.find('\n'));
  constexpr std::string_view key = " total=";
  const std::size_t at = line.find(key);
  if (!line.starts_with("some ") || at == std::string_view::npos) return std::nullopt;
  return parse_number<std::uint64_t>(line.substr(at + key.size()));
}

/// Version 1 writes a number near 2^63 for none, version 2 "max".
std::uint64_t memory_limit_of(const proc::CgroupPlace& place) {
  if (place.version == 0) return 0;
  const std::string text =
      proc::read_text(place.folder() / (place.version == 1 ? "memory.limit_in_bytes" : "memory.max"));
  const auto limit = parse_number<std::uint64_t>(text).value_or(0);
  return limit < std::uint64_t{1} << 62 ? limit : 0;
}

std::uint64_t memory_refusals_of(const proc::CgroupPlace& place) {
  if (place.version == 1)
    return parse_number<std::uint64_t>(proc::read_text(place.folder() / "memory.failcnt")).value_or(0);
  const std::string text = proc::read_text(place.folder() / "memory.events");
  return value_of(text, "high").value_or(0) + value_of(text, "max").value_or(0);
}

Duration grown(std::uint64_t before, std::uint64_t after) {
  return Duration{after > before ? static_cast<std::int64_t>(after - before) : 0};
}

}  // namespace

HostSampler::HostSampler(fs::path proc, proc::CgroupMounts mounts)
    : proc_(std::move(proc)), mounts_(std::move(mounts)) {}

void HostSampler::follow(Pid pid) {
  if (auto target = process_target(pid, mounts_, proc_))
    followed_.insert_or_assign(pid, Followed{std::move(*target), proc::TcpSockets(proc_ / std::to_string(pid))});
}

/// Processes are moved after they were started, by container runtimes among others.
void HostSampler::look_at_cgroups(Followed& followed) const {
  const auto lines = proc::read_cgroups(proc_ / std::to_string(followed.target.pid));
  followed.cpu = mounts_.place_of(lines, "cpu").value_or(proc::CgroupPlace{});
  followed.freezer = mounts_.place_of(lines, "freezer").value_or(proc::CgroupPlace{});
  followed.memory = mounts_.place_of(lines, "memory").value_or(proc::CgroupPlace{});
  followed.unified = mounts_.place_of(lines, "").value_or(proc::CgroupPlace{});
  followed.memory_limit = memory_limit_of(followed.memory);
  followed.target.cgroup = followed.cpu.path;
  followed.target.cgroup_id = followed.cpu.version == 0 ? 0 : proc::cgroup_id(followed.cpu);
}

void HostSampler::forget(Pid pid) {
  followed_.erase(pid);
}

/// /proc/PID/task/TID/schedstat: nanoseconds on a processor, nanoseconds waiting for one, time slices.
void HostSampler::look_at_threads(Followed& followed, Time now) const {
  const fs::path tasks = proc_ / std::to_string(followed.target.pid) / "task";
  std::map<Tid, Thread> threads;
  std::error_code error;
  for (fs::directory_iterator it(tasks, error), end; !error && it != end; it.increment(error)) {
    const auto tid = parse_number<std::uint64_t>(it->path().filename().string());
    const std::string text = proc::read_text(it->path() / "schedstat");
    const auto ran = parse_number<std::uint64_t>(text);
    const auto blank = text.find(' ');
    if (!tid || !ran || blank == std::string::npos) continue;
    threads[static_cast<Tid>(*tid)] = {
        *ran, parse_number<std::uint64_t>(std::string_view(text).substr(blank + 1)).value_or(0)};
  }
  Tid busiest = followed.target.pid;
  std::uint64_t most = 0;
  for (const auto& [tid, thread] : threads) {
    const auto earlier = followed.threads.find(tid);
    const Thread base = earlier == followed.threads.end() ? Thread{} : earlier->second;
    const std::uint64_t used = (thread.ran_ns - base.ran_ns) + (thread.waited_ns - base.waited_ns);
    if (used > most) {
      most = used;
      busiest = tid;
    }
  }
  if (busiest != followed.busiest) {
    followed.busiest = busiest;
    const auto known = threads.find(busiest);
    followed.before = known == threads.end() ? Thread{} : known->second;
    followed.sampled.reset();  // what it did before is not known
  }
  followed.threads = std::move(threads);
  followed.next_look = now + thread_look_interval;
}

std::uint32_t HostSampler::waiting_connections(Followed& followed, const ProcessSample& sample, Time now) const {
  const fs::path folder = proc_ / std::to_string(followed.target.pid);
  std::uint32_t waiting = 0;
  for (const auto& listener : own_with_waiting(folder, followed.tcp.read(proc::TcpRole::listener)))
    waiting += listener.waiting;
  if (!sample.held()) {
    followed.unread = 0;
    followed.next_unread_look = now;
  } else if (now >= followed.next_unread_look) {
    const Duration began = own_cpu_time();
    const auto unread = own_with_waiting(folder, followed.tcp.read(proc::TcpRole::connection));
    followed.unread = static_cast<std::uint32_t>(unread.size());
    followed.next_unread_look = now + (own_cpu_time() - began) * pause_factor;
  }
  return waiting + followed.unread;
}

/// Of its cgroup, which has files of its own for it in version 2's hierarchy only; else of the host.
std::optional<HostSampler::Pressures> HostSampler::pressures_of(const Followed& followed) {
  const auto read = [](const fs::path& folder, const char* suffix, bool of_host) -> std::optional<Pressures> {
    const auto cpu = some_us(folder / fmt::format("cpu{}", suffix));
    if (!cpu) return std::nullopt;
    return Pressures{.of_host = of_host,
                     .cpu_us = *cpu,
                     .memory_us = some_us(folder / fmt::format("memory{}", suffix)).value_or(0),
                     .io_us = some_us(folder / fmt::format("io{}", suffix)).value_or(0)};
  };
  if (followed.unified.version == 2 && followed.unified.path != "/")
    if (auto own = read(followed.unified.folder(), ".pressure", false)) return own;
  if (!host_pressures_read_) host_pressures_ = read(proc_ / "pressure", "", true);
  host_pressures_read_ = true;
  return host_pressures_;
}

void HostSampler::sample_memory(Followed& followed, ProcessSample& sample) {
  const auto pressures = pressures_of(followed);
  const std::uint64_t refusals = followed.memory.version == 0 ? 0 : memory_refusals_of(followed.memory);
  if (followed.sampled && pressures && followed.pressures && pressures->of_host == followed.pressures->of_host) {
    const auto grown_us = [&](std::uint64_t Pressures::*field) {
      return grown(*followed.pressures.*field, *pressures.*field) * 1000;
    };
    sample.pressure = {.of_host = pressures->of_host,
                       .cpu = grown_us(&Pressures::cpu_us),
                       .memory = grown_us(&Pressures::memory_us),
                       .io = grown_us(&Pressures::io_us)};
  }
  if (followed.memory.version != 0)
    sample.memory_bytes =
        parse_number<std::uint64_t>(
            proc::read_text(followed.memory.folder() /
                            (followed.memory.version == 1 ? "memory.usage_in_bytes" : "memory.current")))
            .value_or(0);
  sample.memory_limit = followed.memory_limit;
  if (followed.sampled && refusals > followed.memory_refusals)
    sample.memory_refusals = refusals - followed.memory_refusals;
  followed.pressures = pressures;
  followed.memory_refusals = refusals;
}

bool HostSampler::sample_one(Followed& followed, Time now, ProcessSample& sample) {
  const fs::path folder = proc_ / std::to_string(followed.target.pid);
  const auto stat = proc::read_stat(folder);
  if (!stat || stat->start_time_ns != followed.target.start_time_ns) return false;
  if (now >= followed.next_look) {
    look_at_threads(followed, now);
    look_at_cgroups(followed);
  }
  const std::string text = proc::read_text(folder / "task" / std::to_string(followed.busiest) / "schedstat");
  const auto blank = text.find(' ');
  Thread thread = followed.before;
  if (const auto ran = parse_number<std::uint64_t>(text); ran && blank != std::string::npos)
    thread = {*ran, parse_number<std::uint64_t>(std::string_view(text).substr(blank + 1)).value_or(0)};
  else
    followed.next_look = now;  // the thread ended
  const std::uint64_t throttled = throttled_ns_of(followed.cpu);
  sample.process = followed.target;
  sample.state = stat->state;
  sample.frozen = is_frozen(followed.freezer);
  sample.thread = followed.busiest;
  if (followed.sampled) {
    sample.interval = elapsed(*followed.sampled, now);
    sample.ran = grown(followed.before.ran_ns, thread.ran_ns);
    sample.waited = grown(followed.before.waited_ns, thread.waited_ns);
    sample.throttled = grown(followed.throttled_ns, throttled);
  }
  sample_memory(followed, sample);
  sample.waiting_connections = waiting_connections(followed, sample, now);
  followed.before = thread;
  followed.throttled_ns = throttled;
  followed.sampled = now;
  return true;
}

/// Who ran on the processor of each thread that waits: the process that used most time since the scan before and was
/// last seen there. A first contended sample only begins to look.
void HostSampler::find_rivals(std::vector<ProcessSample>& samples, Time now) {
  const auto contended = [](const ProcessSample& sample) {
    return sample.interval > Duration::zero() &&
           to_seconds(sample.waited) > contended_share * to_seconds(sample.interval);
  };
  if (now < next_scan_ || std::none_of(samples.begin(), samples.end(), contended)) return;
  const Duration window = elapsed(scan_.time, now);
  const bool comparable = !scan_.cpu_ns.empty() && window >= rival_window_least && now <= next_scan_ + rival_slack;
  if (!scan_.cpu_ns.empty() && window < rival_window_least) return;
  const Duration began = own_cpu_time();
  struct Used {
    Pid pid = 0;
    int processor = -1;
    Duration ran{};
  };
  std::vector<Used> users;
  HostScan fresh{now, {}};
  std::error_code error;
  for (fs::directory_iterator it(proc_, error), end; !error && it != end; it.increment(error)) {
    const auto pid = parse_number<std::uint64_t>(it->path().filename().string());
    const auto stat = pid ? proc::read_stat(it->path()) : std::nullopt;
    if (!stat || stat->kernel_thread) continue;
    fresh.cpu_ns[stat->pid] = stat->cpu_ns;
    const auto before = scan_.cpu_ns.find(stat->pid);
    if (before != scan_.cpu_ns.end())
      users.push_back({stat->pid, stat->processor, grown(before->second, stat->cpu_ns)});
  }
  for (ProcessSample& sample : samples) {
    if (!comparable || !contended(sample)) continue;
    const auto own =
        proc::read_stat(proc_ / std::to_string(sample.process.pid) / "task" / std::to_string(sample.thread));
    const Used* most = nullptr;
    for (const Used& user : users)
      if (own && user.pid != sample.process.pid && user.processor == own->processor && (!most || user.ran > most->ran))
        most = &user;
    if (!most || most->ran <= Duration::zero()) continue;
    if (auto target = process_target(most->pid, mounts_, proc_))
      // Scaled to this sample's time, so that it compares with what the thread waited.
      sample.rival = {std::move(*target),
                      Duration{static_cast<std::int64_t>(static_cast<double>(most->ran.count()) *
                                                         to_seconds(sample.interval) / to_seconds(window))}};
  }
  scan_ = std::move(fresh);
  next_scan_ = now + (own_cpu_time() - began) * pause_factor;
}

void HostSampler::sample(Time now, const std::set<Pid>& busy, const Emit<Event>& emit) {
  std::vector<ProcessSample> samples;
  host_pressures_read_ = false;
  for (auto& [pid, followed] : followed_) {
    if (busy.contains(pid)) followed.often_until = now + often_after_work;
    if (now >= followed.often_until && now < followed.next_anyway) continue;
    followed.next_anyway = now + idle_interval;
    ProcessSample sample;
    if (sample_one(followed, now, sample)) samples.push_back(std::move(sample));
  }
  find_rivals(samples, now);
  for (ProcessSample& sample : samples) emit({now, std::move(sample)});
}

}  // namespace inferscope::source
