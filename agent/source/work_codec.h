// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "model/event.h"
#include "source/recording.pb.h"

/// The part of recording_codec.h that is about what threads and GPUs did.
namespace inferscope::source {

void encode(const ThreadRun& run, recording::Event& out);
void encode(const MemoryReclaim& reclaim, recording::Event& out);
void encode(const DiskUse& use, recording::Event& out);
void encode(const Retransmit& retransmit, recording::Event& out);
void encode(const SendStall& stall, recording::Event& out);
void encode(const GpuWork& work, recording::Event& out);
void encode(const GpuCall& call, recording::Event& out);
void encode(const GpuFailure& failure, recording::Event& out);
void encode(const GpuMemory& memory, recording::Event& out);
void encode(const GpuDriverUse& use, recording::Event& out);
void encode(const ProbeLevel& level, recording::Event& out);

/// Nothing if it is none of these, or one with values that cannot be. Texts are views into `in`.
std::optional<Event> decode_work(Time time, const recording::Event& in);

}  // namespace inferscope::source
