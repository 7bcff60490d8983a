// SPDX-License-Identifier: Apache-2.0
#include "source/host_sampler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/support/temp_folder.h"

namespace inferscope::source {
namespace {

using std::chrono::milliseconds;

/// A host with a server (pid 100, threads 100 and 101) and others, in files.
class Host {
 public:
  Host() {
    folder_.write("mountinfo", fmt::format("30 1 0:25 / {0}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                           "31 1 0:26 / {0}/freezer rw - cgroup cgroup rw,freezer\n",
                                           (folder_.path() / "cgroup").string()));
    process(100, "server", 'S', 0, 0);
    thread(100, 0, 0);
    thread(101, 0, 0);
    folder_.write("proc/100/cgroup", "4:cpu,cpuacct:/s\n5:freezer:/s\n0::/\n");
    folder_.write("proc/100/net/tcp", "head\n");
    folder_.write("cgroup/cpu/s/cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n");
    folder_.write("cgroup/freezer/s/freezer.state", "THAWED\n");
  }

  void process(Pid pid, const std::string& name, char state, std::uint64_t cpu_ticks, int processor,
               std::uint64_t start = 7) {
    std::string text =
        fmt::format("{} ({}) {} 1 1 1 0 -1 0 0 0 0 0 {} 0 0 0 20 0 1 0 {}", pid, name, state, cpu_ticks, start);
    for (int field = 23; field < 39; ++field) text += " 0";
    folder_.write(fmt::format("proc/{}/stat", pid), fmt::format("{} {} 0 0\n", text, processor));
  }
  void thread(Tid tid, std::uint64_t ran_ns, std::uint64_t waited_ns, int processor = 0) {
    folder_.write(fmt::format("proc/100/task/{}/schedstat", tid), fmt::format("{} {} 5\n", ran_ns, waited_ns));
    std::string text = fmt::format("{} (server) S 1", tid);
    for (int field = 5; field < 39; ++field) text += " 0";
    folder_.write(fmt::format("proc/100/task/{}/stat", tid), fmt::format("{} {} 0\n", text, processor));
  }
  void write(const std::string& name, const std::string& text) { folder_.write(name, text); }
  void link(const std::string& name, const std::string& target) { folder_.link(name, target); }

  [[nodiscard]] std::string folder(const std::string& name) const { return (folder_.path() / name).string(); }

  [[nodiscard]] HostSampler sampler() const {
    return HostSampler(folder_.path() / "proc", proc::CgroupMounts::read(folder_.path() / "mountinfo"));
  }

 private:
  test::TempFolder folder_{};
};

struct Sampling {
  Host host{};
  HostSampler sampler = host.sampler();
  Time now = time_from_ns(1'000'000'000);

  Sampling() { sampler.follow(100); }
  std::optional<ProcessSample> take(milliseconds after = milliseconds(200)) {
    now += after;
    std::optional<ProcessSample> taken;
    sampler.sample(now, {100}, [&](const Event& event) {
      EXPECT_EQ(event.time, now);
      taken = std::get<ProcessSample>(event.body);
    });
    return taken;
  }
};

TEST(HostSampler, TellsStateTimesAndThrottling) {
  Sampling one;
  auto first = one.take();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->process.name, "server");
  EXPECT_EQ(first->process.cgroup, "/s");
  EXPECT_NE(first->process.cgroup_id, 0u);
  EXPECT_EQ(first->process.start_time_ns, 70'000'000u);
  EXPECT_EQ(first->interval, Duration::zero()) << "nothing to compare with yet";
  one.host.thread(100, 50'000'000, 120'000'000);
  one.host.process(100, "server", 'T', 5, 0);
  one.host.write("cgroup/cpu/s/cpu.stat", "throttled_time 30000000\n");
  one.host.write("cgroup/freezer/s/freezer.state", "FROZEN\n");
  const auto second = one.take();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->state, 'T');
  EXPECT_TRUE(second->frozen);
  EXPECT_EQ(second->interval, milliseconds(200));
  EXPECT_EQ(second->ran, milliseconds(50));
  EXPECT_EQ(second->waited, milliseconds(120));
  EXPECT_EQ(second->throttled, milliseconds(30));
  EXPECT_FALSE(second->rival);
}

TEST(HostSampler, TellsMemoryAndPressure) {
  Sampling one;
  EXPECT_EQ(one.take()->memory_bytes, 0u) << "no such hierarchy";
  const std::string first = one.host.folder("cgroup");
  one.host.write("mountinfo", fmt::format("30 1 0:25 / {0}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                          "31 1 0:26 / {0}/memory rw - cgroup cgroup rw,memory\n"
                                          "32 1 0:27 / {0}/unified rw - cgroup2 cgroup2 rw\n",
                                          first));
  one.host.write("proc/100/cgroup", "4:cpu,cpuacct:/s\n5:memory:/m\n0::/\n");
  one.host.write("cgroup/memory/m/memory.usage_in_bytes", "1000000\n");
  one.host.write("cgroup/memory/m/memory.limit_in_bytes", "2000000\n");
  one.host.write("cgroup/memory/m/memory.failcnt", "5\n");
  const auto pressure = [&](const std::string& folder, const char* suffix, int cpu, int memory, int io) {
    const auto write = [&](const char* of, int total) {
      one.host.write(fmt::format("{}/{}{}", folder, of, suffix),
                     fmt::format("some avg10=0.00 avg60=0.00 avg300=0.00 total={}\n"
                                 "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
                                 total));
    };
    write("cpu", cpu);
    write("memory", memory);
    write("io", io);
  };
  pressure("proc/pressure", "", 1000, 2000, 3000);
  one.sampler = one.host.sampler();
  one.sampler.follow(100);
  auto sample = one.take();
  EXPECT_EQ(sample->memory_bytes, 1'000'000u);
  EXPECT_EQ(sample->memory_limit, 2'000'000u);
  EXPECT_EQ(sample->memory_refusals, 0u) << "nothing to compare with yet";
  EXPECT_FALSE(sample->pressure);
  one.host.write("cgroup/memory/m/memory.failcnt", "8\n");
  pressure("proc/pressure", "", 1500, 2000, 33000);
  sample = one.take();
  EXPECT_EQ(sample->memory_refusals, 3u);
  ASSERT_TRUE(sample->pressure);
  EXPECT_TRUE(sample->pressure->of_host);
  EXPECT_EQ(sample->pressure->cpu, std::chrono::microseconds(500));
  EXPECT_EQ(sample->pressure->memory, Duration::zero());
  EXPECT_EQ(sample->pressure->io, milliseconds(30));

  // Version 2: figures of its own.
  one.host.write("mountinfo", fmt::format("32 1 0:27 / {0}/unified rw - cgroup2 cgroup2 rw\n", first));
  one.host.write("proc/100/cgroup", "0::/u\n");
  one.host.write("cgroup/unified/u/memory.current", "3000000\n");
  one.host.write("cgroup/unified/u/memory.max", "max\n");
  one.host.write("cgroup/unified/u/memory.events", "low 9\nhigh 1\nmax 2\noom 0\n");
  pressure("cgroup/unified/u", ".pressure", 10, 20, 30);
  one.sampler = one.host.sampler();
  one.sampler.follow(100);
  (void)one.take();
  one.host.write("cgroup/unified/u/memory.events", "low 9\nhigh 3\nmax 6\noom 0\n");
  pressure("cgroup/unified/u", ".pressure", 20, 40, 60);
  sample = one.take();
  EXPECT_EQ(sample->memory_bytes, 3'000'000u);
  EXPECT_EQ(sample->memory_limit, 0u);
  EXPECT_EQ(sample->memory_refusals, 6u);
  ASSERT_TRUE(sample->pressure);
  EXPECT_FALSE(sample->pressure->of_host);
  EXPECT_EQ(sample->pressure->io, std::chrono::microseconds(30));
  one.host.write("cgroup/unified/u/cpu.pressure", "some avg10=0.00 tot");
  EXPECT_FALSE(one.take()->pressure) << "not comparable with the host's";
}

TEST(HostSampler, FollowsTheBusiestThread) {
  Sampling one;
  (void)one.take();
  one.host.thread(101, 900'000'000, 0);
  (void)one.take(milliseconds(2000));  // looks at all threads again
  one.host.thread(101, 1'000'000'000, 0);
  const auto sample = one.take();
  EXPECT_EQ(sample->thread, 101);
  EXPECT_EQ(sample->ran, milliseconds(100));
}

TEST(HostSampler, FollowsAProcessToAnotherCgroup) {
  Sampling one;
  ASSERT_EQ(one.take()->process.cgroup, "/s");
  one.host.write("proc/100/cgroup", "4:cpu,cpuacct:/moved\n5:freezer:/moved\n");
  one.host.write("cgroup/cpu/moved/cpu.stat", "throttled_time 0\n");
  one.host.write("cgroup/freezer/moved/freezer.state", "FROZEN\n");
  (void)one.take(milliseconds(2000));
  const auto sample = one.take();
  EXPECT_EQ(sample->process.cgroup, "/moved");
  EXPECT_NE(sample->process.cgroup_id, 0u);
  EXPECT_TRUE(sample->frozen);
}

TEST(HostSampler, NamesWhoHadTheProcessor) {
  Sampling one;
  one.host.process(200, "elsewhere", 'R', 0, 1);
  one.host.process(300, "hog", 'R', 0, 0);
  one.host.process(301, "light", 'R', 0, 0);
  one.host.write("proc/300/cgroup", "4:cpu,cpuacct:/hogs\n");
  (void)one.take();
  std::optional<ProcessSample> sample;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    one.host.thread(100, i * 80'000'000, i * 110'000'000);
    one.host.process(200, "elsewhere", 'R', i * 20, 1);
    one.host.process(300, "hog", 'R', i * 10, 0);
    one.host.process(301, "light", 'R', i * 2, 0);
    sample = one.take();
  }
  ASSERT_TRUE(sample && sample->rival);
  EXPECT_EQ(sample->rival->process.pid, 300);
  EXPECT_EQ(sample->rival->process.cgroup, "/hogs");
  EXPECT_NEAR(static_cast<double>(sample->rival->ran.count()), 1e8, 1e7);
}

std::string tcp_line(const char* state, int waiting, int inode) {
  return fmt::format("   0: 0100007F:1F90 00000000:0000 {} 00000000:{:08X} 00:00000000 00000000 0 0 {} 1\n", state,
                     waiting, inode);
}

TEST(HostSampler, CountsConnectionsThatWaitAtItsOwnListeners) {
  Sampling one;
  one.host.write("proc/100/net/tcp", "head\n" + tcp_line("0A", 3, 55) + tcp_line("0A", 9, 66) + tcp_line("01", 7, 77));
  one.host.link("proc/100/fd/3", "socket:[55]");
  one.host.link("proc/100/fd/4", "socket:[77]");
  EXPECT_EQ(one.take()->waiting_connections, 3u) << "the other listener is another process's";
}

TEST(HostSampler, OfAStoppedProcessCountsWhatItHasNotRead) {
  Sampling one;
  one.host.write("proc/100/net/tcp", "head\n" + tcp_line("0A", 2, 55) + tcp_line("01", 7, 77) + tcp_line("08", 1, 78) +
                                         tcp_line("01", 0, 79) + tcp_line("01", 5, 80));
  int fd = 3;
  for (const int inode : {55, 77, 77, 78, 79})
    one.host.link(fmt::format("proc/100/fd/{}", fd++), fmt::format("socket:[{}]", inode));
  EXPECT_EQ(one.take()->waiting_connections, 2u) << "while it runs, it may be about to read them";
  one.host.process(100, "server", 'T', 0, 0);
  EXPECT_EQ(one.take()->waiting_connections, 4u) << "one is another process's, one has two descriptors";
  one.host.process(100, "server", 'S', 0, 0);
  EXPECT_EQ(one.take()->waiting_connections, 2u);
}

TEST(HostSampler, AnIdleProcessIsSampledNowAndThen) {
  Sampling one;
  const auto count = [&](milliseconds time, const std::set<Pid>& busy) {
    std::size_t samples = 0;
    for (const Time end = one.now + time; one.now < end;) {
      one.now += milliseconds(200);
      one.sampler.sample(one.now, busy, [&](const Event&) { ++samples; });
    }
    return samples;
  };
  EXPECT_EQ(count(milliseconds(2000), {}), 2u);
  EXPECT_EQ(count(milliseconds(2000), {100}), 10u);
  EXPECT_EQ(count(milliseconds(2000), {}), 10u) << "as a server between two requests";
  (void)count(milliseconds(30'000), {});
  EXPECT_EQ(count(milliseconds(2000), {}), 2u);
}

TEST(HostSampler, AProcessThatIsGoneOrAnotherIsNotSampled) {
  Sampling one;
  ASSERT_TRUE(one.take());
  one.host.process(100, "another", 'S', 0, 0, 8);
  EXPECT_FALSE(one.take());
  one.sampler.forget(100);
  EXPECT_FALSE(one.take());
  one.sampler.follow(12345);  // there is none
  EXPECT_FALSE(one.take());
}

}  // namespace
}  // namespace inferscope::source
