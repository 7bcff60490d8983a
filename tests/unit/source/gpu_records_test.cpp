// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "bpf/abi/wire_gpu.h"
#include "source/gpu_devices.h"
#include "source/gpu_names.h"
#include "tests/unit/source/wire_records.h"

namespace inferscope::source {
namespace {

/// As long as its header says, but too short for its kind.
void expect_cut_is_refused(const Bytes& whole) {
  for (std::size_t size = sizeof(wire_header); size < whole.size(); ++size) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto told = static_cast<__u32>(size);
    std::memcpy(cut.data() + offsetof(wire_header, size), &told, sizeof(told));
    EXPECT_FALSE(decode(cut)) << size;
  }
}

wire_gpu_work some_work() {
  wire_gpu_work work{};
  work.begin_ns = 1'000;
  work.wait_begin_ns = 5'000;
  work.copied_bytes = 64;
  work.longest_gap_ns = 300;
  work.tgid = 7;
  work.tid = 8;
  work.launches = 3;
  work.graphs = 1;
  work.copies = 2;
  work.collectives = 4;
  work.result = 700;
  work.api = WIRE_GPU_HIP;
  return work;
}

TEST(GpuRecords, Work) {
  const auto work = decoded<GpuWork>(bytes_of(some_work(), WIRE_GPU_WORK));
  EXPECT_EQ(work.api, GpuApi::hip);
  EXPECT_EQ(work.pid, 7);
  EXPECT_EQ(work.tid, 8);
  EXPECT_EQ(work.ending, GpuWork::Ending::wait);
  EXPECT_EQ(work.begin, time_from_ns(1'000));
  EXPECT_EQ(work.wait_begin, time_from_ns(5'000));
  EXPECT_EQ(work.end, time_from_ns(record_time_ns));
  EXPECT_EQ(work.launches, 3u);
  EXPECT_EQ(work.graphs, 1u);
  EXPECT_EQ(work.copies, 2u);
  EXPECT_EQ(work.collectives, 4u);
  EXPECT_EQ(work.copied_bytes, 64u);
  EXPECT_EQ(work.longest_gap, Duration(300));
  EXPECT_EQ(work.result, 700);
  expect_cut_is_refused(bytes_of(some_work(), WIRE_GPU_WORK));
  wire_gpu_work odd = some_work();
  odd.api = WIRE_GPU_OPENCL + 1;
  EXPECT_FALSE(decode(bytes_of(odd, WIRE_GPU_WORK)));
  odd = some_work();
  odd.ending = WIRE_GPU_GRAPH + 1;
  EXPECT_FALSE(decode(bytes_of(odd, WIRE_GPU_WORK)));
  odd = some_work();
  odd.longest_gap_ns = ~0ull;
  EXPECT_GE(decoded<GpuWork>(bytes_of(odd, WIRE_GPU_WORK)).longest_gap, Duration::zero());
}

wire_gpu_name name_record(const std::string& name, std::uint64_t handle, std::uint64_t alias_of = 0) {
  wire_gpu_name record{};
  record.handle = handle;
  record.alias_of = alias_of;
  record.tgid = 7;
  record.size = static_cast<__u32>(name.size());
  std::memcpy(record.name, name.data(), name.size());
  return record;
}

void learn(GpuNames& names, const wire_gpu_name& record) {
  const auto bytes = bytes_of(record, WIRE_GPU_NAME);
  names.learn(decoded<DecodedGpuName>(bytes));
}

DecodedGpuCall call_of(std::uint64_t kernel, Pid pid = 7) {
  wire_gpu_call call{};
  call.kernel = kernel;
  call.tgid = static_cast<__u32>(pid);
  call.function = 1;
  call.one_of = 1024;
  for (__u32 i = 0; i < 3; ++i) {
    call.grid[i] = 10 + i;
    call.block[i] = 20 + i;
  }
  return decoded<DecodedGpuCall>(bytes_of(call, WIRE_GPU_CALL));
}

TEST(GpuRecords, CallsGetTheirNames) {
  GpuNames names;
  names.add_function(1, "cuLaunchKernel");
  learn(names, name_record("_Z9attentionPfi", 0x10));
  learn(names, name_record("plain_c", 0x20));
  learn(names, name_record("", 0x30, 0x20));
  learn(names, name_record("", 0x40, 0x99));
  const GpuCall call = names.named(call_of(0x10));
  EXPECT_EQ(call.function, "cuLaunchKernel");
  EXPECT_EQ(call.kernel, "attention(float*, int)");
  EXPECT_EQ(call.grid, (std::array<std::uint32_t, 3>{10, 11, 12}));
  EXPECT_EQ(call.block, (std::array<std::uint32_t, 3>{20, 21, 22}));
  EXPECT_EQ(call.one_of, 1024u);
  EXPECT_EQ(names.named(call_of(0x20)).kernel, "plain_c");
  EXPECT_EQ(names.named(call_of(0x30)).kernel, "plain_c");
  EXPECT_EQ(names.named(call_of(0x40)).kernel, "") << "an alias of what nobody knows";
  EXPECT_EQ(names.named(call_of(0x10, 9)).kernel, "") << "another process's";
  names.forget(7);
  EXPECT_EQ(names.named(call_of(0x10)).kernel, "");
  expect_cut_is_refused(bytes_of(wire_gpu_call{}, WIRE_GPU_CALL));
  expect_cut_is_refused(bytes_of(wire_gpu_name{}, WIRE_GPU_NAME));
  wire_gpu_name odd = name_record("x", 1);
  odd.size = WIRE_GPU_NAME_MAX + 1;
  EXPECT_FALSE(decode(bytes_of(odd, WIRE_GPU_NAME)));
}

TEST(GpuRecords, NamesAreCutAndKeptForSoManyKernelsOnly) {
  EXPECT_EQ(kernel_name("_Znonsense"), "_Znonsense");
  EXPECT_EQ(kernel_name(std::string(1000, 'k')).size(), GpuNames::longest_name);
  std::string growing = "_Z1fPFvvE";
  for (const char* number : {"", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G"})
    ((((growing += "PFvS") += number) += "_S") += number) += "_E";
  EXPECT_EQ(kernel_name(growing), growing.substr(0, GpuNames::longest_name)) << "written out, it would be megabytes";
  GpuNames names;
  for (std::uint64_t handle = 1; handle <= GpuNames::kernels_most + 1; ++handle) learn(names, name_record("k", handle));
  EXPECT_EQ(names.named(call_of(GpuNames::kernels_most)).kernel, "k");
  EXPECT_EQ(names.named(call_of(GpuNames::kernels_most + 1)).kernel, "");
  learn(names, name_record("again", 1));
  EXPECT_EQ(names.named(call_of(1)).kernel, "again") << "a handle that is used again";
}

TEST(GpuRecords, FailuresByTheNumbersOfTheirApi) {
  GpuNames names;
  names.add_function(4, "cuMemAlloc_v2");
  const auto failure = [&](wire_gpu_api api, std::int32_t result) {
    wire_gpu_failure record{};
    record.tgid = 7;
    record.tid = 8;
    record.api = static_cast<__u8>(api);
    record.result = result;
    record.function = 4;
    return names.named(decoded<DecodedGpuFailure>(bytes_of(record, WIRE_GPU_FAILURE)));
  };
  EXPECT_EQ(failure(WIRE_GPU_CUDA, 2).kind, GpuFailure::Kind::out_of_memory);
  EXPECT_EQ(failure(WIRE_GPU_CUDA, 2).function, "cuMemAlloc_v2");
  EXPECT_EQ(failure(WIRE_GPU_CUDA_RUNTIME, 700).kind, GpuFailure::Kind::illegal_address);
  EXPECT_EQ(failure(WIRE_GPU_HIP, 719).kind, GpuFailure::Kind::launch_failure);
  EXPECT_EQ(failure(WIRE_GPU_VULKAN, -2).kind, GpuFailure::Kind::out_of_memory);
  EXPECT_EQ(failure(WIRE_GPU_VULKAN, -4).kind, GpuFailure::Kind::device_lost);
  EXPECT_EQ(failure(WIRE_GPU_OPENCL, -4).kind, GpuFailure::Kind::out_of_memory);
  EXPECT_EQ(failure(WIRE_GPU_LEVEL_ZERO, 0x70000001).kind, GpuFailure::Kind::device_lost);
  EXPECT_EQ(failure(WIRE_GPU_NCCL, 2).kind, GpuFailure::Kind::other);
  EXPECT_EQ(failure(WIRE_GPU_CUDA, 999).kind, GpuFailure::Kind::other);
  EXPECT_EQ(failure(WIRE_GPU_CUDA, 999).result, 999);
  expect_cut_is_refused(bytes_of(wire_gpu_failure{}, WIRE_GPU_FAILURE));
}

TEST(GpuDevices, OfTheDriversThatAreLoaded) {
  using Driver = GpuDriverUse::Driver;
  const auto found = parse_gpu_devices(
      "Character devices:\n  1 mem\n195 nvidia\n226 drm\n234 kfd\n510 nvidia-uvm\nx drm\n0 drm\n\n"
      "Block devices:\n226 drm\n");
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0].major, 195u);
  EXPECT_EQ(found[0].driver, Driver::nvidia);
  EXPECT_EQ(found[1].driver, Driver::drm);
  EXPECT_EQ(found[2].driver, Driver::amd_kfd);
  EXPECT_EQ(found[3].major, 510u);
  EXPECT_EQ(found[3].driver, Driver::nvidia);
  EXPECT_TRUE(parse_gpu_devices("").empty());
}

}  // namespace
}  // namespace inferscope::source
