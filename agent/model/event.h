// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/time.h"
#include "model/connection.h"
#include "model/gpu_work.h"
#include "model/process_target.h"
#include "model/thread_run.h"

namespace inferscope {

/// A process came under watch: by fork or exec, or found running when the agent started.
struct ProcessStarted {
  Pid pid = 0;
  Pid parent = 0;
  std::uint64_t start_time_ns = 0;  ///< since boot, as in /proc/PID/stat; with pid it names the process for good
  std::string name{};               ///< comm
  std::string executable{};         ///< path as the process sees it; empty if it could not be read
  std::string command_line{};       ///< arguments joined by spaces
  std::string reason{};             ///< why it is watched
};

struct ProcessExited {
  Pid pid = 0;
  int exit_code = 0;
  int signal = 0;  ///< 0 if it ended by itself
};

struct ConnectionOpened {
  Connection connection{};
  Tid tid = 0;
};

/// One end will send no more; the other direction may go on.
struct ConnectionHalfClosed {
  ConnectionId id = 0;
  Direction direction = Direction::received;  ///< received: the peer finished; sent: the watched process did
};

struct ConnectionClosed {
  enum class Reason : std::uint8_t { closed, reset, process_exited, forgotten };

  ConnectionId id = 0;
  Reason reason = Reason::closed;
  std::uint64_t received_bytes = 0;  ///< final positions: what lies between them and the last Transfer was lost
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_transfers = 0;
  std::uint64_t sent_transfers = 0;
};

/// Bytes moved by one system call. The length, position and times are always exact; the content may be cut:
/// `head` is the first and `tail` the last part of it, and what lies between was not captured.
struct Transfer {
  /// Why head + tail is shorter than length.
  enum class Cut : std::uint8_t {
    none,
    transfer_limit,    ///< longer than one transfer's capture limit
    connection_limit,  ///< the connection's capture budget for this message is used up
    switched_off,      ///< a later stage asked for no payload
    unreadable,        ///< the bytes never were in user memory (sendfile, splice, io_uring)
    fault,             ///< user memory could not be read
  };

  ConnectionId connection = 0;
  Direction direction = Direction::received;
  Cut cut = Cut::none;
  bool encrypted = false;  ///< on the wire; what is here was taken from a TLS library
  Pid pid = 0;
  Tid tid = 0;
  std::uint64_t position = 0;  ///< of the first byte in this direction's stream
  std::uint64_t sequence = 0;  ///< number of the transfer in this direction; a jump means that some were lost
  std::uint64_t length = 0;
  Time begin{};  ///< the system call was entered
  Time end{};    ///< the system call returned
  std::string_view head{};
  std::string_view tail{};
};

/// Events that the kernel side or the source had to drop without knowing whose they were.
struct EventsLost {
  std::string reason{};
  std::uint64_t count = 0;
};

/// Ties the kernel's clock to the wall clock from here on.
struct ClockSet {
  std::int64_t unix_minus_kernel_ns = 0;
};

/// What the host said of a watched process: its state now, and what its busiest thread and its cgroup did since the
/// sample before.
struct ProcessSample {
  /// Who used the processor on which the thread would have run.
  struct Rival {
    ProcessTarget process{};
    Duration ran{};
  };
  /// For how long one task or more could not go on for want of each.
  struct Pressure {
    bool of_host = false;  ///< of all processes: its cgroup tells none of its own
    Duration cpu{};
    Duration memory{};
    Duration io{};
  };

  ProcessTarget process{};
  char state = 0;        ///< of the main thread, as /proc/PID/stat has it: R, S, D, T (stopped), t (traced), Z
  bool frozen = false;   ///< its cgroup is
  Duration interval{};   ///< since the sample before
  Tid thread = 0;        ///< that ran and waited most; the main thread if none did
  Duration ran{};        ///< that thread, on a processor
  Duration waited{};     ///< that thread, ready to run but not on a processor
  Duration throttled{};  ///< its cgroup had used up its quota
  /// Established, but not accepted yet, at all its TCP listeners. While it is held, also those with bytes that it has
  /// not read.
  std::uint32_t waiting_connections = 0;
  std::optional<Rival> rival{};        ///< looked for only when the thread waited for long
  std::optional<Pressure> pressure{};  ///< since the sample before; not if the kernel tells none
  std::uint64_t memory_bytes = 0;      ///< in use by its cgroup, files that are kept in memory included; 0: not known
  std::uint64_t memory_limit = 0;      ///< of its cgroup; 0: none, or not known
  std::uint64_t memory_refusals = 0;   ///< how often its cgroup came to a limit of memory

  /// It cannot do anything.
  [[nodiscard]] bool held() const { return state == 'T' || state == 't' || frozen; }
};

struct Event {
  Time time{};
  std::variant<ProcessStarted, ProcessExited, ConnectionOpened, ConnectionHalfClosed, ConnectionClosed, Transfer,
               EventsLost, ClockSet, ProcessSample, ThreadRun, MemoryReclaim, DiskUse, Retransmit, SendStall, GpuWork,
               GpuCall, GpuFailure, GpuMemory, GpuDriverUse, ProbeLevel>
      body{};
};

}  // namespace inferscope
