// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/time.h"
#include "model/finding.h"

namespace inferscope {

/// Of a cgroup that runs only when nobody else wants the processor, and yields at once to who does (cpu.idle,
/// Linux 5.15). cgroup v2 tells the same weight of it.
constexpr std::uint32_t idle_weight = 0;

/// Something that can be done about a finding. Which members count depends on the kind.
struct Action {
  enum class Kind : std::uint8_t {
    notify,    ///< a webhook
    signal,    ///< through a pidfd
    throttle,  ///< of a cgroup: at most `quota` processors' worth of time
    weight,    ///< of a cgroup: its share when processors are contended, or none
    freeze,    ///< of a cgroup
  };

  Kind kind{};
  int signal = 0;             ///< signal: SIGSTOP, SIGCONT, SIGTERM, SIGKILL, SIGUSR1, SIGUSR2, SIGHUP
  double quota = 0;           ///< throttle: processors, 0.2 is a fifth of one
  std::uint32_t weight = 0;   ///< weight: 1 to 10000 as in cgroup v2, 100 is usual; idle_weight
  Duration lease{};           ///< throttle, weight, freeze and SIGSTOP end after it at the latest; 0: nothing to undo
  std::string url{};          ///< notify
  std::string secret_file{};  ///< notify: file with the key that signs the body; empty: not signed

  bool operator==(const Action&) const = default;
};

/// What the governor made of a finding, a policy and the history.
struct Decision {
  enum class Verdict : std::uint8_t {
    act,        ///< policy and host both say so
    would_act,  ///< observing: everything but the last system call is done
    refused,    ///< `reason` says why
  };

  std::string id{};  ///< 16 hexadecimal digits
  Time time{};
  std::string finding{};   ///< id
  std::string policy{};    ///< name
  std::uint32_t step = 0;  ///< of the policy's ladder, from 0
  Action action{};
  ProcessTarget target{};  ///< the process acted on; pid 0: the cgroup that the policy names, in target.cgroup
  Verdict verdict = Verdict::refused;
  std::string reason{};
};

/// What was done, and what became of it.
struct Effect {
  enum class State : std::uint8_t {
    would_have,  ///< dry run: it would have been done
    active,      ///< done; if it is a lease, it holds
    ended,       ///< undone, or done with where there is nothing to undo
    failed,      ///< was not done, `problem` says why
    stuck,       ///< could not be undone, `problem` says why: somebody has to look
  };
  enum class EndedBy : std::uint8_t {
    none,
    at_once,  ///< nothing to undo
    recovery,
    expiry,
    worse,
    operator_request,
    shut_down,
    restart,
    unchanged,  ///< what does not help is not kept
  };
  enum class Outcome : std::uint8_t { pending, recovered, unchanged, worse };

  std::string id{};  ///< 16 hexadecimal digits
  Decision decision{};
  State state = State::failed;
  Time begin{};
  Time lease_until{};  ///< equal to begin if there is nothing to undo
  std::optional<Time> end{};
  EndedBy ended_by = EndedBy::none;
  Outcome outcome = Outcome::pending;
  std::string where{};    ///< what was written or signalled: a file, "pidfd 1234"
  std::string earlier{};  ///< the value before, as it was journalled
  std::string written{};
  std::string problem{};
  std::int64_t unix_minus_kernel_ns = 0;
};

std::string_view name_of(Action::Kind kind);
/// "idle", or the number.
std::string text_of_weight(std::uint32_t weight);
std::string_view name_of(Decision::Verdict verdict);
std::string_view name_of(Effect::State state);
std::string_view name_of(Effect::EndedBy by);
std::string_view name_of(Effect::Outcome outcome);
std::optional<Action::Kind> action_kind_of(std::string_view name);
/// "SIGTERM" or "TERM" of a signal an action may send; nullopt for any other.
std::optional<int> signal_of(std::string_view name);
std::string_view signal_name(int signal);  ///< "TERM"; empty for any other

}  // namespace inferscope
