// SPDX-License-Identifier: Apache-2.0
#include "discover/code/function_places.h"

namespace inferscope::discover {

std::vector<std::byte> code_of(const ElfFunction& function, const ElfFile& file) {
  auto code = file.table_at<std::byte>(function.offset, function.size, longest_function);
  if (code.size() != function.size) code.clear();
  return code;
}

FunctionPlaces places_of(std::uint64_t begin, const Placement& placement) {
  FunctionPlaces places{.begin = begin,
                        .entry = {begin + placement.entry.offset, placement.entry.stack},
                        .entry_emulated = placement.entry_emulated,
                        .return_address = begin + placement.return_address};
  for (const CodePlace& exit : placement.exits) places.exits.push_back({begin + exit.offset, exit.stack});
  return places;
}

}  // namespace inferscope::discover
