// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "act/actuator.h"
#include "act/governor.h"
#include "core/result.h"
#include "core/stage_stats.h"
#include "core/time.h"
#include "exporters/webhook/webhook.h"
#include "model/action.h"
#include "model/finding.h"
#include "model/record.h"
#include "policy/plan.h"
#include "runtime/config.h"
#include "store/audit.h"
#include "store/store.h"

namespace inferscope::runtime {

/// From findings to effects: lets the governor decide, the actuator act and undo, and puts every step on record: log,
/// store, audit, exporters. Used by one thread.
class Responder {
 public:
  using Publish = std::function<void(const std::shared_ptr<const Record>&)>;

  /// Opens the state folder and undoes what an earlier run left. Without one, findings are only told, nothing is done.
  static Result<std::unique_ptr<Responder>> open(const Config& config, Publish publish, Time now,
                                                 std::int64_t unix_minus_kernel_ns);
  ~Responder();
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  void on(const FindingUpdate& update);
  void on(const Event& event) { governor_.on(event); }
  void tick(Time now);
  /// Undoes what holds, closes the record.
  void shut_down(Time now, Duration limit);

  /// Ends an effect because a person says so. `id`: its first digits. Error: no such effect, several, or it has ended.
  Result<std::string> undo(const std::string& id, Time now);
  /// JSON lines.
  [[nodiscard]] Result<std::vector<std::string>> find(const store::Query& query) const;

  /// Of the governor, the notifications and the store, for status.
  [[nodiscard]] std::map<std::string, StageStats> stats() const;
  /// "observing, 4 policies, none of them enforces".
  [[nodiscard]] std::string summary() const;

 private:
  Responder(const Config& config, policy::Plan plan, Publish publish, std::int64_t unix_minus_kernel_ns);

  Status open_state(const Config& config, Time now);
  void decided(const Decision& decision);
  void judged(const act::Judgement& judgement);
  void changed(Effect effect);
  void notify(const Decision& decision);
  enum class Told : std::uint8_t { quietly, aloud, audited };
  /// quietly: the store only. aloud: log and exporters, too. audited: and the audit.
  void record(const Record& record, Told told);
  void complain(const Status& status);

  policy::Plan plan_;
  bool armed_ = false;
  Publish publish_;
  std::int64_t unix_minus_kernel_ns_ = 0;
  Time now_{};
  act::Governor governor_;
  std::unique_ptr<act::Actuator> actuator_{};
  std::unique_ptr<store::Store> store_{};
  std::optional<store::Audit> audit_{};
  exporters::Webhook webhook_{};
  std::map<std::string, Effect> effects_{};  ///< that hold, or are not judged yet
  struct OpenFinding {
    std::string json{};  ///< for notifications
    Cause::Kind cause{};
  };
  std::map<std::string, OpenFinding> findings_{};  ///< by id
  bool complained_ = false;
  Emit<Decision> decide_ = [this](const Decision& decision) { decided(decision); };
  Emit<act::Judgement> judge_ = [this](const act::Judgement& judgement) { judged(judgement); };
  Emit<Effect> effect_ = [this](const Effect& effect) { changed(effect); };
};

/// The policies that the configuration names, or those that are shipped.
Result<policy::Plan> load_plan(const Config& config);

}  // namespace inferscope::runtime
