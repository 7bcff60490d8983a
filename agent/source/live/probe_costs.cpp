// SPDX-License-Identifier: Apache-2.0
#include "source/live/probe_costs.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "bpf/abi/wire.h"
#include "core/clock.h"
#include "core/fd.h"

// The kernel emulates the first instruction of the one, and single-steps that of the other.
asm(R"(
.text
.globl inferscope_emulated, inferscope_stepped, inferscope_returns
.type inferscope_emulated, @function
inferscope_emulated: push %rbp
  pop %rbp
  ret
.type inferscope_returns, @function
inferscope_returns: push %rbp
  pop %rbp
  ret
.type inferscope_stepped, @function
inferscope_stepped: mov %rdi, %rax
  ret
)");
extern "C" void inferscope_emulated();
extern "C" void inferscope_returns();
extern "C" void inferscope_stepped();

namespace inferscope::source {
namespace {

using Function = void (*)();
using std::chrono::nanoseconds;

constexpr nanoseconds least_cost(100);

constexpr int tries = 5;
constexpr int calls = 500;

Duration time_of_calls(Function function) {
  Duration least = Duration::max();
  for (int i = 0; i < tries; ++i) {
    const Time begin = kernel_now();
    for (int call = 0; call < calls; ++call) function();
    least = std::min(least, Duration(kernel_now() - begin));
  }
  return least / calls;
}

/// In the file of the program that it is in: the first that is told of is the one that runs.
std::optional<std::uint64_t> offset_of(Function function) {
  struct Search {
    std::uintptr_t address = 0;
    std::optional<std::uint64_t> offset{};
  } search{reinterpret_cast<std::uintptr_t>(function), {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        auto& wanted = *static_cast<Search*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
          if (segment.p_type == PT_LOAD && wanted.address >= begin && wanted.address - begin < segment.p_filesz)
            wanted.offset = wanted.address - begin + segment.p_offset;
        }
        return 1;
      },
      &search);
  return search.offset;
}

/// The middle of what a step takes, of as many as fit in a short time: on a busy machine, some are interrupted.
template <class Step>
std::optional<Duration> time_of(const Step& step) {
  constexpr std::size_t enough = 20, most = 300;
  const Time until = kernel_now() + std::chrono::milliseconds(20);
  std::vector<Duration> times;
  for (Time begin = kernel_now(); times.size() < most && begin < until; begin = kernel_now()) {
    step();
    times.push_back(kernel_now() - begin);
  }
  if (times.size() < enough) return std::nullopt;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// Of a system call that moves bytes through a pipe, or between sockets.
std::optional<Duration> time_of_call(bool of_sockets) {
  std::array<int, 2> ends{-1, -1};
  if ((of_sockets ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) : pipe2(ends.data(), O_CLOEXEC)) !=
      0)
    return std::nullopt;
  const Fd from(ends[0]), to(ends[1]);
  std::array<char, 64> bytes{};
  bool moved = true;
  const auto both = time_of([&] {
    moved =
        moved && write(to.get(), bytes.data(), bytes.size()) > 0 && read(from.get(), bytes.data(), bytes.size()) > 0;
  });
  return both && moved ? std::optional(*both / 2) : std::nullopt;
}

/// Whose turn it is, of two threads.
class Turns {
 public:
  void give(int whom) {
    turn_ = whom;
    (void)syscall(SYS_futex, &turn_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
  int wait_while(int whose) {
    while (turn_ == whose) (void)syscall(SYS_futex, &turn_, FUTEX_WAIT_PRIVATE, whose, nullptr, nullptr, 0);
    return turn_;
  }

 private:
  std::atomic<int> turn_{0};
  static_assert(sizeof(turn_) == sizeof(std::uint32_t));
};

/// Two threads that share a processor wake each other.
std::optional<Duration> time_of_turn() {
  std::optional<Duration> time;
  std::thread([&time] {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<std::size_t>(std::max(0, sched_getcpu())), &here);
    if (sched_setaffinity(0, sizeof(here), &here) != 0) return;  // the other one inherits it
    Turns turns;
    constexpr int mine = 0, others = 1, nobodys = 2;
    std::thread other([&turns] {
      while (turns.wait_while(mine) != nobodys) turns.give(mine);
    });
    time = time_of([&turns] {
      turns.give(others);
      turns.wait_while(others);
    });
    turns.give(nobodys);
    other.join();
  }).join();
  if (time) *time /= 2;
  return time;
}

void watch_itself(const BpfObjects& objects, bool watched) {
  const auto key = static_cast<__u32>(getpid());
  wire_target target{};
  target.state = static_cast<__u32>(watched ? WIRE_TARGET_WATCHED : WIRE_TARGET_IGNORED);
  bpf_map_update_elem(objects.map_fd("targets"), &key, &target, BPF_ANY);
}

}  // namespace

void measure_host_costs(const BpfObjects& objects, ProbeCosts& costs) {
  struct Times {
    std::optional<Duration> call = time_of_call(false);
    std::optional<Duration> transfer = time_of_call(true);
    std::optional<Duration> turn = time_of_turn();
  };
  const Times without;
  watch_itself(objects, true);
  const Times with;
  watch_itself(objects, false);
  const auto cost = [](std::optional<Duration> more, std::optional<Duration> less, Duration otherwise) {
    return more && less ? std::max<Duration>(*more - *less, least_cost) : otherwise;
  };
  costs.call = cost(with.call, without.call, nanoseconds(400));
  costs.transfer =
      std::max<Duration>(cost(with.transfer, without.transfer, nanoseconds(1'500)) - costs.call, least_cost);
  costs.turn = cost(with.turn, without.turn, nanoseconds(1'000));
}

void measure_library_costs(BpfObjects& objects, ProbeCosts& costs) {
  const auto measure = [&objects](Function function, bool at_return, Duration otherwise) {
    const auto offset = offset_of(function);
    if (!offset) return otherwise;
    const Duration without = time_of_calls(function);
    const ProbeSet set{getpid(),
                       "itself",
                       "/proc/self/exe",
                       ProbePart::gpu_work,
                       {{at_return ? "exit_gpu" : "gpu_launch", *offset, 0, at_return}}};
    if (!objects.attach("gpu", set)) return otherwise;
    const Duration with = time_of_calls(function);
    objects.detach(getpid(), ProbePart::gpu_work);
    return std::max<Duration>(with - without, least_cost);
  };
  costs.emulated = measure(&inferscope_emulated, false, nanoseconds(700));
  costs.stepped = measure(&inferscope_stepped, false, nanoseconds(12'000));
  costs.returns = measure(&inferscope_returns, true, nanoseconds(1'500));
  if (!has_cookies()) costs.emulated = costs.stepped;  // which of the two a hit was is not told
}

}  // namespace inferscope::source
