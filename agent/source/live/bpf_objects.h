// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "source/live/live_source.h"
#include "source/live/process_probes.h"

struct bpf_link;
struct bpf_object;

namespace inferscope::source {

/// The loaded BPF objects with their shared maps. Loading goes on when an object is refused: that capability is off.
class BpfObjects {
 public:
  BpfObjects();
  ~BpfObjects();
  BpfObjects(const BpfObjects&) = delete;
  BpfObjects& operator=(const BpfObjects&) = delete;

  /// Loads every object; fails only if not one could be loaded.
  Status load(const LiveOptions& options);
  /// Attaches the programs of what was loaded. To be called when the maps hold their settings.
  void attach();

  /// Attaches programs of a capability to one process.
  Status attach(std::string_view capability, const ProbeSet& probes);
  /// Takes those of a process out.
  void detach(Pid pid);
  void detach(Pid pid, ProbePart part);

  [[nodiscard]] int map_fd(const std::string& name) const;  ///< -1 if there is no such map
  [[nodiscard]] const std::vector<Capability>& capabilities() const { return capabilities_; }
  [[nodiscard]] std::vector<ProgramCost> program_costs() const;

 private:
  struct Loaded {
    bpf_object* object = nullptr;
    std::size_t capability = 0;
    std::vector<bpf_link*> links{};
  };

  Status load_one(std::size_t capability, const void* bytes, std::size_t size, const LiveOptions& options);
  void attach_one(Loaded& loaded);

  std::vector<Loaded> objects_{};
  std::vector<Capability> capabilities_{};
  std::unique_ptr<ProcessProbes> process_probes_{};  ///< made with the first process that needs them
  std::map<std::string, int> maps_{};                ///< owned by the object that created them
};

}  // namespace inferscope::source
