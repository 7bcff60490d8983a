// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/result.h"
#include "model/connection.h"

struct bpf_link;
struct bpf_object;
struct bpf_program;

namespace inferscope::source {

/// What has to be known of programs for probes in user space before they are loaded.
void prepare_process_probe(bpf_program* program);

/// Whether the kernel hands programs a number of our choice with each hit: from Linux 5.15 on.
bool has_cookies();

/// Which probes are taken out together.
enum class ProbePart : std::uint8_t {
  tls,
  gpu_waits,  ///< and all else that is called seldom
  gpu_work,   ///< what hands work to GPUs
};

/// A program at an instruction.
struct ProcessProbe {
  const char* program = nullptr;
  std::uint64_t offset = 0;  ///< in the file
  std::uint64_t cookie = 0;
  bool at_return = false;  ///< not there, but where the function returns to
};
/// Those on a file that a process maps, in the order in which they are to be put in.
struct ProbeSet {
  Pid pid = 0;
  std::string name{};  ///< of the file, for people
  std::string path{};
  ProbePart part = ProbePart::tls;
  std::vector<ProcessProbe> probes{};
};

/// Probes in user space, one set for each process: nobody else's copy of a library gets a breakpoint.
class ProcessProbes {
 public:
  ProcessProbes();
  ~ProcessProbes();
  ProcessProbes(const ProcessProbes&) = delete;
  ProcessProbes& operator=(const ProcessProbes&) = delete;

  /// `object`: the loaded programs, which have to outlive this.
  Status attach(bpf_object* object, const ProbeSet& set);
  /// Of a process that ended, or runs another program. Returns at once: taking a probe out takes the kernel some time.
  void detach(Pid pid);
  void detach(Pid pid, ProbePart part);

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

  std::map<std::pair<Pid, ProbePart>, Links> links_{};
  std::unique_ptr<Reaper> reaper_;
};

}  // namespace inferscope::source
