// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "source/live/bpf_objects.h"
#include "source/probe_budget.h"

namespace inferscope::source {

// What cannot be measured costs what it does on a virtual machine, where it is most.

/// Of probes in libraries: puts some on functions of this process that do nothing, and measures by how much longer
/// their calls take, by the quickest of some tries. Takes about a tenth of a second.
void measure_library_costs(BpfObjects& objects, ProbeCosts& costs);
/// Of calls and turns: this process is watched for some hundredths of a second, and what the probes tell of it
/// meanwhile is nobody's. They have to be attached.
void measure_host_costs(const BpfObjects& objects, ProbeCosts& costs);

}  // namespace inferscope::source
