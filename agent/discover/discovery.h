// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/time.h"
#include "discover/process_info.h"
#include "discover/rules.h"
#include "model/event.h"
#include "model/process_notice.h"

namespace inferscope::discover {

enum class Verdict : std::uint8_t {
  none,     ///< nothing speaks for it
  sampled,  ///< listens: the beginnings of what it reads are looked at
  watched,
  ignored,  ///< excluded by the configuration
};

/// A process about which something could be said, and why.
struct Candidate {
  ProcessInfo process{};
  Verdict verdict = Verdict::none;
  std::string reason{};
};

struct DiscoveryOptions {
  bool automatic = true;  ///< find servers without a rule
  std::vector<Rule> watch{};
  std::vector<Rule> ignore{};  ///< wins over everything else
};

/// Decides which processes are watched. Given notices and the time; tells its decisions through callbacks.
class Discovery {
 public:
  struct Actions {
    std::function<void(const ProcessStarted&)> watch{};
    std::function<void(Pid)> sample{};
    std::function<void(Pid)> ignore{};
  };

  Discovery(DiscoveryOptions options, ProcReader proc, Actions actions);

  /// Looks at every process of the host.
  void scan(Time now);
  void on(const ProcessNotice& notice);
  void on(const ProcessExited& exited);
  /// Looks again at young processes: libraries are mapped after the program has begun.
  void tick(Time now);

  /// Verdict on each process, without telling anybody: what doctor shows. Processes with no verdict are left out.
  [[nodiscard]] std::vector<Candidate> candidates();
  [[nodiscard]] std::size_t watched() const { return watched_.size(); }

 private:
  /// Finding out who listens means reading every socket of the host, so it is done only where it can matter.
  enum class Ports : std::uint8_t { if_a_rule_asks, always };
  Candidate judge(Pid pid, Ports look);
  enum class Look : std::uint8_t { first, accepting, again };
  void decide(Pid pid, Time now, Look look);
  void on_executed(const ProcessNotice& notice);
  void watch(const Candidate& candidate);
  /// The kernel side watches it already; that stands unless it is excluded.
  void keep_watching(Pid pid, const std::string& reason);
  [[nodiscard]] const Rule* exclusion_of(const ProcessInfo& info, const std::set<std::uint16_t>& ports) const;
  void ignore(Pid pid);

  struct Pending {
    std::size_t looks = 0;
    Time next{};
  };

  DiscoveryOptions options_;
  ProcReader proc_;
  Actions actions_;
  bool rules_ask_ports_ = false;
  std::map<Pid, Pending> pending_{};
  std::map<Pid, std::uint64_t> watched_{};  ///< by start time, since pids are used again
  Time next_cleanup_{};
};

}  // namespace inferscope::discover
