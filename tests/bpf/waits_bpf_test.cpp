// SPDX-License-Identifier: Apache-2.0
// What a thread sleeps for: a child that sleeps in just one way.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <thread>

#include "tests/support/cold_file.h"
#include "tests/support/sockets.h"
#include "tests/support/thread_runs.h"

namespace inferscope::test {
namespace {

using namespace std::chrono_literals;
using Wait = ThreadRun::Wait;

struct Way {
  const char* name;
  Wait wait;
  void (*sleep)();  ///< for at least 2 ms, in one go
};

timespec two_ms() {
  return {0, 2'000'000};
}

/// A pipe that takes no more.
struct FullPipe {
  int ends[2]{};

  FullPipe() {
    REQUIRE_OR_EXIT(pipe(ends) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(ends[1], "x", 1) == 1) {
    }
    REQUIRE_OR_EXIT(fcntl(ends[1], F_SETFL, 0) == 0);
  }
};

/// Runs `other` in another thread, 2 ms from now.
template <class Code>
std::thread later(Code other) {
  return std::thread([other] {
    usleep(2000);
    other();
  });
}

constexpr Way ways[] = {
    {"futex", Wait::futex,
     [] {
       int word = 0;
       const timespec time = two_ms();
       syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, nullptr, 0);
     }},
    {"nanosleep", Wait::sleep, [] { usleep(2000); }},
    {"poll_to_read", Wait::poll,
     [] {
       int ends[2];
       REQUIRE_OR_EXIT(pipe(ends) == 0);
       pollfd one{ends[0], POLLIN, 0};
       poll(&one, 1, 2);
     }},
    {"poll_to_write", Wait::send,
     [] {
       const FullPipe full;
       pollfd one{full.ends[1], POLLOUT, 0};
       poll(&one, 1, 2);
     }},
    {"ppoll_to_write", Wait::send,
     [] {
       const FullPipe full;
       pollfd one{full.ends[1], POLLOUT, 0};
       const timespec time = two_ms();
       ppoll(&one, 1, &time, nullptr);
     }},
    {"poll_for_both", Wait::poll,
     [] {
       const auto pair = tcp_pair();
       const FullPipe full;
       pollfd both[] = {{pair.server, POLLIN, 0}, {full.ends[1], POLLOUT, 0}};
       poll(both, 2, 2);
     }},
    {"select", Wait::poll,
     [] {
       timeval time{0, 2000};
       select(0, nullptr, nullptr, nullptr, &time);
     }},
    {"epoll", Wait::poll,
     [] {
       epoll_event event{};
       epoll_wait(epoll_create1(0), &event, 1, 2);
     }},
    {"read", Wait::receive,
     [] {
       int ends[2];
       REQUIRE_OR_EXIT(pipe(ends) == 0);
       std::thread writer = later([=] { REQUIRE_OR_EXIT(write(ends[1], "x", 1) == 1); });
       char byte = 0;
       REQUIRE_OR_EXIT(read(ends[0], &byte, 1) == 1);
       writer.join();
     }},
    {"receive", Wait::receive,
     [] {
       const auto pair = tcp_pair();
       std::thread sender = later([=] { send_all(pair.client, "x"); });
       receive_exactly(pair.server, 1);
       sender.join();
     }},
    {"accept", Wait::receive,
     [] {
       std::uint16_t port = 0;
       const int listener = listen_tcp(AF_INET, &port);
       std::thread client = later([=] { REQUIRE_OR_EXIT(connect_tcp(AF_INET, port) >= 0); });
       REQUIRE_OR_EXIT(accept(listener, nullptr, nullptr) >= 0);
       client.join();
     }},
    {"write", Wait::send,
     [] {
       const FullPipe full;
       std::thread reader = later([=] {
         char bytes[65536];
         REQUIRE_OR_EXIT(read(full.ends[0], bytes, sizeof(bytes)) > 0);
       });
       REQUIRE_OR_EXIT(write(full.ends[1], "x", 1) == 1);
       reader.join();
     }},
    {"signals", Wait::other,
     [] {
       sigset_t none;
       sigemptyset(&none);
       const timespec time = two_ms();
       sigtimedwait(&none, nullptr, &time);
     }},
};

class WaitsBpf : public testing::TestWithParam<Way> {};

/// Waits of a millisecond or more, of all threads of the child.
std::vector<Wait> long_waits(const TracedProcess& traced, Tid tid) {
  std::vector<Wait> found;
  for (const ThreadRun* run : runs_of(traced, tid))
    if (run->wait != Wait::none && run->woken - run->slept >= 1ms) found.push_back(run->wait);
  return found;
}

TEST_P(WaitsBpf, IsKnown) {
  TracedProcess traced;
  traced.run([this] {
    spin_for(500us);
    for (int i = 0; i < 6; ++i) {
      GetParam().sleep();
      spin_for(500us);
    }
  });
  ASSERT_EQ(traced.status(), 0);
  expect_gapless(traced);
  const auto waits = long_waits(traced, traced.child());
  EXPECT_GE(std::count(waits.begin(), waits.end(), GetParam().wait), 3);
  EXPECT_LE(waits.size(), 12u) << "a thread's end may take long, too";
}

INSTANTIATE_TEST_SUITE_P(All, WaitsBpf, testing::ValuesIn(ways), [](const auto& one) { return one.param.name; });

std::size_t count_of(const TracedProcess& traced, Wait wait) {
  std::size_t found = 0;
  for (const ThreadRun* run : runs_of(traced)) found += run->wait == wait ? 1u : 0u;
  return found;
}

TEST(WaitsForDisksBpf, ReadingAndTouching) {
  if (!have_disk()) GTEST_SKIP() << "no disk";
  for (const bool touched : {false, true}) {
    const ColdFile file;
    TracedProcess traced;
    traced.run([&] {
      setpriority(PRIO_PROCESS, 0, -20);  // whoever is kept from running is told of before it sleeps, and not after
      const int fd = open(file.path().c_str(), O_RDONLY);
      auto* memory = static_cast<const volatile char*>(mmap(nullptr, ColdFile::size, PROT_READ, MAP_SHARED, fd, 0));
      REQUIRE_OR_EXIT(fd >= 0 && memory != MAP_FAILED);
      madvise(const_cast<char*>(memory), ColdFile::size, MADV_RANDOM);
      posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
      char byte = 0;
      for (std::size_t at = 0; at < ColdFile::size; at += 8u << 20) {
        spin_for(2500us);
        if (touched)
          byte = memory[at];
        else
          REQUIRE_OR_EXIT(pread(fd, &byte, 1, static_cast<off_t>(at)) == 1);
        REQUIRE_OR_EXIT(byte == 'x');
      }
    });
    ASSERT_EQ(traced.status(), 0);
    expect_gapless(traced);
    const auto faults = sum_of(runs_of(traced), &ThreadRun::major_faults);
    EXPECT_GE(count_of(traced, touched ? Wait::page_fault : Wait::file), 4u);
    EXPECT_EQ(count_of(traced, touched ? Wait::file : Wait::page_fault), 0u);
    EXPECT_GE(faults, touched ? 4u : 0u);
  }
}

TEST(WaitsForMemoryBpf, WhileTheAddressSpaceIsHeld) {
  TracedProcess traced;
  traced.run([] {
    const auto map = [](std::size_t size) {
      void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      REQUIRE_OR_EXIT(memory != MAP_FAILED && madvise(memory, size, MADV_NOHUGEPAGE) == 0);
      return static_cast<char*>(memory);
    };
    constexpr std::size_t much = 512u << 20;
    constexpr std::size_t touched = 128u << 20;
    char* memory = map(much);
    for (std::size_t at = 0; at < much; at += 4096) memory[at] = 1;
    char* pages = map(touched);
    std::atomic<bool> done{false};
    std::thread toucher([&] {
      for (std::size_t at = 0; at < touched && !done; at += 4096) {
        pages[at] = 1;
        spin_for(5us);
      }
    });
    for (int i = 0; i < 5; ++i) {
      const pid_t child = fork();  // copies the page tables, and nobody may change them meanwhile
      if (child == 0) _exit(0);
      waitpid(child, nullptr, 0);
    }
    done = true;
    toucher.join();
  });
  ASSERT_EQ(traced.status(), 0);
  expect_gapless(traced);
  EXPECT_GT(count_of(traced, Wait::memory), 0u);
}

/// A pipe is locked while what is written to it is fetched from memory that somebody else provides.
TEST(WaitsForDevicesBpf, InTheirDrivers) {
  TracedProcess traced;
  traced.run([] {
    const int faults = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
    uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
    REQUIRE_OR_EXIT(faults >= 0 && ioctl(faults, UFFDIO_API, &api) == 0);
    auto* page = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    uffdio_register range{};
    range.range = {reinterpret_cast<std::uint64_t>(page), 4096};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    REQUIRE_OR_EXIT(ioctl(faults, UFFDIO_REGISTER, &range) == 0);
    int ends[2];
    REQUIRE_OR_EXIT(pipe(ends) == 0);
    std::thread writer([&] { REQUIRE_OR_EXIT(write(ends[1], page, 1) == 1); });
    uffd_msg fault{};
    REQUIRE_OR_EXIT(read(faults, &fault, sizeof(fault)) == sizeof(fault));
    std::thread provider = later([&] {
      uffdio_zeropage zero{};
      zero.range = range.range;
      REQUIRE_OR_EXIT(ioctl(faults, UFFDIO_ZEROPAGE, &zero) == 0);
    });
    spin_for(500us);
    int waiting = 0;
    REQUIRE_OR_EXIT(ioctl(ends[0], FIONREAD, &waiting) == 0 && waiting == 1);
    writer.join();
    provider.join();
  });
  ASSERT_EQ(traced.status(), 0);
  expect_gapless(traced);
  EXPECT_EQ(count_of(traced, Wait::device), 1u);
}

}  // namespace
}  // namespace inferscope::test
