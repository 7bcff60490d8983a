// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "act/guardian.h"
#include "act/host.h"
#include "act/journal.h"
#include "act/lease.h"
#include "act/never_touch.h"
#include "core/emit.h"
#include "core/result.h"
#include "core/time.h"
#include "model/action.h"

namespace inferscope::act {

struct Change;

struct ActuatorOptions {
  std::filesystem::path state_folder{};
  std::filesystem::path proc = "/proc";
  std::filesystem::path cgroup_root = "/sys/fs/cgroup";
  /// Shell patterns of process names, of paths of executables or of cgroups; besides what is always protected.
  std::vector<std::string> never_touch{};
  /// The program that runs run_guard(), with its first arguments. Empty: without a guardian, which is for tests.
  std::vector<std::string> guardian{"/proc/self/exe", "guard"};
};

/// Does what was decided, and undoes it. What is to be undone stands in the journal, on disk, and is known to the
/// guardian before it is done; without either nothing is done. Not for several threads.
class Actuator {
 public:
  /// Locks the state folder, and undoes what an earlier run left. Error: another one runs, or the folder cannot be
  /// used.
  static Result<std::unique_ptr<Actuator>> open(ActuatorOptions options, Time now);
  Actuator(const Actuator&) = delete;
  Actuator& operator=(const Actuator&) = delete;
  /// What is still held then is undone by the guardian.
  ~Actuator();

  /// Effects of an earlier run with what became of them: ended by restart, or stuck.
  [[nodiscard]] const std::vector<Effect>& left_behind() const { return left_behind_; }
  /// What the operator should know from the start: a damaged journal, no guardian, no cgroups to write.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

  /// act: active, or ended at once where there is nothing to undo. would_act: everything but the last system call.
  /// Whatever keeps it from being done is the `problem` of an effect that `failed`. Of notify only the effect is made:
  /// it is sent by whoever has the network. Several leases on one place stand on each other: the last one made counts,
  /// and one that ends below others hands them its earlier value.
  Effect apply(const Decision& decision, Time now);
  /// nullopt: there is no such effect, or it has ended. Else it ended, or is stuck and is tried again.
  std::optional<Effect> undo(const std::string& effect_id, Effect::EndedBy why, Time now);
  /// Ends leases that are due, and tries what is stuck again; emits what ended or became stuck.
  void tick(Time now, const Emit<Effect>& emit);
  /// For shut-down: all that is held, the newest first.
  void undo_all(Effect::EndedBy why, Time now, const Emit<Effect>& emit);
  /// What is held, stuck ones included.
  [[nodiscard]] std::vector<Effect> active() const;

 private:
  struct Held {
    Lease lease{};
    Time retry{};
    Duration back_off{};
  };

  Actuator(ActuatorOptions options, std::unique_ptr<Journal> journal, std::string boot_id);
  void clean_up(Time now);
  void check_host();
  void keep_guardian(Time now);
  Status carry_out(Effect& effect, Time now);
  Status send_once(const Lease& lease, const Change& change);
  Status note(const Lease& lease);
  Effect end(std::size_t index, Effect::EndedBy why, Time now);
  /// A lease made later on the same place takes over what this one would put back.
  std::optional<Undone> hand_over(std::size_t index);

  HostRoots roots_;
  NeverTouch never_touch_;
  std::unique_ptr<Journal> journal_;
  std::string boot_id_;
  std::optional<Guardian> guardian_{};  // after the journal: it ends first, and the lock with the last of both
  Time guardian_retry_{};
  std::vector<Held> held_{};  // oldest first
  std::vector<Effect> left_behind_{};
  std::vector<std::string> warnings_{};
};

}  // namespace inferscope::act
