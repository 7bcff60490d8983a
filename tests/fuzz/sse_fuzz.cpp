// stage: assemble
// SPDX-License-Identifier: Apache-2.0
// Event streams: the same events whole and in pieces, never a longer one than allowed, and a hole makes none up.
#include <algorithm>
#include <string>
#include <vector>

#include "assemble/content/sse.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;
using namespace inferscope::assemble;

namespace {

constexpr std::size_t limit = 64;

class Collected final : public MessageSink {
 public:
  void message(std::string_view name, std::string_view data) override {
    test::require(!data.empty() && data.size() <= limit && name.size() <= limit);
    all.push_back(std::string(name) + '=' + std::string(data));
  }
  void oversized() override { all.emplace_back("<oversized>"); }

  std::vector<std::string> all{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(data, size);
  const std::size_t step = 1 + input.byte() % 32;
  const std::size_t hole_at = input.byte();
  const std::string_view bytes = input.rest();
  Collected whole;
  Collected pieces;
  Collected holed;
  SseParser one(limit);
  SseParser many(limit);
  SseParser torn(limit);
  one.feed(bytes, whole);
  for (std::size_t i = 0; i < bytes.size(); i += step) many.feed(bytes.substr(i, step), pieces);
  one.end(whole);
  many.end(pieces);
  test::require(whole.all == pieces.all);
  // Without what a hole swallowed, the events are a selection of those that there were.
  torn.feed(bytes.substr(0, hole_at), holed);
  torn.hole();
  if (bytes.size() > hole_at + step) torn.feed(bytes.substr(hole_at + step), holed);
  auto next = whole.all.begin();
  for (const std::string& message : holed.all) {
    next = std::find(next, whole.all.end(), message);
    test::require(next != whole.all.end());
    ++next;
  }
  return 0;
}
