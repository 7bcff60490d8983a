// stage: source
// SPDX-License-Identifier: Apache-2.0
// Any bytes as a ring record, as they are and behind a good header of each kind: what comes out lies within the record
// and holds only values that the events know.
#include <cstring>
#include <vector>

#include "bpf/abi/wire_gpu.h"
#include "source/gpu_names.h"
#include "source/wire_decoder.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;

namespace {

struct Check {
  std::span<const std::byte> record;

  void within(std::string_view view) const {
    const auto* begin = reinterpret_cast<const char*>(record.data());
    test::require(view.empty() || (view.data() >= begin && view.data() + view.size() <= begin + record.size()));
  }
  void operator()(const ProcessNotice& notice) const {
    test::require(notice.sample.size() <= WIRE_SAMPLE_MAX);
    test::require(notice.kind <= ProcessNotice::Kind::received_inference);
  }
  void operator()(const source::DecodedExit& exited) const {
    test::require(exited.event.exit_code >= 0 && exited.event.exit_code <= 255);
    test::require(exited.event.signal >= 0 && exited.event.signal < 128);
    test::require(exited.event.exit_code == 0 || exited.event.signal == 0);
  }
  void operator()(const source::DecodedOpen& open) const {
    const Connection& connection = open.event.connection;
    test::require(connection.role <= Role::server);
    for (const Endpoint* end : {&connection.local, &connection.remote}) {
      test::require(end->family != Family::unknown && end->family <= Family::unix_stream);
      test::require(end->address.size() <= WIRE_UNIX_PATH_MAX);
      test::require(end->family == Family::unix_stream || !end->address.empty());
    }
  }
  void operator()(const ConnectionHalfClosed& half) const { test::require(half.direction <= Direction::sent); }
  void operator()(const ConnectionClosed& closed) const {
    test::require(closed.reason <= ConnectionClosed::Reason::forgotten);
  }
  void operator()(const Transfer& transfer) const {
    within(transfer.head);
    within(transfer.tail);
    test::require(transfer.head.size() <= transfer.length);
    test::require(transfer.tail.size() <= transfer.length - transfer.head.size());
    test::require(transfer.direction <= Direction::sent && transfer.cut <= Transfer::Cut::fault);
  }
  void operator()(const SendStall& stall) const { test::require(stall.end == *source::time_of(record)); }
  void operator()(const Retransmit&) const {}  // nothing but numbers
  void operator()(const MemoryReclaim& reclaim) const { test::require(reclaim.end == *source::time_of(record)); }
  void operator()(const ThreadRun& run) const {
    test::require(run.ending <= ThreadRun::Ending::exited && run.wait <= ThreadRun::Wait::other);
    if (!run.longest_delay) return;
    within(run.longest_delay->culprit_name);
    test::require(run.longest_delay->culprit_name.size() <= WIRE_NAME_MAX);
  }
  void operator()(const GpuWork& work) const {
    test::require(work.api <= GpuApi::opencl && work.ending <= GpuWork::Ending::graph);
    test::require(work.longest_gap >= Duration::zero());
  }
  void operator()(const source::DecodedGpuCall& call) const { test::require(call.event.api <= GpuApi::opencl); }
  void operator()(const source::DecodedGpuFailure& failure) const {
    test::require(failure.event.api <= GpuApi::opencl && failure.event.kind <= GpuFailure::Kind::other);
  }
  void operator()(const source::DecodedGpuName& name) const {
    within(name.name);
    test::require(source::kernel_name(name.name).size() <= source::GpuNames::longest_name);
    source::GpuNames names;
    names.learn(name);
    const GpuCall call = names.named({{.pid = name.pid}, 0, name.handle});
    test::require(call.kernel.empty() == (name.alias_of != 0 || name.name.empty()));
  }
};

void decode(std::span<const std::byte> record) {
  if (const auto decoded = source::decode(record)) std::visit(Check{record}, decoded->body);
  test::require(source::time_of(record).has_value() == (record.size() >= sizeof(wire_header)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Memory of exactly this size, so that a sanitizer sees one byte too many.
  std::vector<std::byte> record(size);
  if (size > 0) std::memcpy(record.data(), data, size);
  decode(record);
  if (size < sizeof(wire_header)) return 0;
  for (std::uint16_t kind = WIRE_PROCESS_FORK; kind <= WIRE_GPU_NAME; ++kind) {
    wire_header header{.kind = kind, .version = WIRE_VERSION, .size = static_cast<__u32>(size), .time_ns = 1};
    std::memcpy(record.data(), &header, sizeof(header));
    decode(record);
  }
  return 0;
}
