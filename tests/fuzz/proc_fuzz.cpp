// stage: core
// SPDX-License-Identifier: Apache-2.0
// What /proc and mountinfo may say: process names and paths are anybody's, so any text must be borne, and what is read
// out of it stays within it.
#include <cstdint>
#include <string_view>

#include "core/cgroup_mounts.h"
#include "core/proc_stat.h"
#include "core/tcp_sockets.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto stat = proc::parse_stat(text)) {
    test::require(text.find(stat->name) != std::string_view::npos);
    test::require(text.find('(') != std::string_view::npos);
  }
  const auto lines = proc::parse_cgroups(text);
  std::size_t taken = 0;
  for (const auto& line : lines) taken += line.controllers.size() + line.path.size();
  test::require(taken <= size);
  const auto mounts = proc::CgroupMounts::parse(text);
  for (const char* controller : {"cpu", "freezer"}) {
    if (const auto place = mounts.place_of(lines, controller)) {
      test::require(place->version == 1 || place->version == 2);
      test::require(place->folder().native().starts_with(place->mount.native()));
    }
  }
  // A line of the table cannot be shorter than its first and its last column.
  test::require(proc::parse_tcp_table(text, proc::TcpRole::listener).size() <= size / 10);
  return 0;
}
