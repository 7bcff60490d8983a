// stage: store
// SPDX-License-Identifier: Apache-2.0
// Any text as an audit file: it verifies up to its first bad line, and what verifies is only what was appended.
#include <cstdint>
#include <string>
#include <string_view>

#include "store/audit.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto verdict = store::Audit::verify_text(text);
  std::size_t ends = 0;
  for (const char c : text) ends += c == '\n' ? 1 : 0;
  test::require(verdict.lines <= ends);
  test::require(verdict.last_hash.size() == 64);
  if (verdict.bad_line == 0) {
    test::require(verdict.lines == ends && (text.empty() || text.back() == '\n'));
    // Each line counts: without the first, what is behind it does not verify.
    if (verdict.lines > 1) test::require(store::Audit::verify_text(text.substr(text.find('\n') + 1)).bad_line == 1);
  } else {
    test::require(verdict.bad_line == verdict.lines + 1 && !verdict.problem.empty());
  }
  return 0;
}
