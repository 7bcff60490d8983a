// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "model/tls_library.h"

struct bpf_link;
struct bpf_object;
struct bpf_program;

namespace inferscope::source {

/// What has to be known of programs for probes in user space before they are loaded.
void prepare_process_probe(bpf_program* program);

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
  /// Some probes that are taken out together, when it is destroyed.
  class Link {
   public:
    explicit Link(bpf_link* one) : one_(one) {}
    explicit Link(Fd many) : many_(std::move(many)) {}
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;
    ~Link();

   private:
    bpf_link* one_ = nullptr;
    Fd many_{};
  };
  class Reaper;

  using Links = std::vector<std::unique_ptr<Link>>;

  std::map<Pid, Links> links_{};
  std::unique_ptr<Reaper> reaper_;
};

}  // namespace inferscope::source
