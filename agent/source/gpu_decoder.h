// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/time.h"
#include "model/gpu_work.h"

namespace inferscope::source {

/// One call, whose function and kernel are told by number and handle (gpu_names.h knows their names).
struct DecodedGpuCall {
  GpuCall event{};
  std::uint16_t function = 0;
  std::uint64_t kernel = 0;
};
struct DecodedGpuFailure {
  GpuFailure event{};
  std::uint16_t function = 0;
};
/// A handle of a kernel of the process.
struct DecodedGpuName {
  Pid pid = 0;
  std::uint64_t handle = 0;
  std::uint64_t alias_of = 0;  ///< 0: its name is told
  std::string_view name{};     ///< as the linker has it, cut
};

/// Records of GPUs (bpf/abi/wire.h), whose header was checked. Nothing if they are none.
std::optional<GpuWork> decode_gpu_work(std::span<const std::byte> record, Time time);
std::optional<DecodedGpuCall> decode_gpu_call(std::span<const std::byte> record);
std::optional<DecodedGpuFailure> decode_gpu_failure(std::span<const std::byte> record);
std::optional<DecodedGpuName> decode_gpu_name(std::span<const std::byte> record);

}  // namespace inferscope::source
