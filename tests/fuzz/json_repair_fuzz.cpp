// stage: interpret
// SPDX-License-Identifier: Apache-2.0
// Cuts the input anywhere: whatever is repaired must be JSON, and if the input was JSON, hold nothing but its own
// outermost members, those from the beginning or those up to the end, unchanged.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "interpret/json.h"
#include "interpret/json_repair.h"

namespace {

using inferscope::interpret::Json;
using inferscope::interpret::JsonReader;
using inferscope::interpret::repair_head;
using inferscope::interpret::repair_tail;

void require(bool condition) {
  if (!condition) std::abort();
}

const Json* parse_object(JsonReader& reader, std::string_view text) {
  // Deep values are compared below by recursion that is not ours.
  if (std::count_if(text.begin(), text.end(), [](char c) { return c == '{' || c == '['; }) > 200) return nullptr;
  const Json* json = reader.parse(text);
  return json != nullptr && json->IsObject() ? json : nullptr;
}

bool same(const Json::Member& a, const Json::Member& b) {
  // A number that is none, and an object with one name twice, are not equal to themselves.
  return a.name == b.name && (a.value == b.value || (a.value.GetType() == b.value.GetType() && b.value != b.value));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t cut_at = (std::size_t{data[0]} << 8U) | data[1];
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t cut = text.empty() ? 0 : cut_at % (text.size() + 1);

  const auto head = repair_head(text.substr(0, cut));
  const auto tail = repair_tail(text.substr(cut));
  if (head) require(head->front() == '{' && head->back() == '}' && head->size() <= cut + 1);
  if (tail) require(tail->front() == '{' && tail->back() == '}' && tail->size() <= text.size() - cut);

  JsonReader whole_reader;
  JsonReader part_reader;
  const Json* whole = parse_object(whole_reader, text);
  if (whole == nullptr) return 0;
  std::size_t from_head = 0;
  if (head) {
    const Json* part = parse_object(part_reader, *head);
    require(part != nullptr);
    from_head = part->MemberCount();
    require(from_head > 0 && from_head <= whole->MemberCount());
    for (std::size_t i = 0; i < from_head; ++i)
      require(same(*(part->MemberBegin() + static_cast<std::ptrdiff_t>(i)),
                   *(whole->MemberBegin() + static_cast<std::ptrdiff_t>(i))));
  }
  if (tail) {
    const Json* part = parse_object(part_reader, *tail);
    require(part != nullptr);
    const std::size_t count = part->MemberCount();
    require(count > 0 && count + from_head <= whole->MemberCount());
    for (std::size_t i = 1; i <= count; ++i)
      require(same(*(part->MemberEnd() - static_cast<std::ptrdiff_t>(i)),
                   *(whole->MemberEnd() - static_cast<std::ptrdiff_t>(i))));
  }
  return 0;
}
