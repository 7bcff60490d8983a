// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "model/request_trace.h"

namespace inferscope::correlate {

/// How a request ended. Reads exchange, call and role.
Outcome outcome_of(const Exchange& exchange, const InferenceCall& call);

/// What is missing from what was seen, and why, for people; empty if nothing is.
/// "318 bytes of the response were lost by the kernel ring"
std::string loss_of(const Exchange& exchange, const InferenceCall& call);

/// Fills in the derived durations of a trace whose exchange, call, begin and outcome are set.
void derive_durations(RequestTrace& trace);

}  // namespace inferscope::correlate
