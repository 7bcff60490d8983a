// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "core/time.h"
#include "model/gpu_work.h"
#include "source/detail_ladder.h"

namespace inferscope::source {

/// How often a process hit probes in libraries, by how the kernel goes on from there.
struct ProbeHits {
  std::uint64_t emulated = 0;
  std::uint64_t stepped = 0;
  std::uint64_t returns = 0;
};

/// What one hit costs.
struct ProbeCosts {
  Duration emulated{};
  Duration stepped{};
  Duration returns{};
  Duration call{};      ///< a system call that may move bytes of a socket
  Duration transfer{};  ///< bytes that it moved, or a call of a TLS library
  Duration turn{};      ///< a thread was woken, and got a processor
};

/// What the probes of a process cost when they were last looked at, in processors.
struct ProbeUse {
  Pid pid = 0;
  ProbeLevel::Level level = ProbeLevel::Level::full;
  bool threads = true;  ///< what its threads do is told
  double of_gpus = 0;
  double of_threads = 0;
  double of_tls = 0;
  double of_sockets = 0;
  double allowed = 0;

  [[nodiscard]] double cost() const { return of_gpus + of_threads + of_tls + of_sockets; }
};

/// Decides in how much detail each process is seen, by what that costs. Where all its probes together cost more than
/// allowed, less is told of what costs more: of GPUs, step by step, or of its threads. The probes that traces are made
/// of, on sockets and in TLS libraries, stay; half of what is allowed is for the rest in any case. GPUs are given up by
/// one level at each look, by two if they cost twice what there is room for. See DetailLadder for the way back.
class ProbeBudget {
 public:
  /// `share`: allowed for each process, of a processor; or 1 % of what it uses itself, if that is more.
  explicit ProbeBudget(double share) : share_(share) {}

  struct Look {
    Duration interval{};  ///< since the look before; more than 0
    Duration own{};       ///< processor time of the process in it
    // Hits in it:
    ProbeHits gpu{};
    ProbeHits tls{};
    std::uint64_t calls = 0;
    std::uint64_t transfers = 0;
    std::uint64_t turns = 0;  ///< whether they were told or not
  };
  /// How it is seen from now on, if that is another way.
  std::optional<ProbeLevel> look(Pid pid, const Look& look, const ProbeCosts& costs);
  void forget(Pid pid) { processes_.erase(pid); }

  /// In libraries of GPUs.
  [[nodiscard]] ProbeLevel::Level level(Pid pid) const;
  [[nodiscard]] std::vector<ProbeUse> uses() const;

 private:
  struct Process {
    ProbeUse use{};
    DetailLadder gpus;
    DetailLadder threads;
  };
  static bool adapt(Process& process, double threads_if_told);

  double share_;
  std::map<Pid, Process> processes_{};
};

}  // namespace inferscope::source
