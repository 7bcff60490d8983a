// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "core/result.h"
#include "model/tls_library.h"

struct bpf_link;
struct bpf_object;

namespace inferscope::source {

/// Probes in user space, one set for each process: nobody else's copy of a library gets a breakpoint.
class ProcessProbes {
 public:
  ProcessProbes();
  ~ProcessProbes();
  ProcessProbes(const ProcessProbes&) = delete;
  ProcessProbes& operator=(const ProcessProbes&) = delete;

  /// `object`: the loaded programs, which have to outlive this.
  Status attach(bpf_object* object, const TlsLibrary& library);
  /// Of a process that ended, or runs another program. Returns at once: taking a probe out takes the kernel some time.
  void detach(Pid pid);

 private:
  class Reaper;

  std::map<Pid, std::vector<bpf_link*>> links_{};
  std::unique_ptr<Reaper> reaper_;
};

}  // namespace inferscope::source
