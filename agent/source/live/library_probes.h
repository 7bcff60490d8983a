// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/gpu_library.h"
#include "model/tls_library.h"
#include "source/live/process_probes.h"

namespace inferscope::source {

/// Which programs go where, with what they are told of the place.
ProbeSet probes_of(const TlsLibrary& library);
/// `part`: gpu_waits or gpu_work.
ProbeSet probes_of(const GpuLibrary& library, ProbePart part);

}  // namespace inferscope::source
