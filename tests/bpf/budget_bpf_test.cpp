// SPDX-License-Identifier: Apache-2.0
// What the probes of a process cost is counted, and less is told of it where that is too much.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>

#include "core/clock.h"
#include "tests/support/sockets.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

using namespace std::chrono_literals;

/// Two threads wait for each other's bytes for some time; `pause` is between two rounds.
void to_and_fro(int type, Duration time, Duration pause = {}) {
  std::array<int, 2> ends{};
  REQUIRE_OR_EXIT(socketpair(AF_UNIX, type, 0, ends.data()) == 0);
  std::thread other([&] {
    for (char byte = 0; read(ends[1], &byte, 1) == 1;) REQUIRE_OR_EXIT(write(ends[1], &byte, 1) == 1);
  });
  char byte = 0;
  for (const Time until = kernel_now() + time; kernel_now() < until;) {
    REQUIRE_OR_EXIT(write(ends[0], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1);
    if (pause > Duration::zero()) std::this_thread::sleep_for(pause);
  }
  shutdown(ends[0], SHUT_RDWR);
  other.join();
}

/// The most that each kind of probe cost in any look.
source::ProbeUse most_of(TracedProcess& traced, const std::function<void()>& code) {
  source::ProbeUse most;
  traced.each_turn([&] {
    for (const source::ProbeUse& use : traced.source().probe_uses()) {
      most.of_gpus = std::max(most.of_gpus, use.of_gpus);
      most.of_threads = std::max(most.of_threads, use.of_threads);
      most.of_tls = std::max(most.of_tls, use.of_tls);
      most.of_sockets = std::max(most.of_sockets, use.of_sockets);
      most.allowed = use.allowed;
    }
  });
  traced.run(code);
  EXPECT_EQ(traced.status(), 0);
  return most;
}

TEST(BudgetBpf, WhatProbesCostIsTold) {
  TracedProcess traced;
  const auto idle = most_of(traced, [] { usleep(800'000); });
  EXPECT_LT(idle.cost(), 0.001);
  // About a thousand rounds a second: four calls, and three turns.
  const auto busy = most_of(traced, [] { to_and_fro(SOCK_STREAM, 1s, 1ms); });
  EXPECT_GT(busy.of_sockets, 300 * 4 * 100e-9) << "the least that a call is taken to cost";
  EXPECT_LT(busy.of_sockets, 1000 * 4 * 20e-6);
  EXPECT_GT(busy.of_threads, 300 * 3 * 100e-9);
  EXPECT_LT(busy.of_threads, 1000 * 3 * 20e-6);
  EXPECT_EQ(busy.of_tls + busy.of_gpus, 0);
  EXPECT_EQ(busy.allowed, 1);
  EXPECT_TRUE(traced.all<ProbeLevel>().empty());
  EXPECT_TRUE(traced.source().probe_uses().empty()) << "they have ended";
}

TEST(BudgetBpf, ThreadsThatCostTooMuchAreNotToldUntilTheyCostLess) {
  TracedProcess traced({.overhead_budget = 0.001});
  most_of(traced, [] {
    to_and_fro(SOCK_SEQPACKET, 12s, 300us);  // nothing of a connection
    for (int i = 0; i < 130; ++i) usleep(100'000);
  });
  const auto levels = traced.all<ProbeLevel>();
  ASSERT_EQ(levels.size(), 2u) << "while they would cost too much, it is not tried";
  EXPECT_FALSE(levels[0]->threads);
  EXPECT_EQ(levels[0]->pid, traced.child());
  EXPECT_GT(levels[0]->cost, 0.001);
  EXPECT_TRUE(levels[1]->threads);
  EXPECT_LT(levels[1]->cost, 0.0001);
  Time off{}, on{};
  std::size_t before = 0, meanwhile = 0, after = 0;
  for (const Seen& seen : traced.events()) {
    if (const auto* level = seen.as<ProbeLevel>()) (level->threads ? on : off) = seen.event.time;
    const auto* run = seen.as<ThreadRun>();
    if (!run) continue;
    if (off == Time{}) {
      ++before;
    } else if (on == Time{}) {
      if (seen.event.time > off + 20ms) ++meanwhile;  // it is told a little later than it is decided
    } else {
      ++after;
      EXPECT_LT(run->delayed, 1s) << "what it did meanwhile is not taken for a delay";
      EXPECT_GT(run->woken, on - 1s);
    }
  }
  EXPECT_GT(before, 0u);
  EXPECT_EQ(meanwhile, 0u);
  EXPECT_GT(after, 0u);
  EXPECT_GE(on - off, 19750ms);
}

}  // namespace
}  // namespace inferscope::test
