// SPDX-License-Identifier: Apache-2.0
#include "source/live/library_probes.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <ranges>

#include "bpf/abi/wire_gpu.h"

namespace inferscope::source {
namespace {

/// By TlsFunction; Go has no others.
constexpr std::array tls_programs{"enter_tls_inner", "enter_tls_read", "enter_tls_write", "enter_tls_readx",
                                  "enter_tls_writx", "enter_tls_free", "enter_tls_writ2", "enter_tls_file"};
constexpr std::array go_programs{"enter_go_inner", "enter_go_read", "enter_go_write"};
/// By GpuFunction.
constexpr std::array gpu_programs{"gpu_launch", "gpu_graph",     "gpu_copy", "gpu_collective",
                                  "gpu_wait",   "gpu_copy_back", "gpu_poll", "gpu_allocate",
                                  "gpu_free",   "gpu_name",      "gpu_alias"};

/// When a return probe is told, the return address is off the stack.
constexpr std::int64_t return_address_off = -8;

/// What a function has put on the stack there can be told to the program.
bool is_near(const ProbePlace& place) {
  return place.stack >= 0 && place.stack <= WIRE_GPU_STACK_MAX;
}

/// Where all arguments are in place; `number_of` tells the program's number of a place.
template <class NumberOf>
ProcessProbe entry_of(const FunctionPlaces& places, const char* program, const NumberOf& number_of) {
  const bool anywhere = is_near(places.entry) && (has_cookies() || places.entry.stack == 0);
  const ProbePlace place = anywhere ? places.entry : ProbePlace{places.begin, 0};
  const bool emulated = places.entry_emulated && place.offset == places.entry.offset;
  return {program, place.offset, number_of(place.stack, emulated ? WIRE_HIT_EMULATED : WIRE_HIT_STEPPED), false};
}

template <class NumberOf>
void add_exits(std::vector<ProcessProbe>& probes, const FunctionPlaces& places, const char* program, bool only_exits,
               const NumberOf& number_of) {
  const bool near = std::all_of(places.exits.begin(), places.exits.end(), is_near);
  if (places.exits.empty() || (!only_exits && (!near || !has_cookies()))) {
    probes.push_back({program, places.return_address, number_of(return_address_off, WIRE_HIT_RETURN), true});
    return;
  }
  // Where there is a choice, it fell on what is emulated.
  for (const ProbePlace& exit : places.exits)
    probes.push_back(
        {program, exit.offset, number_of(exit.stack, only_exits ? WIRE_HIT_STEPPED : WIRE_HIT_EMULATED), false});
}

std::uint64_t tls_number(std::int64_t stack, wire_hit hit) {
  return static_cast<std::uint64_t>(stack) << WIRE_TLS_STACK_SHIFT | static_cast<std::uint64_t>(hit);
}

bool has_end(GpuFunction function) {
  switch (function) {
    case GpuFunction::wait:
    case GpuFunction::copy_back:
    case GpuFunction::poll:
    case GpuFunction::allocate:
    case GpuFunction::name:
    case GpuFunction::alias:
      return true;
    case GpuFunction::launch:
    case GpuFunction::graph:
    case GpuFunction::copy:
    case GpuFunction::collective:
    case GpuFunction::free:
      break;
  }
  return false;
}

ProbePart part_of(GpuFunction function) {
  switch (function) {
    case GpuFunction::launch:
    case GpuFunction::copy:
    case GpuFunction::copy_back:
    case GpuFunction::collective:
      return ProbePart::gpu_work;
    default:
      return ProbePart::gpu_waits;
  }
}

/// All but the place (WIRE_GPU_* in bpf/abi/wire.h).
std::uint64_t gpu_number(const GpuProbe& probe, const GpuLibrary& library) {
  const auto part = [](auto value, int shift) { return static_cast<std::uint64_t>(value) << shift; };
  const GpuArguments& at = probe.arguments;
  return part(probe.number, WIRE_GPU_NUMBER_SHIFT) | part(library.api, WIRE_GPU_API_SHIFT) |
         part(library.rank > 0 ? 1 : 0, WIRE_GPU_INNER_SHIFT) | part(at.grid, WIRE_GPU_GRID_SHIFT) |
         part(at.kernel, WIRE_GPU_KERNEL_SHIFT) | part(at.bytes, WIRE_GPU_BYTES_SHIFT) |
         part(at.times, WIRE_GPU_TIMES_SHIFT) | part(at.blocking, WIRE_GPU_BLOCKING_SHIFT) |
         part(at.stream, WIRE_GPU_STREAM_SHIFT) | part(at.out, WIRE_GPU_OUT_SHIFT) | part(at.name, WIRE_GPU_NAME_SHIFT);
}

/// What programs take functions for that are told no number: the CUDA driver's (LIKE_CUDA in bpf/probes/gpu.bpf.c).
bool needs_no_number(const GpuProbe& probe, const GpuLibrary& library) {
  const GpuArguments& at = probe.arguments;
  if (library.api != GpuApi::cuda || at.times != 0 || at.blocking != 0) return false;
  switch (probe.function) {
    case GpuFunction::launch:
      return at.kernel == 1 && at.grid == GpuArguments::Grid::words;
    case GpuFunction::copy:
    case GpuFunction::copy_back:
      return at.bytes == 3;
    case GpuFunction::allocate:
      return at.bytes == 2 && at.out == 1;
    default:
      return true;
  }
}

}  // namespace

ProbeSet probes_of(const TlsLibrary& library) {
  ProbeSet set{library.pid, library.name, library.path, ProbePart::tls, {}};
  // Returns first: a call whose beginning was seen must not stay open.
  for (const TlsProbe& probe : library.probes) {
    const bool in_c = probe.calling == Calling::c;
    if (probe.function != TlsFunction::free)
      add_exits(set.probes, probe.places, in_c ? "exit_tls" : "exit_go", !in_c, tls_number);
  }
  for (const TlsProbe& probe : library.probes) {
    const auto function = static_cast<std::size_t>(probe.function);
    const char* program = probe.calling == Calling::c ? tls_programs[function] : go_programs.at(function);
    set.probes.push_back(entry_of(probe.places, program, tls_number));
  }
  return set;
}

ProbeSet probes_of(const GpuLibrary& library, ProbePart part) {
  ProbeSet set{library.pid, library.name, library.path, part, {}};
  const auto each = [&](const auto& add) {
    // What is hit most is first in the table, and so the last to be put in and the first to be taken out.
    for (const GpuProbe& probe : library.probes | std::views::reverse)
      if (part_of(probe.function) == part && (has_cookies() || needs_no_number(probe, library)))
        add(probe, [number = gpu_number(probe, library)](std::int64_t stack, wire_hit hit) {
          return number | static_cast<std::uint64_t>(hit) << WIRE_GPU_HIT_SHIFT |
                 static_cast<std::uint64_t>(stack) << WIRE_GPU_STACK_SHIFT;
        });
  };
  each([&](const GpuProbe& probe, const auto& number_of) {
    if (has_end(probe.function) || probe.arguments.blocking != 0)
      add_exits(set.probes, probe.places, "exit_gpu", false, number_of);
  });
  each([&](const GpuProbe& probe, const auto& number_of) {
    set.probes.push_back(entry_of(probe.places, gpu_programs[static_cast<std::size_t>(probe.function)], number_of));
  });
  return set;
}

}  // namespace inferscope::source
