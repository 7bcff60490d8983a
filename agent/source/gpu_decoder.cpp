// SPDX-License-Identifier: Apache-2.0
#include "source/gpu_decoder.h"

#include <algorithm>
#include <iterator>

#include "bpf/abi/wire_gpu.h"
#include "source/wire_read.h"

namespace inferscope::source {
namespace {

struct Meaning {
  std::int32_t result;
  GpuFailure::Kind kind;
};

/// Numbers of cuda.h, hip_runtime_api.h, vulkan_core.h, cl.h, ze_api.h and hsa.h.
GpuFailure::Kind kind_of(GpuApi api, std::int32_t result) {
  using enum GpuFailure::Kind;
  static constexpr Meaning cuda[]{{2, out_of_memory}, {700, illegal_address}, {719, launch_failure},
                                  {214, device_lost}, {46, device_lost},      {100, device_lost}};
  static constexpr Meaning vulkan[]{{-1, out_of_memory}, {-2, out_of_memory}, {-4, device_lost}};
  static constexpr Meaning opencl[]{
      {-4, out_of_memory}, {-5, out_of_memory}, {-6, out_of_memory}, {-2, device_lost}, {0, out_of_memory}};
  static constexpr Meaning level_zero[]{
      {0x70000002, out_of_memory}, {0x70000003, out_of_memory}, {0x70000001, device_lost}};
  static constexpr Meaning hsa[]{{0x1008, out_of_memory}};
  std::span<const Meaning> meanings;
  switch (api) {
    case GpuApi::cuda:
    case GpuApi::cuda_runtime:
    case GpuApi::hip:
      meanings = cuda;
      break;
    case GpuApi::vulkan:
      meanings = vulkan;
      break;
    case GpuApi::opencl:
      meanings = opencl;
      break;
    case GpuApi::level_zero:
      meanings = level_zero;
      break;
    case GpuApi::hsa:
      meanings = hsa;
      break;
    case GpuApi::nccl:
      break;
  }
  const auto found =
      std::find_if(meanings.begin(), meanings.end(), [result](const Meaning& one) { return one.result == result; });
  return found == meanings.end() ? other : found->kind;
}

}  // namespace

std::optional<GpuWork> decode_gpu_work(std::span<const std::byte> bytes, Time time) {
  const auto record = read_as<wire_gpu_work>(bytes);
  if (!record || record->api > WIRE_GPU_OPENCL || record->ending > WIRE_GPU_GRAPH) return std::nullopt;
  return GpuWork{.api = static_cast<GpuApi>(record->api),
                 .pid = static_cast<Pid>(record->tgid),
                 .tid = static_cast<Tid>(record->tid),
                 .ending = static_cast<GpuWork::Ending>(record->ending),
                 .begin = time_from_ns(record->begin_ns),
                 .wait_begin = time_from_ns(record->wait_begin_ns),
                 .end = time,
                 .launches = record->launches,
                 .graphs = record->graphs,
                 .copies = record->copies,
                 .collectives = record->collectives,
                 .copied_bytes = record->copied_bytes,
                 .longest_gap = Duration(static_cast<std::int64_t>(record->longest_gap_ns & INT64_MAX)),
                 .result = record->result};
}

std::optional<DecodedGpuCall> decode_gpu_call(std::span<const std::byte> bytes) {
  const auto record = read_as<wire_gpu_call>(bytes);
  if (!record || record->api > WIRE_GPU_OPENCL) return std::nullopt;
  GpuCall call{.api = static_cast<GpuApi>(record->api),
               .pid = static_cast<Pid>(record->tgid),
               .tid = static_cast<Tid>(record->tid),
               .stream = record->stream,
               .one_of = record->one_of};
  std::copy(std::begin(record->grid), std::end(record->grid), call.grid.begin());
  std::copy(std::begin(record->block), std::end(record->block), call.block.begin());
  return DecodedGpuCall{call, record->function, record->kernel};
}

std::optional<DecodedGpuFailure> decode_gpu_failure(std::span<const std::byte> bytes) {
  const auto record = read_as<wire_gpu_failure>(bytes);
  if (!record || record->api > WIRE_GPU_OPENCL) return std::nullopt;
  const auto api = static_cast<GpuApi>(record->api);
  return DecodedGpuFailure{{.api = api,
                            .pid = static_cast<Pid>(record->tgid),
                            .tid = static_cast<Tid>(record->tid),
                            .kind = kind_of(api, record->result),
                            .result = record->result},
                           record->function};
}

std::optional<DecodedGpuName> decode_gpu_name(std::span<const std::byte> bytes) {
  const auto record = read_as<wire_gpu_name>(bytes);
  if (!record || record->size > WIRE_GPU_NAME_MAX) return std::nullopt;
  const char* name = reinterpret_cast<const char*>(bytes.data()) + offsetof(wire_gpu_name, name);
  return DecodedGpuName{static_cast<Pid>(record->tgid), record->handle, record->alias_of,
                        std::string_view(name, record->size)};
}

}  // namespace inferscope::source
