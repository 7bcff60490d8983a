// stage: discover
// SPDX-License-Identifier: Apache-2.0
// Any bytes as an executable file: whatever is found in it lies in it. And as the text of /proc/PID/maps.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "discover/code/code_facts.h"
#include "discover/code/probe_placement.h"
#include "discover/elf/elf_symbols.h"
#include "discover/elf/go_functions.h"
#include "discover/gpu/gpu_functions.h"
#include "discover/tls/stripped_tls.h"
#include "discover/tls/tls_functions.h"
#include "discover/tls/tls_watch.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;

namespace {

void check(const discover::ElfFunctions& functions, std::size_t size) {
  for (const auto& [name, function] : functions) test::require(function.offset < size && function.size > 0);
}

void check(const discover::TlsContent& content, std::size_t size) {
  test::require(content.probes.empty() || (!content.evidence.empty() && content.problem.empty()));
  for (const TlsProbe& probe : content.probes) {
    test::require(probe.places.begin < size && probe.places.entry.offset < size && probe.places.return_address < size);
    test::require(probe.calling == Calling::c || !probe.places.exits.empty());
    for (const ProbePlace& exit : probe.places.exits) test::require(exit.offset < size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = discover::ElfFile::open([bytes](std::uint64_t offset, std::span<std::byte> into) -> std::size_t {
    if (offset >= bytes.size()) return 0;
    const std::size_t count = std::min(into.size(), bytes.size() - static_cast<std::size_t>(offset));
    std::memcpy(into.data(), bytes.data() + offset, count);
    return count;
  });
  if (file) {
    check(discover::exported_functions(*file, {"SSL_read", "SSL_write", "main", ""}), size);
    const auto named = discover::static_functions(*file, {"SSL_read", "SSL_write", "main", ""});
    if (named) check(*named, size);
    const auto in_go = discover::go_functions(*file, {"crypto/tls.(*Conn).Read", "main.main", ""});
    if (in_go && *in_go) check(**in_go, size);
    check(discover::exported_tls(*file), size);
    check(discover::static_tls(*file), size);
    if (const auto gpu = discover::gpu_probes(*discover::gpu_library_kind("libcuda.so.1"), *file))
      for (const GpuProbe& probe : *gpu)
        test::require(probe.places.begin < size && probe.places.entry.offset < size && probe.number > 0);
    discover::StrippedTls stripped(*file);
    while (!stripped.step(1u << 16)) {
    }
    check(stripped.content(), size);
    test::require(file->build_id().size() <= size);
  }
  const auto placement = discover::place_probes(bytes);
  test::require(placement.entry.offset <= size && placement.return_address <= size);
  for (const auto& exit : placement.exits) test::require(exit.offset < size);
  const auto first = discover::place_on_beginning(bytes);
  test::require(!first || *first < size);
  if (const auto go = discover::place_go_probes(bytes)) {
    test::require(go->entry.offset < size && !go->exits.empty());
    for (const auto& exit : go->exits) test::require(exit.offset < size);
  }
  if (const auto facts = discover::read_code(bytes.first(std::min<std::size_t>(size, 4096)), 0x1000); facts)
    for (const auto& transfer : facts->transfers)
      for (const auto& passed : transfer.passed)
        test::require(passed.is == discover::Tracked::Is::argument
                          ? passed.value >= 0 && passed.value < 6
                          : passed.value == 0 || passed.is != discover::Tracked::Is::unknown);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& mapped : discover::parse_executable_mappings(text)) {
    test::require(mapped.path.starts_with('/') && text.find(mapped.path) != std::string_view::npos);
    test::require(mapped.range.size() <= size);
  }
  return 0;
}
