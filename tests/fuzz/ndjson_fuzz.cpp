// stage: assemble
// SPDX-License-Identifier: Apache-2.0
// Lines of JSON: the same lines whole and in pieces, never a longer one than allowed.
#include <string>
#include <vector>

#include "assemble/content/ndjson.h"
#include "tests/fuzz/fuzz_events.h"

using namespace inferscope;
using namespace inferscope::assemble;

namespace {

constexpr std::size_t limit = 64;

class Collected final : public MessageSink {
 public:
  void message(std::string_view name, std::string_view data) override {
    test::require(name.empty() && !data.empty() && data.size() <= limit);
    test::require(data.find('\n') == std::string_view::npos);
    all.emplace_back(data);
  }
  void oversized() override { all.emplace_back("<oversized>"); }

  std::vector<std::string> all{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(data, size);
  const std::size_t step = 1 + input.byte() % 32;
  const std::string_view bytes = input.rest();
  Collected whole;
  Collected pieces;
  NdjsonParser one(limit);
  NdjsonParser many(limit);
  one.feed(bytes, whole);
  one.end(whole);
  for (std::size_t i = 0; i < bytes.size(); i += step) many.feed(bytes.substr(i, step), pieces);
  many.end(pieces);
  test::require(whole.all == pieces.all);
  return 0;
}
