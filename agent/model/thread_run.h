// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/time.h"
#include "model/connection.h"

namespace inferscope {

/// What a thread did since it was told of before, at most from one sleep to the next: how long it ran, and how long it
/// was ready to and could not. Threads that sleep very often are told of less often than they sleep.
struct ThreadRun {
  /// What it slept for before it ran.
  enum class Wait : std::uint8_t {
    none,  ///< it did not: it went on from the one told of before
    futex,
    poll,        ///< for something to read, or any of several things
    receive,     ///< in a call that reads from a socket or pipe
    send,        ///< for room to write: in such a call, or in poll for just that
    sleep,       ///< for a time
    device,      ///< in a device's driver (ioctl)
    file,        ///< for a disk, in a system call
    page_fault,  ///< for a disk, for what it touched
    memory,      ///< for the kernel, for what it touched, without a disk
    other,
  };
  /// Why it is told of now.
  enum class Ending : std::uint8_t {
    slept,      ///< it went to sleep
    woke,       ///< it woke another thread of its process; it goes on
    preempted,  ///< it had waited for long; it goes on
    exited,
  };
  /// A wait for a processor.
  struct Delay {
    Time begin{};
    Time end{};
    Pid culprit = 0;  ///< who ran longest on that processor meanwhile; 0: nobody, it was idle
    std::string_view culprit_name{};
  };

  Pid pid = 0;
  Tid tid = 0;
  Ending ending = Ending::slept;
  Wait wait = Wait::none;
  Time slept{};  ///< it went to sleep; of no meaning without a wait
  Time woken{};  ///< it became ready; without a wait: when it was told of before
  Time begin{};  ///< it got a processor
  Time end{};
  Pid waker_pid = 0;  ///< 0: an interrupt, or not known
  Tid waker_tid = 0;
  Duration ran{};                 ///< on a processor
  Duration delayed{};             ///< ready, but not on a processor; ran + delayed + sleeps not told of = end - woken
  std::uint32_t sleeps = 0;       ///< in between, that are not told of by themselves
  Duration slept_in_between{};    ///< in these
  std::uint32_t preemptions = 0;  ///< involuntary switches
  std::uint32_t migrations = 0;   ///< to another processor
  std::uint64_t minor_faults = 0;
  std::uint64_t major_faults = 0;
  std::optional<Delay> longest_delay{};  ///< if it is of note (a millisecond or more)
};

/// The kernel looked for memory, on a thread's time.
struct MemoryReclaim {
  Pid pid = 0;
  Tid tid = 0;
  bool of_cgroup = false;  ///< its cgroup was at its limit; else the host was short of memory
  Time begin{};
  Time end{};
  std::uint64_t pages = 0;
};

/// What disks did for a process since this was told before.
struct DiskUse {
  Pid pid = 0;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  Duration time{};  ///< from the driver's having it to its being done; several may overlap
  Duration longest{};
};

/// A segment of a connection was sent again.
struct Retransmit {
  ConnectionId connection = 0;
  Pid pid = 0;
};

/// The peer took no more bytes: a call that does not wait was refused, until one was not.
struct SendStall {
  ConnectionId connection = 0;
  Pid pid = 0;
  Time begin{};
  Time end{};
};

}  // namespace inferscope
