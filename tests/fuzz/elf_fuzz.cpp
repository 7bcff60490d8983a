// stage: discover
// SPDX-License-Identifier: Apache-2.0
// Any bytes as an executable file: whatever is found in it lies in it. And as the text of /proc/PID/maps.
#include <cstdint>
#include <string_view>

#include "discover/elf_symbols.h"
#include "discover/probe_placement.h"
#include "discover/tls_watch.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto functions = discover::find_functions(bytes, {"SSL_read", "SSL_write", "main", ""}))
    for (const auto& [name, function] : *functions) test::require(function.offset < size);
  const auto placement = discover::place_probes(bytes);
  test::require(placement.entry.offset <= size && placement.return_address <= size);
  for (const auto& exit : placement.exits) test::require(exit.offset < size);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& file : discover::parse_executable_mappings(text)) {
    test::require(file.path.starts_with('/') && text.find(file.path) != std::string_view::npos);
    test::require(file.range.size() <= size);
  }
  return 0;
}
